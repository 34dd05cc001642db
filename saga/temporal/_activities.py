"""Activities on a worker: the kernel's wrapper around user code, registered under the activities' own names."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from temporalio import activity
from temporalio.client import WorkflowFailureError
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from saga.errors import ParticipantError
from saga.kernel import Call, CallState, attempt, function_of, missing_participants, split_role, step_of

from ._carried import LARGEST_PART
from ._marks import Asked, Mark, Past, past_in
from ._payloads import note_of, text_of, to_raw

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
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
            for one in step.activities:
                found.setdefault(one.name, one)
    return [child_result, *(_Performer(one, sagas, participants, threads).defined() for one in found.values())]


@activity.defn(name=CHILD_RESULT)
async def child_result(child: str) -> RawValue:
    """Wait for a nested saga that runs already: after a reset its parent cannot start it again."""
    handle = activity.client().get_workflow_handle(child, result_type=RawValue)
    with _Heartbeats(Past(saga="past"), ()).beating():
        try:
            result: RawValue = await handle.result()
        except WorkflowFailureError as error:
            cause = error.cause
            if isinstance(cause, ApplicationError):
                raise ApplicationError(cause.message, *cause.details, type=cause.type, non_retryable=True) from None
            raise ApplicationError(str(cause), type=type(cause).__name__, non_retryable=True) from None
    return result


class NotBegunError(Exception):
    """An attempt ended before it began, so that it acted on nothing."""


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
        told, given = past_in(info.heartbeat_details)
        past = _past(told, info, Asked.model_validate(note_of(value)))
        heartbeats = _Heartbeats(past, given)
        with heartbeats.beating():
            last = await attempt(
                call,
                self._function,
                number=info.attempt,
                in_thread=partial(self._in_thread, _ends_at(info)),
                payload_limit=LARGEST_PART,
            )
        if last.state is CallState.DONE:
            done = Mark(saga="done", attempts=info.attempt, overdue_at=past.overdue_at)
            plain = info.attempt == 1 and past.overdue_at is None
            note = {} if plain else done.model_dump(mode="json", exclude_defaults=True)
            return to_raw(last.output or "null", note)
        if not last.final:  # for the next attempt
            heartbeats.tell(past.model_copy(update={"answered": info.attempt}))
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

    async def _in_thread(self, ends_at: float, function: Callable[[Any], object], value: Any) -> object:  # any input
        context = copy_context()
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: context.run(_begin, ends_at, function, value)
        )


def _ends_at(info: activity.Info) -> float:
    """Return when the time limit passes, by this machine's own clock: the server's may go ahead of it, or behind."""
    limit = info.start_to_close_timeout
    return float("inf") if limit is None else time.monotonic() + limit.total_seconds()


def _begin(ends_at: float, function: Callable[[Any], object], value: Any) -> object:  # any input
    # A thread may have been waited for, and the compensation of what the attempt did not do yet may be done by now.
    if activity.is_cancelled() or time.monotonic() >= ends_at:
        raise NotBegunError(
            "no thread was free before the time limit, or before it was asked to stop; it did not begin"
        )
    return function(value)


def _past(told: Past | None, info: activity.Info, asked: Asked) -> Past:
    """Say what is known; what the attempt before did not tell, it was given up before it could."""
    known = told is not None and told.answered >= info.attempt - 1
    past = told if told is not None and known else Past(saga="past", answered=info.attempt - 1)
    given_up = asked.overtaken(info.workflow_run_id) or (info.attempt > 1 and not known)
    return past.model_copy(update={"overdue_at": datetime.now(UTC)}) if given_up and not past.overdue_at else past


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


class _Heartbeats:
    """Heartbeats of one attempt: that is how the server tells it to stop, and how a lost worker is noticed.

    The server keeps only the last one. So each of them holds what the activity itself gave last, followed by what
    the next attempt has to know.

    Args:
        past: What the next attempt is told, unless this one gets to say more.
        given: What the activity gave in an attempt before.
    """

    def __init__(self, past: Past, given: Sequence[Any]) -> None:
        self._told = past
        self._given = given
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        self._alarm: asyncio.TimerHandle | None = None
        # An interceptor does the same, but it is made for a worker, and would have to find the attempt it is called by.
        current = activity._Context.current()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        assert current.heartbeat is not None  # noqa: S101 - the worker sets it before an activity begins
        self._send = current.heartbeat
        info = replace(current.info(), heartbeat_details=given)
        current.info, current.heartbeat = lambda: info, self._give

    def tell(self, past: Past) -> None:
        """Tell the next attempt."""
        self._told = past
        self._send(*self._given, past.model_dump(mode="json"))

    @contextmanager
    def beating(self) -> Generator[None]:
        """Give a sign of life from time to time, whatever the activity gives by itself."""
        self._next()
        try:
            yield
        finally:
            if self._alarm is not None:
                self._alarm.cancel()

    def _next(self) -> None:
        self._alarm = self._loop.call_later(BEAT, self._beat, context=self._context)

    def _beat(self) -> None:
        self.tell(self._told)
        self._next()

    def _give(self, *details: Any) -> None:  # whatever the activity heartbeats, from whatever thread
        self._given = details
        self._loop.call_soon_threadsafe(self._sent, context=self._context)

    def _sent(self) -> None:
        self.tell(self._told)
