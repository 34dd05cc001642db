"""Facts that come from outside: outcomes, timers, answers, and what operators do."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from saga.kernel._fact import KERNEL_VERSION, Input
from saga.kernel._values import CallState, Failure, SagaState

__all__ = (
    "Act",
    "Adopted",
    "CallDone",
    "CallInDoubt",
    "CallProbed",
    "CallRejected",
    "CallResolved",
    "CallSkipped",
    "CancelRequested",
    "DecisionAnswered",
    "DecisionIgnored",
    "Resumed",
    "Retried",
    "SagaAbortOrdered",
    "SagaStarted",
    "TimerFired",
)


class SagaStarted(Input):
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


class Resumed(Input):
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


class CallDone(Input):
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


class CallRejected(Input):
    """The participant said no, and nothing happened."""

    fact: Literal["CallRejected"] = "CallRejected"
    call: str
    failure: Failure
    attempts: int = 1
    overdue_at: datetime | None = None


class CallInDoubt(Input):
    """Nobody knows whether the call happened; its retry policy has ended.

    `overdue_at` is when an attempt was last given up at its time limit: it may act after that.
    """

    fact: Literal["CallInDoubt"] = "CallInDoubt"
    call: str
    failure: Failure
    attempts: int = 1
    overdue_at: datetime | None = None


class CallProbed(Input):
    """The probe found out what became of a pivot in doubt. Payload: the output, if it happened."""

    fact: Literal["CallProbed"] = "CallProbed"
    call: str
    finding: Literal["happened", "did_not_happen"]


class TimerFired(Input):
    """The due time of a timer passed."""

    fact: Literal["TimerFired"] = "TimerFired"
    timer: str


class CancelRequested(Input):
    """Somebody asked to stop and compensate."""

    fact: Literal["CancelRequested"] = "CancelRequested"
    by: str = ""
    why: str = ""


class DecisionAnswered(Input):
    """A decision was answered. Payload: the answer."""

    fact: Literal["DecisionAnswered"] = "DecisionAnswered"
    call: str
    by: str
    why: str = ""


class DecisionIgnored(Input):
    """A decision was answered again, or too late; nothing follows from it. Payload: the answer."""

    fact: Literal["DecisionIgnored"] = "DecisionIgnored"
    call: str
    by: str
    why: str = ""


class Act(Input):
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
