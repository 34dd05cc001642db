"""The Temporal engine: the same interface as the embedded one, on workflows of a Temporal server."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.common import RawValue, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError
from temporalio.worker import Worker

from saga.errors import (
    EngineClosedError,
    IdReusedError,
    InvalidRequestError,
    PayloadTooLargeError,
    UnknownSagaError,
)
from saga.kernel import (
    PAYLOAD_LIMIT,
    Instance,
    SagaHandle,
    SagaStarted,
    SagaState,
    SagaSummary,
    check_id,
    definition_of,
    size_of,
)
from saga.kernel import facts as f

from ._asking import asked, refused
from ._endings import compensated
from ._payloads import facts_in, text_of, to_raw
from ._plugin import SagaPlugin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
    from datetime import datetime
    from types import TracebackType
    from typing import Self

    from temporalio.client import Client

    from saga.kernel import Definition, Fact, Request, Runs

    Facts: TypeAlias = list[Fact]  # inside the class `list` is a method

__all__ = ("TemporalEngine",)

RunRequest = TypeVar("RunRequest")
RunResult = TypeVar("RunResult")

_FIRST_LOOK: Final = 1.0
_LAST_LOOK: Final = 10.0
"""Seconds between two looks at whether a running instance is STUCK: at first, and at most."""


class TemporalEngine:
    """Runs sagas on a Temporal server.

    With `participants` it runs a worker in this process while it is entered; without, other workers do
    (`saga worker`, or your own with `SagaPlugin`), and it only talks to the server.

    Args:
        client: A connected client.
        task_queue: Task queue of the sagas' workers.
        sagas: The saga classes; needed for a worker.
        participants: The real participants, by the names that the saga classes give them; None for no worker.
        task_queues: Task queues of participants that have their own workers.
    """

    def __init__(
        self,
        client: Client,
        *,
        task_queue: str,
        sagas: Sequence[type[Runs[Any, Any]]] = (),
        participants: Mapping[str, object] | None = None,
        task_queues: Mapping[str, str] | None = None,
    ) -> None:
        self._client = client
        self._queue = task_queue
        self._sagas = sagas
        self._participants = participants
        self._queues = task_queues
        self._entered: AsyncExitStack | None = None

    # -- entering and leaving ------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Start the worker, if this engine has participants.

        Raises:
            ParticipantError: if a participant is missing or lacks a method; all of them are named.
        """
        if self._entered is not None:
            msg = "this engine is open already; make one engine for each `async with`"
            raise EngineClosedError(msg)
        async with AsyncExitStack() as entering:
            if self._participants is not None:
                plugin = SagaPlugin(sagas=self._sagas, participants=self._participants, task_queues=self._queues)
                await entering.enter_async_context(Worker(self._client, task_queue=self._queue, plugins=[plugin]))
            self._entered = entering.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the worker; the instances stay with the server, and the next worker goes on."""
        entered, self._entered = self._entered, None
        if entered is not None:
            await entered.aclose()

    # -- instances -----------------------------------------------------------------------

    async def start(
        self, saga: type[Runs[RunRequest, RunResult]], request: RunRequest, *, id: str
    ) -> SagaHandle[RunResult]:
        """Start an instance and return its handle, once the server has it.

        An id that exists returns the handle of that instance, if saga and request are the same.

        Raises:
            InvalidIdError: if the id cannot name an instance.
            InvalidRequestError: if the request does not fit; nothing was started.
            IdReusedError: if the id exists with another saga or request.
            EngineClosedError: if the engine is not open.
        """
        definition, payload = self._prepared(saga, request, id)
        try:
            await self._client.start_workflow(
                definition.saga,
                to_raw(payload),
                id=id,
                task_queue=self._queue,
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                memo={"saga_definition": definition.fingerprint},
            )
        except WorkflowAlreadyStartedError:
            await self._check_same(definition, payload, id)
        return SagaHandle(self, definition, id)

    async def run(self, saga: type[Runs[RunRequest, RunResult]], request: RunRequest, *, id: str) -> RunResult:
        """Start an instance and wait for its result; an id that exists returns that instance's result.

        Raises:
            SagaCompensatedError: if the saga ended COMPENSATED.
            SagaStuckError: if the saga becomes STUCK; its message is the operator's page.
            SagaError: as `start`.
        """
        return await (await self.start(saga, request, id=id)).result()

    async def get(self, saga: type[Runs[RunRequest, RunResult]], id: str) -> SagaHandle[RunResult]:
        """Return the handle of an instance.

        Raises:
            UnknownSagaError: if there is none with this id, or it is of another saga.
        """
        definition = definition_of(saga)
        described = await asked(self._handle(id).describe(), id)
        if described.workflow_type != definition.saga:
            raise UnknownSagaError(f"{id} is a {described.workflow_type}, not a {definition.saga}")
        return SagaHandle(self, definition, id)

    async def list(
        self,
        *,
        saga: type[Runs[Any, Any]] | str | None = None,
        states: Iterable[SagaState] = (),
        id_prefix: str = "",
        started_after: datetime | None = None,
        started_before: datetime | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[SagaSummary]:
        """Yield instances, newest first, as the server's list has them; it may lag behind by a moment."""
        named = saga if saga is None or isinstance(saga, str) else definition_of(saga).saga
        names = [named] if named is not None else [definition_of(one).saga for one in self._sagas]
        wanted, count = set(states), 0
        query = _query(names, id_prefix, started_after, started_before)
        async for one in self._client.list_workflows(query):
            state = _STATES.get(one.status) if one.status is not None else None
            if state is SagaState.RUNNING and await one.memo_value("saga_state", None) == SagaState.STUCK:
                state = SagaState.STUCK
            if state is None or (wanted and state not in wanted):
                continue
            count += 1
            yield SagaSummary(
                one.id, one.workflow_type, state, one.start_time, one.close_time or one.start_time, one.parent_id
            )
            if limit is not None and count >= limit:
                return

    # -- Journals, for the handles -------------------------------------------------------

    async def journal(self, id: str) -> Facts:
        """Return the facts of an instance, as its workflow tells them."""
        raw = await asked(self._handle(id).query("journal", result_type=RawValue), id)
        return facts_in(json.loads(text_of(raw)))

    async def send(self, id: str, request: Request) -> None:
        """Bring a request to an instance, as an update of its workflow.

        Raises:
            ActRefusedError: if it makes no sense in the state that the instance is in.
        """
        fields = request.model_dump_json(exclude={"request"})
        handle: Any = self._handle(id)  # one of its overloads has no types
        await asked(handle.execute_update(request.request, to_raw(fields)), id)

    async def at_rest(self, id: str) -> Instance:
        """Return what is known of an instance once it has ended or is STUCK: how it ended, at least."""
        handle = self._handle(id)
        ended = asyncio.ensure_future(handle.result())
        look = _FIRST_LOOK
        try:
            while not (await asyncio.wait([ended], timeout=look))[0]:
                look = min(look * 2, _LAST_LOOK)
                described = await asked(handle.describe(), id)
                if await described.memo_value("saga_state", None) == SagaState.STUCK:
                    return Instance().fold_all(await self.journal(id))
        finally:
            ended.cancel()
        return await self._ended(id, ended)

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
        described = await asked(self._handle(id).describe(), id)
        return Instance().fold_all(_told(described.workflow_type, id, described.start_time, text_of(result)))

    async def follow(self, id: str) -> AsyncIterator[Fact]:
        """Yield every fact of an instance, as its history grows."""
        seen = 0
        async for event in self._handle(id).fetch_history_events(wait_new_event=True):
            told = event.HasField("workflow_task_completed_event_attributes")
            ended = event.event_type in _CLOSING
            if not (told or ended):
                continue
            for fact in (await self.journal(id))[seen:]:
                seen += 1
                yield fact

    # -- the edge ------------------------------------------------------------------------

    def _handle(self, id: str) -> WorkflowHandle[Any, Any]:
        return self._client.get_workflow_handle(id, result_type=RawValue)

    def _prepared(self, saga: type, request: object, id: str) -> tuple[Definition, str]:
        """Check everything about a start before the server hears of it."""
        if self._entered is None:
            msg = "the engine is not open: use `async with TemporalEngine(...) as engine`"
            raise EngineClosedError(msg)
        definition = definition_of(saga)
        check_id(id)
        try:
            payload = definition.request.encode(request)
        except InvalidRequestError as error:
            msg = f"{definition.saga} {id}: the request was refused and nothing was started; {error}"
            raise InvalidRequestError(msg) from None
        if (size := size_of(payload)) > PAYLOAD_LIMIT:
            msg = f"{definition.saga} {id}: the request has {size} bytes of JSON, the limit is {PAYLOAD_LIMIT}"
            raise PayloadTooLargeError(f"{msg}; pass a reference instead")
        return definition, payload

    async def _check_same(self, definition: Definition, payload: str, id: str) -> None:
        async for event in self._handle(id).fetch_history_events(page_size=1):
            started = event.workflow_execution_started_event_attributes
            [first] = await self._client.data_converter.decode(started.input.payloads, [RawValue])
            saga = started.workflow_type.name
            if saga != definition.saga:
                raise IdReusedError(f"{definition.saga} {id}: this id was used before, as a {saga}. Choose another id")
            if not definition.request.same(text_of(first), payload):
                what = "with another request"
                raise IdReusedError(f"{definition.saga} {id}: this id was used before, {what}. Choose another id")
            return


_STATES: Final = {
    WorkflowExecutionStatus.RUNNING: SagaState.RUNNING,
    WorkflowExecutionStatus.COMPLETED: SagaState.COMPLETED,
    WorkflowExecutionStatus.FAILED: SagaState.COMPENSATED,
}
_CLOSING: Final = frozenset({
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT,
})  # fmt: skip


def _told(saga: str, id: str, started_at: datetime, result: str) -> list[Fact]:
    """Return the facts that a result tells: the journal itself is in the history."""
    return [SagaStarted(at=started_at, saga=saga, id=id), f.SagaCompleted(at=started_at, payload=result)]


def _query(names: Sequence[str], prefix: str, after: datetime | None, before: datetime | None) -> str:
    """Return a query of the server's list; every value is quoted."""
    parts = [f"WorkflowType IN ({', '.join(_quoted(name) for name in names)})"] if names else []
    if prefix:
        parts.append(f"WorkflowId STARTS_WITH {_quoted(prefix)}")
    if after is not None:
        parts.append(f"StartTime >= {_quoted(after.isoformat())}")
    if before is not None:
        parts.append(f"StartTime < {_quoted(before.isoformat())}")
    return " AND ".join(parts)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
