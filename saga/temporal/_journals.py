"""Journals of instances on a Temporal server: read, followed, waited for, and what is asked of them."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from temporalio.api.enums.v1 import EventType
from temporalio.client import (
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import RawValue
from temporalio.service import RPCError

from saga.errors import ActRefusedError, ServerError, UnknownSagaError
from saga.kernel import Instance, SagaStarted, SagaState
from saga.kernel import facts as f

from ._asking import asked, listed, refused
from ._endings import compensated
from ._history import history_of
from ._payloads import facts_in, text_of, to_raw
from ._trouble import trouble

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from temporalio.client import Client, WorkflowExecutionDescription

    from saga.kernel import Fact, Request

__all__ = ("FROM_OUTSIDE", "STATES", "TemporalJournals")

_log = logging.getLogger(__name__)

STATES: Final = {
    WorkflowExecutionStatus.RUNNING: SagaState.RUNNING,
    WorkflowExecutionStatus.COMPLETED: SagaState.COMPLETED,
    WorkflowExecutionStatus.FAILED: SagaState.COMPENSATED,
}
"""States of an instance as the server's list has them; STUCK is in the memo."""

FROM_OUTSIDE: Final = frozenset({
    WorkflowExecutionStatus.CANCELED, WorkflowExecutionStatus.TERMINATED, WorkflowExecutionStatus.TIMED_OUT,
})  # fmt: skip
"""Ends that are none of the instance's own; recovery is for them."""

_ANSWERS_WITHIN: Final = timedelta(seconds=5)
"""How long a worker may take to tell a journal; after that its history tells it."""
_TAKES_WITHIN: Final = timedelta(seconds=30)
"""How long a worker may take to take a request."""
_FIRST_LOOK: Final = 2.0
_LAST_LOOK: Final = 10.0
"""Seconds between two looks at whether a running instance is STUCK: at first, and at most."""


class TemporalJournals:
    """What handles need of the engine.

    Args:
        client: A connected client.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    async def journal(self, id: str) -> list[Fact]:
        """Return the facts of an instance, as its workflow tells them; where no worker answers, as its history does."""
        query = self._handle(id).query("journal", result_type=RawValue, rpc_timeout=_ANSWERS_WITHIN)
        try:
            raw = await asked(query, id)
        except ServerError:
            return await history_of(self._client, id)
        return facts_in(json.loads(text_of(raw)))

    async def send(self, id: str, request: Request) -> None:
        """Bring a request to an instance, as an update of its workflow.

        Raises:
            ActRefusedError: if it makes no sense in the state that the instance is in.
            UnknownSagaError: if there is no such instance.
            ServerError: if no worker takes it in time; one that comes later may still take it.
        """
        fields = request.model_dump_json(exclude={"request"})
        handle: Any = self._handle(id)  # one of its overloads has no types
        task = asyncio.current_task()
        try:
            async with asyncio.timeout(_TAKES_WITHIN.total_seconds()):
                await asked(handle.execute_update(request.request, to_raw(fields)), id)
        except UnknownSagaError:
            described = await asked(self._handle(id).describe(), id)
            raise _over(described, request) from None
        except WorkflowUpdateRPCTimeoutOrCancelledError:  # into which the client turns every cancellation
            if task is not None and task.cancelling():
                raise asyncio.CancelledError from None
            found = await trouble(self._client, await asked(self._handle(id).describe(), id))
            text = found or f"{id}: its worker did not take the {request.request} in time"
            raise ServerError(f"{text}. Look whether it was taken meanwhile before you send it again") from None

    async def at_rest(self, id: str) -> Instance:
        """Return what is known of an instance once it has ended or is STUCK: how it ended, at least."""
        handle = self._handle(id)
        ended = asyncio.ensure_future(handle.result())
        look, warned = _FIRST_LOOK, ""
        try:
            while not (await asyncio.wait([ended], timeout=look))[0]:
                look = min(look * 2, _LAST_LOOK)
                described = await asked(handle.describe(), id)
                warned = await self._warn(described, warned)
                if await described.memo_value("saga_state", None) == SagaState.STUCK:
                    return Instance().fold_all(await self.journal(id))
        finally:
            ended.cancel()
        return await self._ended(id, ended)

    async def trouble(self, id: str) -> str:
        """Say why an instance does not go on, in one sentence; empty if nothing is known to keep it.

        Its workflow tasks fail, no worker takes them, or calls of it have failed and are tried again: the server keeps
        those attempts to itself, so that no fact and no view tells of them. Whoever waits for the result reads the
        same in the log.

        Raises:
            UnknownSagaError: if there is no such instance.
            ServerError: if the server cannot be reached.
        """
        return await trouble(self._client, await asked(self._handle(id).describe(), id))

    async def _warn(self, described: WorkflowExecutionDescription, warned: str) -> str:
        """Log why an instance does not go on, unless that was the last thing that was logged about it."""
        found = await trouble(self._client, described)
        if found and _cause(found) != warned:
            _log.warning("%s", found, extra={"saga": described.workflow_type, "saga_id": described.id})
        return _cause(found)

    async def _ended(self, id: str, ended: asyncio.Future[RawValue]) -> Instance:
        try:
            result = ended.result()
        except WorkflowFailureError as error:
            instance = compensated(error.cause)
            if instance is not None:
                return instance
            raise refused(error, id) from None
        except RPCError as error:
            raise refused(error, id) from None
        return Instance().fold_all(_told(id, text_of(result)))

    async def follow(self, id: str) -> AsyncIterator[Fact]:
        """Yield every fact of an instance, as its history grows."""
        seen, goes_on = 0, True
        while goes_on:
            goes_on = False
            async for event in listed(self._handle(id).fetch_history_events(wait_new_event=True)):
                goes_on = event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW
                if event.HasField("workflow_task_completed_event_attributes") or event.event_type in _CLOSING:
                    for fact in (await self.journal(id))[seen:]:
                        seen += 1
                        yield fact

    def _handle(self, id: str) -> WorkflowHandle[Any, Any]:
        return self._client.get_workflow_handle(id, result_type=RawValue)


def _over(described: WorkflowExecutionDescription, request: Request) -> ActRefusedError:
    saga, id, act = described.workflow_type, described.id, request.request
    known = STATES.get(described.status) if described.status is not None else None
    state = str(known or "ended from outside")
    text = f"{saga} {id} is {state}: {act} is refused, nothing can change any more"
    return ActRefusedError(text, saga=saga, id=id, state=state, act=act)


def _cause(found: str) -> str:
    """Return what is wrong, without how often and since when."""
    return re.sub(r"\d+ (attempts|times)|\bonce\b|since [\d:]+", "", found)


_CLOSING: Final = frozenset({
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT,
})  # fmt: skip


def _told(id: str, result: str) -> list[Fact]:
    """Return the facts that a result tells: that it completed, and with what. The rest would take another call."""
    now = datetime.now(UTC)
    return [SagaStarted(at=now, saga="", id=id), f.SagaCompleted(at=now, payload=result)]
