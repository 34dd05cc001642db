"""What single events of a history say, in the kernel's words."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.common import RawValue
from temporalio.converter import DataConverter
from temporalio.exceptions import (
    ActivityError,
    CancelledError,
    RetryState,
    TerminatedError,
    TimeoutError,  # noqa: A004 - Temporal's word for it
    TimeoutType,
)

from saga.errors import InvalidRequestError
from saga.kernel import Call, Outcome, Policy, Retry

from ._activities import CHILD_RESULT
from ._nested import child_done
from ._outcomes import answered, child_failed, given_up
from ._payloads import text_of
from ._standing import call_of
from ._telling import notes_by, told_by

if TYPE_CHECKING:
    from temporalio.api.failure.v1 import Failure
    from temporalio.api.history.v1 import HistoryEvent, WorkflowExecutionStartedEventAttributes
    from temporalio.converter import PayloadCodec

__all__ = (
    "Scheduled",
    "answer_in",
    "cause_of",
    "decrypted",
    "notes_in",
    "raw_in",
    "raws_in",
    "scheduled_in",
    "time_of",
    "told_in",
    "update_in",
)

Start: TypeAlias = "WorkflowExecutionStartedEventAttributes"

_CONVERTER: Final = DataConverter.default
_FAILURES: Final = _CONVERTER.failure_converter_class()


async def decrypted(events: Sequence[HistoryEvent], codec: PayloadCodec | None) -> Sequence[HistoryEvent]:
    """Return events whose payloads are as they were before a codec encoded them."""
    if codec is None:
        return events
    for event in events:
        for payload in _payloads(event):
            [plain] = await codec.decode([payload])
            payload.CopyFrom(plain)
    return events


def _payloads(message: Message) -> Iterator[Payload]:
    if isinstance(message, Payload):
        yield message
        return
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for one in _each(value):
                yield from _payloads(one)


def _each(value: Any) -> Iterator[Message]:  # a message, a list of them, or a mapping to them
    if isinstance(value, Message):
        yield value
    else:
        many = cast("Iterable[object]", value.values() if isinstance(value, Mapping) else value)
        yield from (one for one in many if isinstance(one, Message))


def time_of(event: HistoryEvent) -> datetime:
    """Return when an event was written, rounded as a workflow's own time is."""
    return datetime.fromtimestamp(event.event_time.ToNanoseconds() / 1e9, UTC)


def raw_in(payloads: Payloads) -> RawValue | None:
    """Return the first payload; None where there is none."""
    return RawValue(payloads.payloads[0]) if payloads.payloads else None


def raws_in(payloads: Payloads) -> list[RawValue]:
    """Return all payloads."""
    return [RawValue(payload) for payload in payloads.payloads]


def update_in(event: HistoryEvent) -> tuple[str, str | None] | None:
    """Return the id of an update and the payload of its request, if the event holds them."""
    request = event.workflow_execution_update_accepted_event_attributes.accepted_request
    if event.HasField("workflow_execution_update_admitted_event_attributes"):  # after a reset
        request = event.workflow_execution_update_admitted_event_attributes.request
    raw = raw_in(request.input.args)
    if raw is None:
        return None
    try:
        asked = json.loads(text_of(raw))
    except (ValueError, RecursionError, InvalidRequestError):
        return None
    return request.meta.update_id, cast("dict[str, Any]", asked).get("payload") if isinstance(asked, dict) else None


def cause_of(failure: Failure) -> BaseException:
    """Return a failure as the exception that a workflow would see."""
    return _FAILURES.from_failure(failure, _CONVERTER.payload_converter)


# -- what a workflow asked for -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scheduled:
    """An activity that was scheduled, or a child that was started.

    Attributes:
        call: The call that it performs.
        first_run: Run that the workflow had before it was reset, if it was.
        type: Name of the activity; empty for a child.
    """

    call: Call
    first_run: str
    type: str = ""

    @property
    def awaits_child(self) -> bool:
        """Whether it is the wait for a child that was started before the workflow was reset."""
        return self.type == CHILD_RESULT


def scheduled_in(event: HistoryEvent, start: Start) -> Scheduled | None:
    """Return what an event says was scheduled; None if it says nothing of the kind."""
    id, saga, run = start.workflow_id, start.workflow_type.name, start.original_execution_run_id
    if event.HasField("activity_task_scheduled_event_attributes"):
        activity = event.activity_task_scheduled_event_attributes
        policy = Policy(
            timeout=_duration(activity.start_to_close_timeout),
            retry=Retry(attempts=activity.retry_policy.maximum_attempts or None),
        )
        kind = activity.activity_type.name
        nested = saga if kind == CHILD_RESULT else None
        call = call_of(id, saga, activity.activity_id, policy, _text(activity.input), nested=nested)
        return Scheduled(call, run, kind)
    if event.HasField("start_child_workflow_execution_initiated_event_attributes"):
        child = event.start_child_workflow_execution_initiated_event_attributes
        name = child.workflow_id.removeprefix(f"{id}~")
        nested = child.workflow_type.name
        return Scheduled(call_of(id, saga, name, Policy(), _text(child.input), nested=nested), run)
    return None


