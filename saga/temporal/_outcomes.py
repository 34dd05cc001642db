"""What Temporal's answers mean: each of its failures becomes rejected or in doubt, as S2 and S5 say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    RetryState,
    TimeoutError,  # noqa: A004 - Temporal's word for it
    TimeoutType,
)

from saga.kernel import NOT_STARTED, CallState, Failure, Outcome, child_outcome

from ._endings import compensated
from ._marks import Mark, mark_of
from ._payloads import note_of, text_of

if TYPE_CHECKING:
    from datetime import datetime

    from temporalio.common import RawValue

    from saga.kernel import Call

_SHUTDOWN: Final = "WorkerShutdown"
"""What the SDK says of an attempt that its worker did not wait for."""

__all__ = ("answered", "child_failed", "given_up")


def answered(output: RawValue, call: Call, at: datetime) -> Outcome:
    """Return the outcome of an activity that returned."""
    mark = Mark.model_validate({"saga": "done", **note_of(output)})
    text = None if call.activity.returns is None else text_of(output)
    return Outcome(CallState.DONE, at, text, attempts=mark.attempts, overdue_at=mark.overdue_at)


def given_up(error: ActivityError, call: Call, at: datetime, *, first_run: str) -> Outcome:
    """Return the outcome of an activity that Temporal gave up.

    Args:
        error: What Temporal says.
        call: What was performed.
        at: When the workflow learnt of it.
        first_run: Run that the workflow had before it was reset, if it was; there the call may have acted before.
    """
    cause = error.cause
    if isinstance(cause, ApplicationError):
        return _raised(cause, at, first_run)
    if isinstance(cause, CancelledError):
        return _stopped(error, call, at)
    if isinstance(cause, TimeoutError):
        return _timed_out(cause, call, at, attempts=_attempts(error, call))
    return Outcome(CallState.IN_DOUBT, at, failure=Failure.of(cause or error), overdue_at=at)


def _raised(error: ApplicationError, at: datetime, first_run: str) -> Outcome:
    mark = mark_of(error.details)
    if mark is None:  # an activity of another worker: it says nothing about whether it acted
        failure = Failure(type=error.type or "ApplicationError", message=error.message)
        cut_off = error.type == _SHUTDOWN  # the attempt was abandoned by its worker, and may act all the same (S5)
        return Outcome(CallState.IN_DOUBT, at, failure=failure, overdue_at=at if cut_off else None)
    state = CallState.REJECTED if mark.saga == "rejected" else CallState.IN_DOUBT
    return Outcome(
        state,
        at,
        failure=mark.failure,
        attempts=mark.attempts,
        unanswered=mark.attempts > 1 or mark.run != first_run or mark.overdue_at is not None,
        recorded=mark.recorded,
        overdue_at=mark.overdue_at,
    )


def _stopped(error: ActivityError, call: Call, at: datetime) -> Outcome:
    if not error.started_event_id and call.activity.policy.retry.attempts == 1:
        return Outcome(CallState.REJECTED, at, failure=NOT_STARTED, attempts=0)
    failure = Failure(type="Stopped", message="it was asked to stop before it answered")
    return Outcome(CallState.IN_DOUBT, at, failure=failure, overdue_at=at)


def _attempts(error: ActivityError, call: Call) -> int:
    """Return how many attempts there were, as far as Temporal says it: it counts them, and tells only the last."""
    most = call.activity.policy.retry.attempts
    return most if most is not None and error.retry_state is RetryState.MAXIMUM_ATTEMPTS_REACHED else 1


def _timed_out(error: TimeoutError, call: Call, at: datetime, *, attempts: int) -> Outcome:
    if error.type is TimeoutType.SCHEDULE_TO_START:
        text = "no worker took it in time"
        return Outcome(CallState.IN_DOUBT, at, failure=Failure(type="TimeoutError", message=text))
    seconds = call.activity.policy.timeout.total_seconds()
    lost = error.type is TimeoutType.HEARTBEAT
    text = "its worker gave no sign of life" if lost else f"no answer within {seconds:g} s"
    failure = Failure(type="TimeoutError", message=text)
    return Outcome(CallState.IN_DOUBT, at, failure=failure, attempts=attempts, overdue_at=at)


def child_failed(cause: BaseException, call: Call, at: datetime) -> Outcome:
    """Return the outcome of a nested saga that did not complete: it was compensated, or somebody ended it."""
    instance, nested = compensated(cause), call.step.nested
    if instance is not None and nested is not None:
        return child_outcome(call, instance, nested, at)
    kind = type(cause).__name__
    text = f"the nested saga was ended from outside ({kind}); what it did is in its history"
    return Outcome(CallState.IN_DOUBT, at, failure=Failure(type=kind, message=text), overdue_at=at)
