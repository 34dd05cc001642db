"""Activities on a worker: the kernel's wrapper around user code, registered under the activities' own names."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from contextvars import copy_context
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from temporalio import activity
from temporalio.client import WorkflowFailureError
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from saga.errors import ParticipantError
from saga.kernel import Call, CallState, attempt, function_of, missing_participants, split_role, step_of

from ._carried import LARGEST_PART
from ._marks import Mark, Past
from ._payloads import text_of, to_raw

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from concurrent.futures import Executor

    from saga.kernel import Activity, Attempt, Definition

__all__ = ("BEAT", "CHILD_RESULT", "activities_of")

CHILD_RESULT: Final = "saga.child_result"
"""Activity by which a parent waits for a child that it did not start in this run."""
BEAT: Final = 3.0
"""Seconds between two heartbeats of an attempt that lasts longer; by its answer a cancellation arrives."""


def activities_of(
    sagas: Mapping[str, Definition], participants: Mapping[str, object], threads: Executor
) -> list[Callable[..., object]]:
    """Return one Temporal activity for each activity that some saga classes use.

    Raises:
        ParticipantError: if a participant is missing or lacks a method; all of them are named.
    """
    missing = missing_participants(sagas.values(), participants)
    if missing:
        raise ParticipantError("\n".join(["the worker cannot start:", *(f"  {one}" for one in missing)]))
    found: dict[str, Activity] = {}
    for definition in sagas.values():
        for step in definition.steps.values():
            for role in step.roles.values():
                if role.activity is not None:
                    found.setdefault(role.activity.name, role.activity)
    return [child_result, *(_Performer(one, sagas, participants, threads).defined() for one in found.values())]


@activity.defn(name=CHILD_RESULT)
async def child_result(child: str) -> RawValue:
    """Wait for a nested saga that runs already: after a reset its parent cannot start it again."""
    handle = activity.client().get_workflow_handle(child, result_type=RawValue)
    with _beating(Past()):
        try:
            result: RawValue = await handle.result()
        except WorkflowFailureError as error:
            cause = error.cause
            if isinstance(cause, ApplicationError):
                raise ApplicationError(cause.message, *cause.details, type=cause.type, non_retryable=True) from None
            raise ApplicationError(str(cause), type=type(cause).__name__, non_retryable=True) from None
    return result


class _Performer:
    """Performs one activity for every saga that uses it."""

    def __init__(
        self,
        performed: Activity,
        sagas: Mapping[str, Definition],
        participants: Mapping[str, object],
        threads: Executor,
    ) -> None:
        self._activity = performed
        self._sagas = sagas
        self._threads = threads
        self._function = function_of(performed, participants)

    def defined(self) -> Callable[..., object]:
        """Return the function that a worker registers."""

        @activity.defn(name=self._activity.name)
        async def perform(value: RawValue) -> RawValue:
            return await self._perform(value)

        return perform

    async def _perform(self, value: RawValue) -> RawValue:
        call, info = self._call(value), activity.info()
        past = _past(info)
        with _beating(past):
            last = await attempt(
                call, self._function, number=info.attempt, in_thread=self._in_thread, payload_limit=LARGEST_PART
            )
        if last.state is CallState.DONE:
            told = Mark(saga="done", attempts=info.attempt, overdue_at=past.overdue_at)
            note = told.model_dump(mode="json", exclude_defaults=True) if info.attempt > 1 else {}
            return to_raw(last.output or "null", note)
        if not last.final:  # for the next attempt
            activity.heartbeat(past.model_copy(update={"answered": info.attempt}).model_dump(mode="json"))
        raise _failed(last, info, past)

    def _call(self, value: RawValue) -> Call:
        info = activity.info()
        definition = self._sagas.get(info.workflow_type or "")
        if definition is None or info.workflow_id is None:
            msg = (
                f"{self._activity.name} was called by {info.workflow_type}, which is no saga of this worker; "
                f"it has {', '.join(self._sagas)}"
            )
            raise ApplicationError(msg, type="UnknownSagaError")
        name, role = split_role(info.activity_id)
        step = definition.step(step_of(name))
        return Call(info.workflow_id, definition.saga, name, role, step, text_of(value))

    async def _in_thread(self, function: Callable[[Any], object], value: Any) -> object:  # any input
        context = copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: context.run(function, value))


def _past(info: activity.Info) -> Past:
    """Read what the attempt before told; what it did not tell, it was given up before it could."""
    told = Past.model_validate(info.heartbeat_details[0]) if info.heartbeat_details else Past()
    if told.answered >= info.attempt - 1:
        return told
    return Past(answered=info.attempt - 1, overdue_at=datetime.now(UTC))


def _failed(last: Attempt, info: activity.Info, past: Past) -> ApplicationError:
    rejected = last.state is CallState.REJECTED
    mark = Mark(
        saga="rejected" if rejected else "in doubt",
        run=info.workflow_run_id or "",
        attempts=info.attempt,
        recorded=last.recorded,
        overdue_at=past.overdue_at,
        failure=last.failure,
    )
    return ApplicationError(
        "" if last.failure is None else last.failure.message,
        mark.model_dump(mode="json", exclude_defaults=True),
        type="Unknown" if last.failure is None else last.failure.type,
        non_retryable=last.final,
        category=ApplicationErrorCategory.BENIGN if rejected else ApplicationErrorCategory.UNSPECIFIED,
    )


@contextmanager
def _beating(past: Past) -> Generator[None]:
    """Heartbeat while an attempt lasts: that is how the server tells it to stop, and how a lost worker is noticed."""
    loop = asyncio.get_running_loop()
    told, context = past.model_dump(mode="json"), copy_context()
    alarms: list[asyncio.TimerHandle] = []

    def beat() -> None:
        activity.heartbeat(told)
        alarms[:] = [loop.call_later(BEAT, context.run, beat)]

    alarms.append(loop.call_later(BEAT, context.run, beat))
    try:
        yield
    finally:
        alarms.pop().cancel()
