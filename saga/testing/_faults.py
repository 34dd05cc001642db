"""What can go wrong at one point of a run, and how an attempt behaves then."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = ("ATTEMPTS_ENOUGH", "ATTEMPTS_THAT_FAIL", "Behaviour", "Fault", "FaultKind", "Scenario", "behaviour")

ATTEMPTS_THAT_FAIL: Final = 5
"""After how many failed attempts an activity that is retried without limit succeeds at last."""
ATTEMPTS_ENOUGH: Final = 10
"""After how many failed attempts a run ends in which an activity never succeeds."""


class FaultKind(StrEnum):
    """What is done to one call, one flush or one decision.

    The plainest come first: a story is told with the earliest kind that breaks the rule.
    """

    REJECTED = "rejected"
    OTHER_ANSWER = "the decision is answered differently"
    UNANSWERED = "nobody answers the decision"
    IN_DOUBT = "in doubt, never acted"
    IN_DOUBT_ACTED = "in doubt, acted"
    TIMED_OUT = "in doubt, every attempt passed its time limit"
    FAILED_ONCE = "an attempt failed, the next one is done"
    ANSWER_LOST = "an attempt acted but its answer was lost, the next one is done"
    REJECTED_AFTER_UNANSWERED = "rejected after an unanswered attempt"
    FAILS_LONG = "fails many times, then is done"
    FAILS_ALWAYS = "fails as often as it is tried"
    LATE = "in doubt, acts after its time limit"
    LATE_DUPLICATE = "acts after its time limit, although the next attempt is done"
    SLOW = "answers just before its time limit"
    CRASH_BEFORE = "crash before the effect"
    CRASH_AFTER = "crash after the effect, before its record"
    CRASH_RECORDED = "crash after the record"
    CRASH_ALWAYS = "crash at every attempt, until an operator acts"
    LOST_AT_FLUSH = "crash at the flush, nothing was written"
    KEPT_AT_FLUSH = "crash at the flush, all was written"
    FLUSH_FAILED = "the flush fails, nothing was written"
    FLUSH_UNKNOWN = "the flush fails, all was written"
    LEAVE = "its owner lets go of it"
    CANCEL = "cancelled before the effect"
    CANCEL_ACTED = "cancelled after the effect, before the answer"
    CANCEL_IGNORED = "cancelled, but the activity goes on and answers"
    CANCEL_AT_FLUSH = "cancelled during the flush"
    ABORT = "aborted by an operator before the effect"
    DEADLINE = "the deadline passes before the effect"
    DEADLINE_ACTED = "the deadline passes after the effect, before the answer"
    ANSWERED_EARLY = "the decision is answered before it is asked"
    ANSWERED_TWICE = "the decision is answered twice"
    SKIPPED_MEANWHILE = "fails until an operator has done it by hand"
    RESOLVED_MEANWHILE = "the probe fails until an operator knows"
    RETRY_AT_FLUSH = "an operator retries during the flush"
    PAUSED = "its owner pauses before the effect, is taken over, and goes on with it later"
    PAUSED_CANCELLED = "its owner pauses before the effect, is taken over, and goes on after a cancel"
    PAUSED_AT_FLUSH = "its owner pauses at the flush, is taken over, and goes on with it later"

    @property
    def intricacy(self) -> int:
        """Its place in the order."""
        return _INTRICACY[self]


_INTRICACY: Final = {kind: place for place, kind in enumerate(FaultKind)}


class Behaviour(StrEnum):
    """What one attempt does."""

    DONE = "done"
    REJECT = "rejects"
    FAIL = "fails without acting"
    LOSE = "acts, and the answer is lost"
    HANG = "never answers, never acts"
    LATE = "never answers, acts later"
    SLOW = "answers just before its time limit"
    CRASH_BEFORE = "its owner crashes before it acts"
    CRASH_AFTER = "its owner crashes after it acted"
    LEAVE = "its owner lets go before it acts"
    PAUSE = "its owner pauses before it acts"
    PAUSE_CANCEL = "its owner pauses before it acts, and somebody cancels meanwhile"
    CANCEL = "somebody cancels before it acts"
    CANCEL_ACTED = "somebody cancels after it acted"
    CANCEL_IGNORED = "somebody cancels before it acts, and it goes on"
    ABORT = "an operator aborts before it acts"
    SKIP = "fails, and an operator does it by hand"
    RESOLVE = "fails, and an operator says what happened"


_FIRST: Final = {
    FaultKind.REJECTED: Behaviour.REJECT,
    FaultKind.REJECTED_AFTER_UNANSWERED: Behaviour.FAIL,
    FaultKind.FAILED_ONCE: Behaviour.FAIL,
    FaultKind.ANSWER_LOST: Behaviour.LOSE,
    FaultKind.IN_DOUBT: Behaviour.FAIL,
    FaultKind.IN_DOUBT_ACTED: Behaviour.LOSE,
    FaultKind.TIMED_OUT: Behaviour.HANG,
    FaultKind.LATE: Behaviour.LATE,
    FaultKind.LATE_DUPLICATE: Behaviour.LATE,
    FaultKind.FAILS_LONG: Behaviour.FAIL,
    FaultKind.FAILS_ALWAYS: Behaviour.FAIL,
    FaultKind.SLOW: Behaviour.SLOW,
    FaultKind.CRASH_BEFORE: Behaviour.CRASH_BEFORE,
    FaultKind.CRASH_AFTER: Behaviour.CRASH_AFTER,
    FaultKind.CRASH_ALWAYS: Behaviour.CRASH_BEFORE,
    FaultKind.LEAVE: Behaviour.LEAVE,
    FaultKind.PAUSED: Behaviour.PAUSE,
    FaultKind.PAUSED_CANCELLED: Behaviour.PAUSE_CANCEL,
    FaultKind.CANCEL: Behaviour.CANCEL,
    FaultKind.CANCEL_ACTED: Behaviour.CANCEL_ACTED,
    FaultKind.CANCEL_IGNORED: Behaviour.CANCEL_IGNORED,
    FaultKind.ABORT: Behaviour.ABORT,
    FaultKind.SKIPPED_MEANWHILE: Behaviour.FAIL,
    FaultKind.RESOLVED_MEANWHILE: Behaviour.FAIL,
}
"""What the first attempt does under a fault."""
_LATER: Final = {
    FaultKind.FAILS_ALWAYS: Behaviour.FAIL,
    FaultKind.IN_DOUBT: Behaviour.FAIL,
    FaultKind.IN_DOUBT_ACTED: Behaviour.FAIL,
    FaultKind.TIMED_OUT: Behaviour.HANG,
    FaultKind.LATE: Behaviour.HANG,
    FaultKind.CRASH_ALWAYS: Behaviour.CRASH_BEFORE,
}
"""What every later attempt does, where it is not done."""
_SECOND: Final = {
    FaultKind.REJECTED_AFTER_UNANSWERED: Behaviour.REJECT,
    FaultKind.SKIPPED_MEANWHILE: Behaviour.SKIP,
    FaultKind.RESOLVED_MEANWHILE: Behaviour.RESOLVE,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault at one point.

    Attributes:
        target: The activity, such as `debit.1/compensation`; `flush 3`; or the decision `review.1`.
        kind: What happens there.
        offset: For a deadline: seconds from the start until it passes; for another answer: its place in the list.
    """

    target: str
    kind: FaultKind
    offset: float = 0

    @property
    def at_flush(self) -> bool:
        """Whether it happens at a flush of the journal."""
        return self.target.startswith("flush ")

    def __str__(self) -> str:
        return f"{self.target}: {self.kind}"