def _duration(value: Any) -> timedelta:  # google.protobuf.Duration has no types
    return cast("timedelta", value.ToTimedelta())


def _text(payloads: Payloads) -> str:
    raw = raw_in(payloads)
    return "null" if raw is None else text_of(raw)


def told_in(event: HistoryEvent) -> list[Any]:
    """Return the note that rides with an event; empty where there is none."""
    found: list[list[Any]] = [note for payload in _notable(event) if (note := told_by(payload))]
    return found[0] if found else []


def notes_in(event: HistoryEvent) -> list[list[Any]]:
    """Return all notes that ride with an event, those that ride again among them."""
    return [note for payload in _notable(event) for note in notes_by(payload)]


def _notable(event: HistoryEvent) -> Iterator[Payload]:
    if event.HasField("timer_started_event_attributes"):  # its cancellation repeats it
        yield event.user_metadata.summary
    yield from event.activity_task_scheduled_event_attributes.input.payloads
    yield from event.start_child_workflow_execution_initiated_event_attributes.input.payloads
    yield from event.workflow_execution_update_completed_event_attributes.outcome.success.payloads
    yield from event.workflow_properties_modified_event_attributes.upserted_memo.fields.values()
    yield from event.workflow_execution_completed_event_attributes.result.payloads
    yield from event.workflow_execution_failed_event_attributes.failure.application_failure_info.details.payloads


# -- how it ended ------------------------------------------------------------------------

Answered: TypeAlias = Callable[[datetime], Outcome]
"""Makes the outcome, from when the workflow learnt of it."""


def answer_in(event: HistoryEvent, scheduled: dict[int, Scheduled]) -> tuple[Call, Answered] | None:
    """Return how an activity or a child ended, if the event says so."""
    name = event.WhichOneof("attributes")
    kind, _, end = _ENDS.get(name or "", "").partition(" ")
    if not kind:
        return None
    attributes: Any = getattr(event, name or "")
    known = scheduled.get(attributes.scheduled_event_id if kind == "activity" else attributes.initiated_event_id)
    if known is None:
        return None
    made = _activity_end(known, attributes, end) if kind == "activity" else _child_end(known, attributes, end)
    return known.call, made


_ENDS: Final = {
    "activity_task_completed_event_attributes": "activity done",
    "activity_task_failed_event_attributes": "activity failed",
    "activity_task_timed_out_event_attributes": "activity failed",
    "activity_task_canceled_event_attributes": "activity canceled",
    "child_workflow_execution_completed_event_attributes": "child done",
    "child_workflow_execution_failed_event_attributes": "child failed",
    "child_workflow_execution_timed_out_event_attributes": "child timed out",
    "child_workflow_execution_canceled_event_attributes": "child canceled",
    "child_workflow_execution_terminated_event_attributes": "child terminated",
}


def _activity_end(known: Scheduled, attributes: Any, end: str) -> Answered:  # attributes of one of its events
    call = known.call
    if end == "done":
        output = raw_in(attributes.result) or RawValue(Payload(metadata={"encoding": b"binary/null"}))
        return partial(child_done, output) if known.awaits_child else partial(answered, output, call)
    cause = cause_of(attributes.failure) if end == "failed" else CancelledError()
    if known.awaits_child:
        return partial(child_failed, cause, call)
    error = ActivityError(
        "",
        scheduled_event_id=attributes.scheduled_event_id,
        started_event_id=attributes.started_event_id,
        identity="",
        activity_type=known.type,
        activity_id=call.name,
        retry_state=_retry_state(attributes),
    )
    error.__cause__ = cause
    return partial(given_up, error, call, first_run=known.first_run)


def _retry_state(attributes: Any) -> RetryState | None:
    number = getattr(attributes, "retry_state", 0)
    return RetryState(number) if number else None


def _child_end(known: Scheduled, attributes: Any, end: str) -> Answered:  # attributes of one of its events
    if end == "done":
        output = raw_in(attributes.result) or RawValue(Payload(metadata={"encoding": b"binary/null"}))
        return partial(child_done, output)
    causes: dict[str, BaseException] = {
        "timed out": TimeoutError("", type=TimeoutType.START_TO_CLOSE, last_heartbeat_details=[]),
        "canceled": CancelledError(),
        "terminated": TerminatedError(""),
    }
    cause = causes.get(end) or cause_of(attributes.failure)
    return partial(child_failed, cause, known.call)
