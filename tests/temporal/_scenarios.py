"""The scenarios: what goes wrong where, what others do meanwhile, and how it ends."""

from __future__ import annotations

from collections.abc import Iterator

from tests.temporal._differential import Scenario, act, opened, reached, refused, seen
from tests.temporal._plans import Wish
from tests.temporal._shop import Fault

__all__ = ("SCENARIOS",)

REJECTED, LOST, LATE, GATE, SILENT, OVERDUE = (
    Fault.REJECTED, Fault.LOST, Fault.LATE, Fault.GATE, Fault.SILENT, Fault.OVERDUE,
)  # fmt: skip
AGAIN = Fault.ASK_AGAIN
DONE, BACK, STUCK = "SagaCompleted", "SagaCompensated", "SagaStuck"
CANCEL, RETRY, ABORT = act("cancel"), act("retry"), act("abort")
COMPENSATING = {"b.1": [REJECTED]}
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
        Scenario("unprobed", BACK, {"pay.1": [LOST]}, script=[seen(STUCK), _resolved("pay.1")], net=0),
    )
    yield (
        "pay late without a probe, resolved as happened",
        Scenario("unprobed", DONE, {"pay.1": [LATE]}, script=[seen(STUCK), refused(ABORT), _resolved("pay.1", "8")]),
    )
    yield (
        "pay lost without a probe, retried",
        Scenario("unprobed", DONE, {"pay.1": [LOST]}, script=[seen(STUCK), RETRY], net=15),
    )


def _resolved(call: str, output: str | None = None):
    finding = "did_not_happen" if output is None else "happened"
    return act("resolve", call=call, finding=finding, payload=output)


def overdue() -> Iterator[tuple[str, Scenario]]:
    """A time limit passes, and the activity acts after it, or never."""
    for name in ("a.1", "b.1"):
        late = [seen(BACK), opened(name, late=True)]
        yield f"{name} silent", Scenario("hasty", BACK, {name: [SILENT]}, net=0)
        yield f"{name} acts after its compensation", Scenario("hasty", BACK, {name: [OVERDUE]}, script=late, net=0)
        yield f"{name} silent, then done", Scenario("hasty twice", DONE, {name: [SILENT]})
        yield f"{name} settles", Scenario("hasty settling", BACK, {name: [SILENT]}, net=0)
        yield (
            f"{name} acts while it settles",
            Scenario("hasty settling", BACK, {name: [OVERDUE]}, script=[seen("CallInDoubt"), opened(name)], net=0),
        )
        yield (
            f"{name} may act for ever",
            Scenario("hasty plain", BACK, {name: [SILENT]}, script=[seen(STUCK), refused(RETRY), _resolved(name)], net=0),
        )
        yield (
            f"{name} acted late",
            Scenario(
                "hasty plain",
                BACK,
                {name: [OVERDUE]},
                script=[seen(STUCK), opened(name, late=True), _resolved(name, str(2 * int(name == "b.1") + 2))],
                net=0,
            ),
        )
    yield "look silent", Scenario("hasty", BACK, {"look.1": [SILENT]}, net=0)
    yield "pay silent", Scenario("hasty", BACK, {"pay.1": [SILENT]}, net=0)
    yield "pay silent, then rejected", Scenario("hasty twice", BACK, {"pay.1": [SILENT, REJECTED]}, net=0)
    yield "pay late and silent", Scenario("hasty twice", DONE, {"pay.1": [LATE, SILENT]}, net=15)
    yield "pay silent and plain", Scenario("hasty plain", STUCK, {"pay.1": [SILENT]})
    yield "ship silent", Scenario("hasty", DONE, {"ship.1": [SILENT]}, script=[seen(STUCK), RETRY], net=15)


