"""Scenarios of time limits, cancels, deadlines and decisions: something comes while something else goes on."""

from __future__ import annotations

from collections.abc import Iterator

from tests.temporal._differential import Act, Scenario, act, opened, reached, refused, seen
from tests.temporal._plans import Wish
from tests.temporal._shop import Fault

REJECTED, LOST, LATE, GATE, SILENT, OVERDUE = (
    Fault.REJECTED, Fault.LOST, Fault.LATE, Fault.GATE, Fault.SILENT, Fault.OVERDUE,
)  # fmt: skip
AGAIN = Fault.ASK_AGAIN
DONE, BACK, STUCK = "SagaCompleted", "SagaCompensated", "SagaStuck"
CANCEL, RETRY, ABORT = act("cancel"), act("retry"), act("abort")
COMPENSATING = {"b.1": [REJECTED]}


def resolved(call: str, output: str | None = None) -> Act:
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
            Scenario(
                "hasty plain", BACK, {name: [SILENT]}, script=[seen(STUCK), refused(RETRY), resolved(name)], net=0
            ),
        )
        yield (
            f"{name} acted late",
            Scenario(
                "hasty plain",
                BACK,
                {name: [OVERDUE]},
                script=[seen(STUCK), opened(name, late=True), resolved(name, str(2 * int(name == "b.1") + 2))],
                net=0,
            ),
        )
    yield "look silent", Scenario("hasty", BACK, {"look.1": [SILENT]}, net=0)
    yield "pay silent", Scenario("hasty", BACK, {"pay.1": [SILENT]}, net=0)
    yield "pay silent, then rejected", Scenario("hasty twice", BACK, {"pay.1": [SILENT, REJECTED]}, net=0)
    yield "pay late and silent", Scenario("hasty twice", DONE, {"pay.1": [LATE, SILENT]}, net=15)
    yield "pay silent and plain", Scenario("hasty plain", STUCK, {"pay.1": [SILENT]})
    yield "ship silent", Scenario("hasty", DONE, {"ship.1": [SILENT]}, script=[seen(STUCK), RETRY], net=15)


def cancelled() -> Iterator[tuple[str, Scenario]]:
    """Somebody cancels, twice, at each point."""
    twice = [CANCEL, CANCEL]
    for name in ("look.1", "a.1", "b.1"):
        yield (
            f"cancel while {name} runs",
            Scenario("barred", BACK, {name: [GATE]}, script=[reached(name), *twice], net=0),
        )
        script = [reached(name), *twice, opened(name)]
        yield (
            f"cancel while {name} runs and cannot be stopped",
            Scenario("plain", BACK, {name: [GATE]}, script=script, net=0),
        )
    for name in ("pay.1", "ship.1"):
        script = [reached(name), *twice, refused(ABORT), opened(name)]
        yield f"cancel while {name} runs", Scenario("barred", DONE, {name: [GATE]}, script=script, net=15)
    yield (
        "cancel while pay runs, which is rejected",
        Scenario(
            "barred", BACK, {"pay.1": [Fault.GATE_REJECTED]}, script=[reached("pay.1"), CANCEL, opened("pay.1")], net=0
        ),
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
    yield (
        "cancel while a probe is asked",
        Scenario("barred", DONE, faults, script=[reached("pay.1/probe"), *twice], net=15),
    )
    faults = {"pay.1": [LOST]}
    script = [seen(STUCK), *twice, refused(ABORT), resolved("pay.1")]
    yield "cancel while pay is in doubt", Scenario("unprobed", BACK, faults, script=script, net=0)
    yield "resolve while pay is probed", Scenario(
        "barred", DONE, {"pay.1": [LATE, LATE], "pay.1/probe": [AGAIN] * 200},
        script=[reached("pay.1/probe"), resolved("pay.1", "8")], net=15,
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
    yield (
        "a decision that comes too late is caught",
        Scenario("barred", DONE, wish=Wish(review="hurry", catches=True), net=3),
    )
    wrong = [act("decide", call="reviews.1", payload="true"), act("decide", call="review.0", payload="true")]
    script = [seen("DecisionAwaited"), *map(refused, wrong), yes]
    yield "a decision that nobody asks for", Scenario("barred", DONE, wish=asked, script=script, net=15)
