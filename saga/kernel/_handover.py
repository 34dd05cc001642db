"""What a finished child comes to for its parent: an outcome, and what the parent may have to compensate (S16)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saga.kernel._facts import Adopted
from saga.kernel._payloads import handover_payload
from saga.kernel._recovery import to_compensate
from saga.kernel._runtime import Outcome
from saga.kernel._values import NOT_STARTED, CallState, Failure, Role, SagaState
from saga.kernel._view import ending_of, view_of

if TYPE_CHECKING:
    from datetime import datetime

    from saga.kernel._definition import Definition
    from saga.kernel._instance import Instance
    from saga.kernel._records import CallRecord
    from saga.kernel._runtime import Call

__all__ = ("child_outcome", "entry_of", "handed_over", "not_started")


def child_outcome(call: Call, instance: Instance, definition: Definition, at: datetime) -> Outcome:
    """Return the outcome of a nested saga's call whose child has ended.

    Args:
        call: The parent's call.
        instance: The child.
        definition: The child's saga class.
        at: When the parent learnt of it.
    """
    if instance.state is SagaState.COMPLETED:
        stays = handed_over(instance, definition) if call.step.hands_over else []
        if not stays:
            return Outcome(CallState.DONE, at, instance.result)
        adopted = tuple(entry_of(record) for record in stays)
        return Outcome(CallState.DONE, at, handover_payload(instance.result, stays), adopted=adopted)
    # A child that ended COMPENSATED is a rejected step, whatever attempts of driving it came before.
    return Outcome(CallState.REJECTED, at, failure=Failure.of(ending_of(view_of(instance))), recorded=True)


def not_started(at: datetime) -> Outcome:
    """Return the outcome of a nested saga's call that was asked to stop before its child existed."""
    return Outcome(CallState.REJECTED, at, failure=NOT_STARTED, recorded=True)


def handed_over(instance: Instance, definition: Definition) -> list[CallRecord]:
    """Return the calls of a child that its parent can compensate, first registered first."""
    stays = [
        record
        for record in to_compensate(instance, definition)
        if f"{record.call}/{Role.COMPENSATION.value}" not in instance.calls
    ]
    return stays[::-1]


def entry_of(record: CallRecord) -> Adopted:
    """Return what the fact says of a call that is handed over, beside its payload."""
    return Adopted(
        call=record.call,
        in_doubt=True if record.state is CallState.IN_DOUBT else None,
        overdue_at=None if record.settled else record.overdue_at,
    )
