"""Facts: what happened to one instance, small, frozen and versioned; the journal is a list of them.

Inputs come from outside (an outcome, a timer, an operator) and are released one at a time.
Consequences are what the decider concluded from them; a replay must conclude the same.
Notes are for readers only.

A payload (a request, input, output, answer or result) is JSON text beside the fact, not inside it:
it is encoded once, stored without escaping, and can be encrypted while instances stay listable.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError

from saga.errors import JournalCorruptError, JournalVersionError
from saga.kernel._conclusions import (
    AttemptFailed,
    CallRegistered,
    DecisionAwaited,
    RecoveryContinued,
    RecoveryStarted,
    RunContinued,
    SagaCompensated,
    SagaCompleted,
    SagaStuck,
    StuckReason,
    TimerSet,
)
from saga.kernel._fact import KERNEL_VERSION, FactKind
from saga.kernel._inputs import (
    Act,
    Adopted,
    CallDone,
    CallInDoubt,
    CallProbed,
    CallRejected,
    CallResolved,
    CallSkipped,
    CancelRequested,
    DecisionAnswered,
    DecisionIgnored,
    Resumed,
    Retried,
    SagaAbortOrdered,
    SagaStarted,
    TimerFired,
)

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