@dataclass(frozen=True, slots=True)
class Scenario:
    """The faults of one run.

    Attributes:
        faults: None, or one or more, each at another point.
        patient: Whether the operator waits for what may still act and works by hand, or else prevents it and retries.
    """

    faults: tuple[Fault, ...] = ()
    patient: bool = False

    @property
    def intricacy(self) -> tuple[int, ...]:
        """What makes one scenario plainer than another: fewer faults, then plainer ones, the worst compared first."""
        worst_first = sorted((fault.kind.intricacy for fault in self.faults), reverse=True)
        return len(self.faults), *worst_first, int(self.patient)

    def __str__(self) -> str:
        told = "; ".join(map(str, self.faults)) or "nothing is injected"
        return f"{told}; a patient operator" if self.patient else told


def behaviour(kind: FaultKind, number: int) -> Behaviour:
    """Return what attempt `number`, from 1, does under a fault."""
    if number == 1:
        return _FIRST.get(kind, Behaviour.DONE)
    if kind is FaultKind.FAILS_LONG:
        return Behaviour.FAIL if number <= ATTEMPTS_THAT_FAIL else Behaviour.DONE
    if kind in {FaultKind.SKIPPED_MEANWHILE, FaultKind.RESOLVED_MEANWHILE} and number > 2:  # noqa: PLR2004 - as in _SECOND
        return Behaviour.FAIL
    if number == 2 and kind in _SECOND:  # noqa: PLR2004 - the attempt after the first
        return _SECOND[kind]
    return _LATER.get(kind, Behaviour.DONE)
