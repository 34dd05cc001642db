"""What the journal says about one activity, and about one decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from saga.kernel._names import step_of
from saga.kernel._values import CallState

if TYPE_CHECKING:
    from datetime import datetime

    from saga.kernel import _facts as f
    from saga.kernel._values import Failure, Kind, Role

__all__ = ("CallRecord", "DecisionRecord")


@dataclass(slots=True)
class CallRecord:
    """What the journal says about one activity of one call.

    Attributes:
        name: Call and role, such as `debit.1/compensation`.
        call: The call alone.
        role: What the activity does in the step.
        kind: Kind of the step, for an action.
        order: Place in the order of registration; a call that a child handed over comes at the child's place.
        position: Number of the fact that registered it, or let it be tried again.
        after_commit: Whether it was registered at or after the point of no return.
        overdue_at: When an attempt was last given up at its time limit: it may act after that.
        unanswered: Whether an attempt ended without an answer, so that it may have acted.
        settled: Whether an operator said what became of it, so that nothing acts any more.
    """

    name: str
    call: str
    role: Role
    kind: Kind | None
    order: tuple[int, ...]
    position: int
    at: datetime
    input: str | None = None
    output: str | None = None
    failure: Failure | None = None
    state: CallState = CallState.IN_FLIGHT
    attempts: int = 0
    after_commit: bool = False
    overdue_at: datetime | None = None
    unanswered: bool = False
    settled: bool = False
    ended_at: datetime | None = None
    failures: tuple[f.AttemptFailed, ...] = ()

    @property
    def step(self) -> str:
        """The step, such as `debit`, or `pay.1/debit` for a call that a child handed over."""
        return step_of(self.call)

    @property
    def tried(self) -> int:
        """How many attempts have ended."""
        return max(self.attempts, self.failures[-1].attempt if self.failures else 0)

    @property
    def failed(self) -> bool:
        """Whether it ended without being done."""
        return self.state is CallState.REJECTED or self.state is CallState.IN_DOUBT


@dataclass(slots=True)
class DecisionRecord:
    """What the journal says about one decision: awaited until when, answered by whom."""

    call: str
    due: datetime | None = None
    answer: str | None = None
    by: str | None = None
    timed_out: bool = False
