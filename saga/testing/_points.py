"""Where something can go wrong in a run that was seen, and what can go wrong there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from saga.kernel import Kind, Role
from saga.kernel import facts as f
from saga.testing._faults import Fault, FaultKind
from saga.testing._script import target_of
from saga.testing._trace import EventKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from saga.kernel import Call
    from saga.testing._run import Run
    from saga.testing._trace import Event

__all__ = ("Points", "points_of")

_PAUSED: Final = (FaultKind.PAUSED, FaultKind.PAUSED_CANCELLED)
_STEADY: Final = (
    FaultKind.CRASH_BEFORE,
    FaultKind.CRASH_AFTER,
    FaultKind.CRASH_RECORDED,
    FaultKind.CRASH_ALWAYS,
    FaultKind.LEAVE,
    *_PAUSED,
    FaultKind.CANCEL,
    FaultKind.CANCEL_ACTED,
    FaultKind.SLOW,
)
"""What can happen to any activity."""
_AGAIN: Final = (FaultKind.FAILED_ONCE, FaultKind.ANSWER_LOST, FaultKind.LATE_DUPLICATE)
"""What can happen where another attempt follows."""
_UNKNOWN: Final = (FaultKind.IN_DOUBT, FaultKind.IN_DOUBT_ACTED, FaultKind.TIMED_OUT, FaultKind.LATE)
"""What can happen where attempts come to an end."""
_ACTION: Final = (FaultKind.REJECTED, FaultKind.CANCEL_IGNORED, FaultKind.ABORT)
_FLUSH: Final = (
    FaultKind.LOST_AT_FLUSH,
    FaultKind.KEPT_AT_FLUSH,
    FaultKind.FLUSH_FAILED,
    FaultKind.FLUSH_UNKNOWN,
    FaultKind.PAUSED_AT_FLUSH,
    FaultKind.CANCEL_AT_FLUSH,
)
_BEFORE_EFFECT: Final = 0.4
_AFTER_EFFECT: Final = 1.6
"""When the deadline passes, in paces from the beginning of an attempt: its effect is after one, answer after two."""


@dataclass(frozen=True, slots=True)
class Points:
    """What was seen in a run.

    Attributes:
        activities: Faults of every activity, by target, in the order in which they first began.
        decisions: Faults of every decision, by target.
        flushes: Faults of every flush.
        beside: Pairs of activities that were performed at the same time.
        stuck: Acts that come while the journal is told that the saga is STUCK.
    """

    activities: dict[str, list[Fault]]
    decisions: dict[str, list[Fault]]
    flushes: list[Fault]
    beside: list[tuple[str, str]]
    stuck: list[Fault]

    def all(self) -> Iterator[Fault]:
        """Yield every fault that is possible."""
        for faults in (*self.activities.values(), *self.decisions.values(), self.flushes, self.stuck):
            yield from faults


def points_of(run: Run) -> Points:
    """Return where something can go wrong in a run."""
    first: dict[str, Event] = {}
    for event in run.trace.of(EventKind.BEGAN):
        first.setdefault(event.target, event)
    return Points(
        {target: list(_of_activity(run, event)) for target, event in first.items()},
        dict(_of_decisions(run)),
        [Fault(f"flush {number}", kind) for number in range(1, run.world.script.flushes + 1) for kind in _FLUSH],
        list(_beside(run)),
        [Fault(event.text, FaultKind.RETRY_AT_FLUSH) for event in run.trace.of(EventKind.DURABLE) if event.text],
    )


def _of_activity(run: Run, event: Event) -> Iterator[Fault]:
    call = run.world.effects.calls.get(event.target)
    if call is None:  # a nested saga: whatever else can go wrong is in the child
        yield from (Fault(event.target, kind) for kind in _PAUSED)
        return
    for kind in _kinds(call):
        yield Fault(event.target, kind)
    if run.plan.definition.deadline is not None:
        start = (event.at - run.world.started_at).total_seconds()
        pace = min(0.005, call.activity.policy.timeout.total_seconds() / 4)
        yield Fault(event.target, FaultKind.DEADLINE, start + _BEFORE_EFFECT * pace)
        yield Fault(event.target, FaultKind.DEADLINE_ACTED, start + _AFTER_EFFECT * pace)


def _kinds(call: Call) -> Iterator[FaultKind]:
    attempts = call.activity.policy.retry.attempts
    yield from _STEADY
    if attempts != 1:
        yield from _AGAIN
    if attempts is None:
        yield from (FaultKind.FAILS_LONG, FaultKind.FAILS_ALWAYS)
    else:
        yield from _UNKNOWN
    if call.role is Role.ACTION:
        yield from _ACTION
        if attempts != 1:
            yield FaultKind.REJECTED_AFTER_UNANSWERED
    elif call.role is Role.PROBE:
        yield FaultKind.RESOLVED_MEANWHILE
    else:
        yield from (FaultKind.REJECTED, FaultKind.SKIPPED_MEANWHILE)


def _of_decisions(run: Run) -> Iterator[tuple[str, list[Fault]]]:
    for id, journal in run.world.journals.items():
        for fact in journal.facts:
            if isinstance(fact, f.DecisionAwaited):
                answers = run.plan.answers.get(fact.call.rpartition(".")[0], ())
                target = target_of(run.world.root, id, fact.call)
                if answers:
                    yield target, list(_of_decision(target, len(answers), own=id == run.world.root))


def _of_decision(target: str, answers: int, *, own: bool) -> Iterator[Fault]:
    yield Fault(target, FaultKind.UNANSWERED)
    yield Fault(target, FaultKind.ANSWERED_TWICE)
    yield from (Fault(target, FaultKind.OTHER_ANSWER, number) for number in range(1, answers))
    if own:
        yield Fault(target, FaultKind.ANSWERED_EARLY)


def _beside(run: Run) -> Iterator[tuple[str, str]]:
    """Yield pairs of actions of which one began while the other was being made."""
    running: dict[str, None] = {}
    seen: set[tuple[str, str]] = set()
    for event in run.trace.events:
        call = run.world.effects.calls.get(event.target)
        if call is None or call.step.kind is Kind.NESTED:
            continue
        if event.kind is EventKind.BEGAN:
            for other in running:
                if other != event.target and (other, event.target) not in seen:
                    seen.add((other, event.target))
                    yield other, event.target
            running[event.target] = None
        elif event.kind in {EventKind.ANSWERED, EventKind.GIVEN_UP, EventKind.STOPPED}:
            running.pop(event.target, None)
