"""The scenarios: what goes wrong where, what others do meanwhile, and how it ends."""

from __future__ import annotations

from collections.abc import Iterator

from tests.temporal._differential import Scenario, act, child_seen, opened, reached, refused, seen
from tests.temporal._plans import Wish
from tests.temporal._scenarios_meanwhile import (
    ABORT,
    AGAIN,
    BACK,
    CANCEL,
    COMPENSATING,
    DONE,
    GATE,
    LATE,
    LOST,
    REJECTED,
    RETRY,
    STUCK,
    cancelled,
    decided,
    limited,
    overdue,
    resolved,
)  # fmt: skip
from tests.temporal._shop import Fault

__all__ = ("SCENARIOS",)

ACTIONS = ("look.1", "a.1", "b.1", "pay.1", "ship.1")


def happy() -> Iterator[tuple[str, Scenario]]:
    """Nothing goes wrong."""
    for saga in ("barred", "plain", "unprobed", "tentative"):
        yield f"happy {saga}", Scenario(saga, DONE, at_once=saga == "tentative")
    yield "threads", Scenario("threaded", DONE, net=5)
    yield "a thread rejects", Scenario("threaded", BACK, {"pay.1": [REJECTED]}, net=0)
    yield "a thread is late", Scenario("threaded", DONE, {"pay.1": [LATE, LATE]}, net=5)
    yield "a thread is in doubt", Scenario("threaded", BACK, {"a.1": [LATE, LATE]}, net=0)
    yield "a nap", Scenario("barred", DONE, wish=Wish(nap=0.5))
    yield "an abort by run", Scenario("barred", BACK, wish=Wish(aborted=True), net=0)
    yield "cancel after the end", Scenario("barred", DONE, script=[seen(DONE), refused(CANCEL)], net=15)
    yield "no pivot", Scenario("tentative", DONE, wish=Wish(aborted=True), at_once=True)


def rejected() -> Iterator[tuple[str, Scenario]]:
    """A step is refused, at once or after an attempt that may have acted."""
    for name in ACTIONS:
        late = name == "ship.1"
        ends = STUCK if late else BACK
        yield f"{name} rejected", Scenario("barred", ends, {name: [REJECTED]}, net=None if late else 0)
        yield f"{name} lost, then rejected", Scenario("plain", ends, {name: [LOST, REJECTED]})
    yield "b rejected and caught", Scenario("barred", DONE, COMPENSATING, Wish(catches=True), net=13)
    yield (
        "ship rejected, then retried",
        Scenario("barred", DONE, {"ship.1": [REJECTED]}, script=[seen(STUCK), refused(ABORT), CANCEL, RETRY]),
    )


def in_doubt() -> Iterator[tuple[str, Scenario]]:
    """A step fails for good without an answer, whether it acted or not."""
    for name in ACTIONS:
        for saga in ("barred", "plain"):
            for fault in (LOST, LATE):
                ends = STUCK if name == "ship.1" else BACK
                ends = DONE if (name, fault) == ("pay.1", LATE) else ends
                net = 0 if ends is BACK and name != "look.1" and fault is LOST else None
                yield (
                    f"{name} {fault.name.lower()} twice, {saga}",
                    Scenario(saga, ends, {name: [fault, fault]}, net=net),
                )
        yield f"{name} lost once", Scenario("barred", DONE, {name: [LOST]}, net=15)
        yield f"{name} late once", Scenario("barred", DONE, {name: [LATE]}, net=15)
    for what in (AGAIN, LOST):
        faults = {"pay.1": [LATE, LATE], "pay.1/probe": [what, what]}
        yield f"pay late, its probe {what.name.lower()} twice", Scenario("barred", DONE, faults, net=15)
    yield "b in doubt and caught", Scenario("barred", DONE, {"b.1": [LATE, LATE]}, Wish(catches=True), net=13)
    yield (
        "pay lost without a probe, resolved as not happened",
        Scenario("unprobed", BACK, {"pay.1": [LOST]}, script=[seen(STUCK), resolved("pay.1")], net=0),
    )
    yield (
        "pay late without a probe, resolved as happened",
        Scenario("unprobed", DONE, {"pay.1": [LATE]}, script=[seen(STUCK), refused(ABORT), resolved("pay.1", "8")]),
    )
    yield (
        "pay lost without a probe, retried",
        Scenario("unprobed", DONE, {"pay.1": [LOST]}, script=[seen(STUCK), RETRY], net=15),
    )


def compensations() -> Iterator[tuple[str, Scenario]]:
    """Compensations fail once, or for good."""
    back = "a.1/compensation"
    for fault in (LOST, LATE):
        yield (
            f"a compensation {fault.name.lower()} once",
            Scenario("barred", BACK, {**COMPENSATING, back: [fault]}, net=0),
        )
        faults = {**COMPENSATING, back: [fault, fault]}
        for act_, script in {
            "stays": [],
            "is retried": [seen(STUCK), RETRY],
            "is skipped": [seen(STUCK), act("skip", call="a.1")],
            "cannot be aborted or cancelled": [seen(STUCK), refused(ABORT), CANCEL, RETRY],
        }.items():
            net = 1 if act_ == "is skipped" and fault is LOST else 0
            ends = BACK if script else STUCK
            yield (
                f"a compensation {fault.name.lower()} twice {act_}",
                Scenario("barred", ends, faults, script=script, net=None if not script else net),
            )
    both = {"pay.1": [REJECTED], "a.1/compensation": [REJECTED], "b.1/compensation": [REJECTED]}
    yield "both compensations rejected", Scenario("barred", STUCK, both, net=3)
    yield (
        "both compensations rejected, one retried, one skipped",
        Scenario(
            "barred",
            BACK,
            {**both, "b.1/compensation": [REJECTED, REJECTED]},
            script=[seen(STUCK), RETRY, seen(STUCK, 2), act("skip", call="b.1")],
            net=2,
            at_once=True,
        ),
    )  # fmt: skip
    yield (
        "b's compensation rejected, a's done",
        Scenario("barred", STUCK, {"pay.1": [REJECTED], "b.1/compensation": [REJECTED]}),
    )