def compensations() -> Iterator[tuple[str, Scenario]]:
    """Compensations fail once, or for good."""
    back = "a.1/compensation"
    for fault in (LOST, LATE):
        yield f"a compensation {fault.name.lower()} once", Scenario("barred", BACK, {**COMPENSATING, back: [fault]}, net=0)
        faults = {**COMPENSATING, back: [fault, fault]}
        for act_, script in {
            "stays": [],
            "is retried": [seen(STUCK), RETRY],
            "is skipped": [seen(STUCK), act("skip", call="a.1")],
            "cannot be aborted or cancelled": [seen(STUCK), refused(ABORT), CANCEL, RETRY],
        }.items():
            net = 1 if act_ == "is skipped" and fault is LOST else 0
            ends = BACK if script else STUCK
            yield f"a compensation {fault.name.lower()} twice {act_}", Scenario("barred", ends, faults, script=script, net=None if not script else net)
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
    yield "b's compensation rejected, a's done", Scenario("barred", STUCK, {"pay.1": [REJECTED], "b.1/compensation": [REJECTED]})


def cancelled() -> Iterator[tuple[str, Scenario]]:
    """Somebody cancels, twice, at each point."""
    twice = [CANCEL, CANCEL]
    for name in ("look.1", "a.1", "b.1"):
        yield f"cancel while {name} runs", Scenario("barred", BACK, {name: [GATE]}, script=[reached(name), *twice], net=0)
        script = [reached(name), *twice, opened(name)]
        yield f"cancel while {name} runs and cannot be stopped", Scenario("plain", BACK, {name: [GATE]}, script=script, net=0)
    for name in ("pay.1", "ship.1"):
        script = [reached(name), *twice, refused(ABORT), opened(name)]
        yield f"cancel while {name} runs", Scenario("barred", DONE, {name: [GATE]}, script=script, net=15)
    yield (
        "cancel while pay runs, which is rejected",
        Scenario("barred", BACK, {"pay.1": [Fault.GATE_REJECTED]}, script=[reached("pay.1"), CANCEL, opened("pay.1")], net=0),
    )
    for name in ("a.1", "b.1"):
        back = f"{name}/compensation"
        script = [reached(back), *twice, refused(ABORT), opened(back)]
        faults = {"pay.1": [REJECTED], back: [GATE]}
        yield f"cancel while {back} runs", Scenario("barred", BACK, faults, script=script, net=0)
    faults, meanwhile = {"a.1/compensation": [GATE]}, [reached("a.1/compensation"), CANCEL, opened("a.1/compensation")]
    script = [seen("TimerSet"), CANCEL, *meanwhile]
    yield "cancel between", Scenario("barred", BACK, faults, Wish(nap=60), script, net=0)
    yield "abort between", Scenario("barred", BACK, wish=Wish(nap=60), script=[seen("TimerSet"), ABORT], net=0)
    yield (
        "abort while b runs",
        Scenario("barred", BACK, {"b.1": [GATE]}, script=[reached("b.1"), ABORT, refused(RETRY)], net=0),
    )
    script = [seen("DecisionAwaited"), CANCEL, *meanwhile]
    yield "cancel while a decision is awaited", Scenario("barred", BACK, faults, Wish(review="review"), script, net=0)
    faults = {"pay.1": [LATE, LATE], "pay.1/probe": [AGAIN] * 20}
    yield "cancel while a probe is asked", Scenario("barred", DONE, faults, script=[reached("pay.1/probe"), *twice], net=15)
    faults = {"pay.1": [LOST]}
    script = [seen(STUCK), *twice, refused(ABORT), _resolved("pay.1")]
    yield "cancel while pay is in doubt", Scenario("unprobed", BACK, faults, script=script, net=0)
    yield "resolve while pay is probed", Scenario(
        "barred", DONE, {"pay.1": [LATE, LATE], "pay.1/probe": [AGAIN] * 200},
        script=[reached("pay.1/probe"), _resolved("pay.1", "8")], net=15,
    )  # fmt: skip


def limited() -> Iterator[tuple[str, Scenario]]:
    """The deadline passes at each point."""
    fired = seen("TimerFired", timer="deadline")
    yield "deadline while it sleeps", Scenario("limited", BACK, wish=Wish(nap=60), net=0)
    yield "deadline while b runs", Scenario("limited", BACK, {"b.1": [GATE]}, net=0)
    for name, ends in {"pay.1": DONE, "ship.1": DONE}.items():
        script = [reached(name), fired, opened(name)]
        yield f"deadline while {name} runs", Scenario("limited", ends, {name: [GATE]}, script=script, net=15)
    back = "a.1/compensation"
    script = [reached(back), fired, opened(back)]
    yield f"deadline while {back} runs", Scenario("limited", BACK, {**COMPENSATING, back: [GATE]}, script=script, net=0)
    yield "deadline while a decision is awaited", Scenario("limited", BACK, wish=Wish(review="review"), net=0)
    script = [seen(STUCK), fired, RETRY]
    yield (
        "deadline while it is stuck",
        Scenario("limited", BACK, {**COMPENSATING, back: [REJECTED]}, script=script, net=0),
    )


