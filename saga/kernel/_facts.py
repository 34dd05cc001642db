"""Facts: what happened to one instance, small, frozen and versioned; the journal is a list of them.

Inputs come from outside (an outcome, a timer, an operator) and are released one at a time.
Consequences are what the decider concluded from them; a replay must conclude the same.
Notes are for readers only.

A payload (a request, input, output, answer or result) is JSON text beside the fact, not inside it:
it is encoded once, stored without escaping, and can be encrypted while instances stay listable.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from saga.errors import JournalCorruptError, JournalVersionError
from saga.kernel._values import CallState, Failure, Kind, Reason, SagaState

__all__ = (
    "KERNEL_VERSION",
    "Act",
    "Adopted",
    "AttemptFailed",
    "CallDone",
    "CallInDoubt",
    "CallProbed",
    "CallRegistered",
    "CallRejected",
    "CallResolved",
    "CallSkipped",
    "CancelRequested",
    "DecisionAnswered",
    "DecisionAwaited",
    "DecisionIgnored",
    "Fact",
    "FactKind",
    "RecoveryContinued",
    "RecoveryStarted",
    "Resumed",
    "Retried",
    "RunContinued",
    "SagaAbortOrdered",
    "SagaCompensated",
    "SagaCompleted",
    "SagaStarted",
    "SagaStuck",
    "StuckReason",
    "TimerFired",
    "TimerSet",
    "decode_fact",
    "encode_fact",
)

KERNEL_VERSION = 1
"""Version of the rules that wrote a journal; a newer library keeps replaying older versions."""


class FactKind(StrEnum):
    """Whether a fact comes from outside, follows from others, or only informs."""

    INPUT = "input"
    CONSEQUENCE = "consequence"
    NOTE = "note"


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    role_in_replay: ClassVar[FactKind]

    at: datetime
    payload: str | None = Field(default=None, exclude=True, repr=False)


class _Input(_Fact):
    role_in_replay: ClassVar[FactKind] = FactKind.INPUT


class _Consequence(_Fact):
    role_in_replay: ClassVar[FactKind] = FactKind.CONSEQUENCE


class _Note(_Fact):
    role_in_replay: ClassVar[FactKind] = FactKind.NOTE


# -- inputs ----------------------------------------------------------------------------


class SagaStarted(_Input):
    """An instance exists. Payload: the request.

    Attributes:
        saga: Name of the saga.
        id: Id of the instance.
        kernel: Version of the rules that wrote this journal.
        fingerprint: Short hash of the class that started it; it explains a mismatch, it never decides.
        deadline: When backward recovery starts.
        parent: Id of the instance that this one is nested in.
        handed_over: Set where the parent takes over what can be compensated when this one has completed.
    """

    fact: Literal["SagaStarted"] = "SagaStarted"
    saga: str
    id: str
    kernel: int = Field(default=KERNEL_VERSION, ge=1, le=KERNEL_VERSION)
    fingerprint: str = ""
    deadline: datetime | None = None
    parent: str | None = None
    handed_over: Literal[True] | None = None


class Resumed(_Input):
    """Another owner, or the same after a restart, took the instance over.

    Attributes:
        epoch: Number of the owner, growing.
        crashed: Set if the former owner ended without letting go.
    """

    fact: Literal["Resumed"] = "Resumed"
    epoch: int
    crashed: Literal[True] | None = None


class Adopted(BaseModel):
    """A call that a finished child hands to its parent; its input and output are in the payload of the fact.

    Attributes:
        call: Name of the call in the child, such as `debit.1`, or of a grandchild's call, such as `pay.1/debit.1`.
        in_doubt: Whether nobody knows if it happened.
        overdue_at: When an attempt of it was last given up, so that it may act after that; None once it is settled.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    call: str
    in_doubt: Literal[True] | None = None
    overdue_at: datetime | None = None


class CallDone(_Input):
    """A call returned. Payload: its output; with what a child hands over, `{"output": ..., "adopted": [...]}`.

    Attributes:
        call: The call with its role.
        attempts: How many attempts the last owner made.
        overdue_at: When an attempt was last given up at its time limit: it may act after that.
        adopted: What a nested saga's call hands over, in the order of the payload's `adopted`.
    """

    fact: Literal["CallDone"] = "CallDone"
    call: str
    attempts: int = 1
    overdue_at: datetime | None = None
    adopted: tuple[Adopted, ...] | None = None


class CallRejected(_Input):
    """The participant said no, and nothing happened."""

    fact: Literal["CallRejected"] = "CallRejected"
    call: str
    failure: Failure
    attempts: int = 1
    overdue_at: datetime | None = None


class CallInDoubt(_Input):
    """Nobody knows whether the call happened; its retry policy has ended.

    `overdue_at` is when an attempt was last given up at its time limit: it may act after that.
    """

    fact: Literal["CallInDoubt"] = "CallInDoubt"
    call: str
    failure: Failure
    attempts: int = 1
    overdue_at: datetime | None = None


class CallProbed(_Input):
    """The probe found out what became of a pivot in doubt. Payload: the output, if it happened."""

    fact: Literal["CallProbed"] = "CallProbed"
    call: str
    finding: Literal["happened", "did_not_happen"]


class TimerFired(_Input):
    """The due time of a timer passed."""

    fact: Literal["TimerFired"] = "TimerFired"
    timer: str


