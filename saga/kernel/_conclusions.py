"""Facts that follow from others, which a replay must conclude again, and notes, which only inform."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from saga.kernel._fact import Consequence, Note
from saga.kernel._values import Failure, Kind, Reason

__all__ = (
    "AttemptFailed",
    "CallRegistered",
    "DecisionAwaited",
    "RecoveryContinued",
    "RecoveryStarted",
    "RunContinued",
    "SagaCompensated",
    "SagaCompleted",
    "SagaStuck",
    "StuckReason",
    "TimerSet",
)


class CallRegistered(Consequence):
    """A call is about to run. Payload: its input, unless that follows from other facts.

    Attributes:
        call: The call with its role, such as `debit.1` or `debit.1/compensation`.
        kind: Kind of the step, for an action.
        commits: Set where this registration is the point of no return, or may become it.
    """

    fact: Literal["CallRegistered"] = "CallRegistered"
    call: str
    kind: Kind | None = None
    commits: Literal[True] | None = None


class TimerSet(Consequence):
    """`run` set a timer."""

    fact: Literal["TimerSet"] = "TimerSet"
    timer: str
    due: datetime


class DecisionAwaited(Consequence):
    """`run` waits for an answer until `due`."""

    fact: Literal["DecisionAwaited"] = "DecisionAwaited"
    call: str
    due: datetime


class RecoveryStarted(Consequence):
    """Backward recovery started: RUNNING ended, COMPENSATING began."""

    fact: Literal["RecoveryStarted"] = "RecoveryStarted"
    reason: Reason
    call: str | None = None
    failure: Failure | None = None


class SagaCompleted(Consequence):
    """The saga reached its goal. Payload: the result."""

    fact: Literal["SagaCompleted"] = "SagaCompleted"


class SagaCompensated(Consequence):
    """Everything that had to be compensated was compensated."""

    fact: Literal["SagaCompensated"] = "SagaCompensated"


class StuckReason(BaseModel):
    """One thing that blocks an instance.

    Attributes:
        reason: What kind of thing it is.
        call: The call, with its role, that blocks; None for a fault of the code.
        failure: The last failure that was seen.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: Reason
    call: str | None = None
    failure: Failure | None = None


class SagaStuck(Consequence):
    """Nothing more can progress until an operator acts."""

    fact: Literal["SagaStuck"] = "SagaStuck"
    reasons: tuple[StuckReason, ...]


class RunContinued(Consequence):
    """An operator's act freed the instance; it goes on forward."""

    fact: Literal["RunContinued"] = "RunContinued"


class RecoveryContinued(Consequence):
    """An operator's act freed the instance; it goes on backward."""

    fact: Literal["RecoveryContinued"] = "RecoveryContinued"


class AttemptFailed(Note):
    """An attempt ended without an answer, and another follows; of many attempts only some are written down."""

    fact: Literal["AttemptFailed"] = "AttemptFailed"
    call: str
    attempt: int
    failure: Failure
    overdue: bool = False