def decided() -> Iterator[tuple[str, Scenario]]:
    """A decision is given, early, late, twice, or never."""
    yes, no = (act("decide", call="review.1", payload=text) for text in ("true", "false"))
    asked = Wish(review="review")
    yield "a decision is given", Scenario("barred", DONE, wish=asked, script=[seen("DecisionAwaited"), yes], net=15)
    yield "a decision is refused", Scenario("barred", DONE, wish=asked, script=[seen("DecisionAwaited"), no], net=3)
    script = [reached("b.1"), yes, no, opened("b.1")]
    yield "a decision comes early, and twice", Scenario("barred", DONE, {"b.1": [GATE]}, asked, script, net=15)
    yield "a decision comes too late", Scenario("barred", BACK, wish=Wish(review="hurry"), net=0)
    yield "a decision that comes too late is caught", Scenario("barred", DONE, wish=Wish(review="hurry", catches=True), net=3)
    wrong = [act("decide", call="reviews.1", payload="true"), act("decide", call="review.0", payload="true")]
    script = [seen("DecisionAwaited"), *map(refused, wrong), yes]
    yield "a decision that nobody asks for", Scenario("barred", DONE, wish=asked, script=script, net=15)


def tentative() -> Iterator[tuple[str, Scenario]]:
    """Try, confirm, cancel."""
    yield "one try is refused", Scenario("tentative", BACK, {"b.1": [REJECTED]}, net=0, at_once=True)
    yield "the pivot is refused", Scenario("tentative", BACK, {"pay.1": [REJECTED]}, net=0, at_once=True)
    for name in ("a.1/confirmation", "b.1/confirmation", "a.1/forget"):
        yield f"{name} is lost once", Scenario("tentative", DONE, {name: [LOST]}, net=7, at_once=True)
        yield f"{name} is refused", Scenario("tentative", DONE, {name: [REJECTED]}, script=[seen(STUCK), RETRY], net=7, at_once=True)
        script = [seen(STUCK), act("skip", call=name.partition("/")[0])]
        yield f"{name} is done by hand", Scenario("tentative", DONE, {name: [LOST, LOST]}, script=script, net=7, at_once=True)


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
        yield f"{how}, one of them rejected", Scenario("group", BACK, faults, wish, [*running, gates[1]], net=0, at_once=True)
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
    script = [reached("~take.1/a.1"), seen("CallRegistered", call="take.1"), _child_seen("TimerSet"), CANCEL]
    yield "cancel while a child sleeps", Scenario("parent", BACK, wish=Wish(nap=60), script=script, children=child, net=0)
    faults = {"~take.1/b.1": [REJECTED], back: [GATE]}
    script = [reached(back), CANCEL, opened(back)]
    yield "cancel while a child compensates", Scenario("parent", BACK, faults, script=script, children=child, net=0)
    faults = {"pay.1": [REJECTED], back: [REJECTED]}
    yield "a child's effect cannot be compensated", Scenario("parent", STUCK, faults, children=child)
    script = [seen(STUCK), act("skip", call="take.1/a.1")]
    yield "a child's effect is compensated by hand", Scenario("parent", BACK, faults, script=script, children=child, net=1)


def _child_seen(kind: str):
    from saga import SagaHandle

    async def wait(scene):
        child = SagaHandle(scene.handle._journals, scene.handle._definition, f"{scene.handle.id}~take.1")
        async for fact in child.facts():
            if fact.fact == kind:
                return

    return wait


SCENARIOS: dict[str, Scenario] = {
    name: scenario
    for group in (
        limited, overdue, cancelled, nested, happy, rejected, in_doubt, compensations, decided, tentative, at_once,
    )
    for name, scenario in group()
}  # fmt: skip
