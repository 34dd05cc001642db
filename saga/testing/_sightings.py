"""What an exploration must have seen at least once to prove anything: the rare things that it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saga.kernel import CallState, SagaState
from saga.kernel import facts as f
from saga.testing._trace import EventKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from saga.testing._run import Run

__all__ = ("sightings",)


def sightings(run: Run) -> set[str]:
    """Return which rare things happened in a run."""
    return {*_in_trace(run), *_in_journal(run), *_in_world(run)}


def _in_trace(run: Run) -> Iterator[str]:  # noqa: C901 - one branch for each thing that may be seen
    acting: set[str] = set()
    begun: set[str] = set()
    for event in run.trace.events:
        if event.kind is EventKind.BEGAN:
            if event.target in begun:
                yield "an activity was performed again under the same key"
            begun.add(event.target)
        elif event.kind is EventKind.ACTED:
            acting.add(event.target)
        elif event.kind is EventKind.ANSWERED:
            acting.discard(event.target)
        elif event.kind is EventKind.CRASHED:
            yield "crash between effect and record" if acting else "crash without an effect in flight"
            acting.clear()
        elif event.kind is EventKind.ACTED_LATE:
            yield "an attempt acted after its time limit"
        elif event.kind is EventKind.ACTED_BY_FORMER:
            yield "a former owner acted after it was taken over"
        elif event.kind is EventKind.PAUSED:
            yield "an owner paused and was taken over"
            acting.clear()
        elif event.kind is EventKind.FLUSH_FAILED:
            yield f"a flush failed and {event.text}"
        elif event.kind is EventKind.ACTED_BY_HAND:
            yield "an operator did it by hand"
        elif event.kind is EventKind.REFUSED:
            yield "a request was refused"


def _in_journal(run: Run) -> Iterator[str]:
    recovering = False
    for fact in run.world.journals[run.world.root].facts:
        if isinstance(fact, f.RecoveryStarted):
            recovering = True
            yield f"backward recovery: {fact.reason}"
        elif isinstance(fact, f.Resumed) and recovering:
            yield "recovery was resumed by another owner"
        elif isinstance(fact, f.CancelRequested) and recovering:
            yield "cancelled while compensating"
        elif isinstance(fact, f.CallProbed):
            yield f"a probe found: {fact.finding.replace('_', ' ')}"
        elif isinstance(fact, f.CallResolved):
            yield f"an operator resolved: {fact.finding.replace('_', ' ')}"
        elif isinstance(fact, f.SagaStuck):
            yield from (f"STUCK: {one.reason}" for one in fact.reasons)


def _in_world(run: Run) -> Iterator[str]:
    state = run.instance.state
    for call in run.instance.calls.values():
        target = call.name
        if state is SagaState.COMPENSATED and f"{call.name}/compensation" in run.instance.calls:
            acted = bool(run.trace.effects(target))
            yield "an action that had acted was compensated" if acted else "empty compensation"
        if call.state is CallState.SKIPPED:
            yield "a compensation was skipped"
    if any(journal.suspended for journal in run.world.journals.values()):
        yield "a nested saga was ended before it began"
    if len(run.world.journals) > 1:
        yield "a nested saga ran"