def tentative() -> Iterator[tuple[str, Scenario]]:
    """Try, confirm, cancel."""
    yield "one try is refused", Scenario("tentative", BACK, {"b.1": [REJECTED]}, net=0, at_once=True)
    yield "the pivot is refused", Scenario("tentative", BACK, {"pay.1": [REJECTED]}, net=0, at_once=True)
    for name in ("a.1/confirmation", "b.1/confirmation", "a.1/forget"):
        yield f"{name} is lost once", Scenario("tentative", DONE, {name: [LOST]}, net=7, at_once=True)
        yield (
            f"{name} is refused",
            Scenario("tentative", DONE, {name: [REJECTED]}, script=[seen(STUCK), RETRY], net=7, at_once=True),
        )
        script = [seen(STUCK), act("skip", call=name.partition("/")[0])]
        yield (
            f"{name} is done by hand",
            Scenario("tentative", DONE, {name: [LOST, LOST]}, script=script, net=7, at_once=True),
        )


def at_once() -> Iterator[tuple[str, Scenario]]:
    """Several steps at once."""
    gates = [opened(name) for name in ("a.1", "b.1", "c.1")]
    three = {"a.1": [GATE], "b.1": [GATE], "c.1": [GATE]}
    running = [reached(name) for name in three]
    done = [seen("CallDone", call=name) for name in three]
    in_turn = [one for pair in zip(gates, done, strict=True) for one in pair]
    for how, wish in {"a group": Wish(), "gather": Wish(catches=True)}.items():
        yield f"{how} of three", Scenario("group", DONE, three, wish, [*running, *in_turn], net=7, at_once=True)
        faults = {**three, "b.1": [Fault.GATE_REJECTED]}
        yield (
            f"{how}, one of them rejected",
            Scenario("group", BACK, faults, wish, [*running, gates[1]], net=0, at_once=True),
        )
        script = [*running, CANCEL]
        yield f"{how} is cancelled", Scenario("group", BACK, three, wish, script, net=0, at_once=True)
    faults, script = {"b.1": [GATE]}, [reached("b.1"), seen("TimerFired"), opened("b.1")]
    yield "run loses its patience", Scenario("barred", BACK, faults, Wish(patience=0.5), net=0)
    wish = Wish(patience=0.5, catches=True)
    yield "run loses its patience and catches that", Scenario("barred", DONE, faults, wish, script, net=13)


def nested() -> Iterator[tuple[str, Scenario]]:
    """A saga in a saga."""
    child = ["~take.1"]
    first, back = "~take.1/a.1", "~take.1/a.1/compensation"
    yield "a child is done", Scenario("parent", DONE, children=child, net=23)
    yield "a child is compensated later", Scenario("parent", BACK, {"pay.1": [REJECTED]}, children=child, net=0)
    yield "a child is rejected", Scenario("parent", BACK, {"~take.1/b.1": [REJECTED]}, children=child, net=0)
    yield "a child is in doubt", Scenario("parent", BACK, {"~take.1/b.1": [LATE, LATE]}, children=child, net=0)
    yield (
        "a child is rejected and caught",
        Scenario("parent", DONE, {"~take.1/b.1": [REJECTED]}, Wish(catches=True), children=child, net=20),
    )
    script = [reached(first), CANCEL, CANCEL]
    yield "cancel while a child runs", Scenario("parent", BACK, {first: [GATE]}, script=script, children=child, net=0)
    script = [reached(first), child_seen("~take.1", "TimerSet"), CANCEL]
    yield (
        "cancel while a child sleeps",
        Scenario("parent", BACK, wish=Wish(nap=60), script=script, children=child, net=0),
    )
    faults = {"~take.1/b.1": [REJECTED], back: [GATE]}
    script = [reached(back), CANCEL, opened(back)]
    yield "cancel while a child compensates", Scenario("parent", BACK, faults, script=script, children=child, net=0)
    faults = {"pay.1": [REJECTED], back: [REJECTED]}
    yield "a child's effect cannot be compensated", Scenario("parent", STUCK, faults, children=child)
    script = [seen(STUCK), act("skip", call="take.1/a.1")]
    yield (
        "a child's effect is compensated by hand",
        Scenario("parent", BACK, faults, script=script, children=child, net=1),
    )


SCENARIOS: dict[str, Scenario] = {
    name: scenario
    for group in (
        limited, overdue, cancelled, nested, happy, rejected, in_doubt, compensations, decided, tentative, at_once,
    )
    for name, scenario in group()
}  # fmt: skip
