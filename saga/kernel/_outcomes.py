"""What the outcome of a call means: the fact that it comes to. The rule S2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

from saga.errors import SagaError
from saga.kernel import _facts as f
from saga.kernel._values import CallState, DidNotHappen, Failure, Happened, Role

if TYPE_CHECKING:
    from datetime import datetime

    from saga.kernel._records import CallRecord
    from saga.kernel._runtime import Call, Outcome

__all__ = ("fact_of",)


def fact_of(call: Call, record: CallRecord, outcome: Outcome, last_at: datetime) -> f.Fact:
    """Return the fact: a rejection after an unanswered attempt is in doubt.

    Args:
        call: What was performed.
        record: What the journal says about it.
        outcome: How it ended.
        last_at: Time of the last fact, before which this one cannot be.

    Raises:
        SagaError: if a probe is said to be done and has found nothing out.
    """
    at = max(outcome.at, last_at)
    failure = outcome.failure or Failure(type="Unknown", message="no failure was given")
    if outcome.state is CallState.DONE:
        if call.role is Role.PROBE:
            return _finding(call, outcome, at)
        return f.CallDone(
            at=at,
            call=call.name,
            attempts=outcome.attempts,
            overdue_at=outcome.overdue_at,
            adopted=outcome.adopted,
            payload=outcome.output,
        )
    unanswered = outcome.unanswered or record.unanswered
    rejected = outcome.state is CallState.REJECTED
    certain = rejected and (outcome.recorded or not unanswered or call.role is not Role.ACTION)
    kind = f.CallRejected if certain else f.CallInDoubt
    return kind(at=at, call=call.name, failure=failure, attempts=outcome.attempts, overdue_at=outcome.overdue_at)


def _finding(call: Call, outcome: Outcome, at: datetime) -> f.Fact:
    codec = call.activity.returns
    finding = codec.decode(outcome.output or "null") if codec is not None else None
    if _happened(finding):
        output = call.step.action.returns
        payload = output.encode(finding.output) if output is not None else None
        return f.CallProbed(at=at, call=call.call, finding="happened", payload=payload)
    if not isinstance(finding, DidNotHappen):
        msg = f"{call.saga} {call.id}: the runtime says that {call.name} is done, but it has found nothing out"
        raise SagaError(msg)
    return f.CallProbed(at=at, call=call.call, finding="did_not_happen")


def _happened(finding: object) -> TypeGuard[Happened[Any]]:
    return isinstance(finding, Happened)