class CancelRequested(_Input):
    """Somebody asked to stop and compensate."""

    fact: Literal["CancelRequested"] = "CancelRequested"
    by: str = ""
    why: str = ""


class DecisionAnswered(_Input):
    """A decision was answered. Payload: the answer."""

    fact: Literal["DecisionAnswered"] = "DecisionAnswered"
    call: str
    by: str
    why: str = ""


class DecisionIgnored(_Input):
    """A decision was answered again, or too late; nothing follows from it. Payload: the answer."""

    fact: Literal["DecisionIgnored"] = "DecisionIgnored"
    call: str
    by: str
    why: str = ""


class Act(_Input):
    """What an operator did.

    Attributes:
        by: Who did it.
        why: The reason.
        state: State of the instance when the act was taken.
        seen: How many facts they had looked at, so that it can be told what they knew; None if they did not say.
    """

    by: str
    why: str
    state: SagaState
    seen: int | None = None


class Retried(Act):
    """An operator lets everything that is blocked be tried again."""

    fact: Literal["Retried"] = "Retried"


class CallResolved(Act):
    """An operator says what became of a call. Payload: the output, if it happened."""

    fact: Literal["CallResolved"] = "CallResolved"
    call: str
    finding: Literal["happened", "did_not_happen"]
    call_state: CallState


class CallSkipped(Act):
    """An operator did a compensation, confirmation or forgetting by hand."""

    fact: Literal["CallSkipped"] = "CallSkipped"
    call: str
    call_state: CallState


class SagaAbortOrdered(Act):
    """An operator gives the instance up before its pivot; backward recovery follows."""

    fact: Literal["SagaAbortOrdered"] = "SagaAbortOrdered"


# -- consequences ----------------------------------------------------------------------


class CallRegistered(_Consequence):
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


class TimerSet(_Consequence):
    """`run` set a timer."""

    fact: Literal["TimerSet"] = "TimerSet"
    timer: str
    due: datetime


class DecisionAwaited(_Consequence):
    """`run` waits for an answer until `due`."""

    fact: Literal["DecisionAwaited"] = "DecisionAwaited"
    call: str
    due: datetime


class RecoveryStarted(_Consequence):
    """Backward recovery started: RUNNING ended, COMPENSATING began."""

    fact: Literal["RecoveryStarted"] = "RecoveryStarted"
    reason: Reason
    call: str | None = None
    failure: Failure | None = None


class SagaCompleted(_Consequence):
    """The saga reached its goal. Payload: the result."""

    fact: Literal["SagaCompleted"] = "SagaCompleted"


class SagaCompensated(_Consequence):
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


class SagaStuck(_Consequence):
    """Nothing more can progress until an operator acts."""

    fact: Literal["SagaStuck"] = "SagaStuck"
    reasons: tuple[StuckReason, ...]


class RunContinued(_Consequence):
    """An operator's act freed the instance; it goes on forward."""

    fact: Literal["RunContinued"] = "RunContinued"


class RecoveryContinued(_Consequence):
    """An operator's act freed the instance; it goes on backward."""

    fact: Literal["RecoveryContinued"] = "RecoveryContinued"


# -- notes -----------------------------------------------------------------------------


class AttemptFailed(_Note):
    """An attempt ended without an answer, and another follows; of many attempts only some are written down."""

    fact: Literal["AttemptFailed"] = "AttemptFailed"
    call: str
    attempt: int
    failure: Failure
    overdue: bool = False


Fact: TypeAlias = (
    SagaStarted
    | Resumed
    | CallDone
    | CallRejected
    | CallInDoubt
    | CallProbed
    | TimerFired
    | CancelRequested
    | DecisionAnswered
    | DecisionIgnored
    | Retried
    | CallResolved
    | CallSkipped
    | SagaAbortOrdered
    | CallRegistered
    | TimerSet
    | DecisionAwaited
    | RecoveryStarted
    | SagaCompleted
    | SagaCompensated
    | SagaStuck
    | RunContinued
    | RecoveryContinued
    | AttemptFailed
)

_ADAPTER: TypeAdapter[Any] = TypeAdapter(Annotated[Fact, Field(discriminator="fact")])
_to_json = _ADAPTER.serializer.to_json
_from_json = _ADAPTER.validator.validate_json


def encode_fact(fact: Fact) -> str:
    """Return the fact as JSON text, without its payload."""
    return fact.__pydantic_serializer__.to_json(fact, exclude_none=True).decode()


def decode_fact(body: str | bytes, payload: str | None = None) -> Fact:
    """Return the fact that `encode_fact` wrote.

    Raises:
        JournalVersionError: if this version of the library does not know such a fact.
        JournalCorruptError: if it is no JSON at all.

    Example:
        >>> from datetime import datetime, timezone
        >>> fact = TimerFired(at=datetime(2026, 1, 1, tzinfo=timezone.utc), timer="timer.1")
        >>> decode_fact(encode_fact(fact)) == fact
        True
    """
    try:
        fact: Fact = _from_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            msg = "the journal holds a fact that is damaged; restore the journal from a backup"
            raise JournalCorruptError(msg) from None
        msg = (
            f"the journal holds a fact that this version of the library does not know ({first['msg']} at "
            f"{'.'.join(str(part) for part in first['loc'])}); run the version that wrote it, or a newer one"
        )
        raise JournalVersionError(msg) from None
    if payload is not None:
        vars(fact)["payload"] = payload  # nobody has seen this fact yet; a copy would take as long as the decoding
    return fact
