"""The Temporal engine: the same interface as the embedded one, on workflows of a Temporal server."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Worker

from saga.errors import (
    EngineClosedError,
    IdReusedError,
    UnknownSagaError,
)
from saga.kernel import (
    SagaHandle,
    SagaState,
    SagaSummary,
    check_list,
    check_start,
    definition_of,
    definitions_of,
)

from ._asking import asked, listed, refused
from ._carried import LARGEST
from ._definitions import KEY, remembered
from ._events import decrypted
from ._history import started_in
from ._journals import FROM_OUTSIDE, STATES, TemporalJournals
from ._payloads import to_raw
from ._plugin import SagaPlugin
from ._recover import recover

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
    from datetime import datetime
    from types import TracebackType
    from typing import Self

    from temporalio.client import Client, WorkflowExecution

    from saga.kernel import Definition, Fact, Runs

    Facts: TypeAlias = list[Fact]  # inside the class `list` is a method

__all__ = ("TemporalEngine",)

RunRequest = TypeVar("RunRequest")
RunResult = TypeVar("RunResult")


class TemporalEngine(TemporalJournals):
    """Runs sagas on a Temporal server.

    With `participants` it runs a worker in this process while it is entered; without, other workers do
    (`saga worker`, or your own with `SagaPlugin`), and it only talks to the server.

    Args:
        client: A connected client.
        task_queue: Task queue of the sagas' workers.
        sagas: The saga classes; needed for a worker.
        participants: The real participants, by the names that the saga classes give them; None for no worker.
        task_queues: Task queues of participants that have their own workers.
        history_budget: Events of history after which an instance that is started goes on in a new run; None leaves
            that to the server.
    """

    def __init__(
        self,
        client: Client,
        *,
        task_queue: str,
        sagas: Sequence[type[Runs[Any, Any]]] = (),
        participants: Mapping[str, object] | None = None,
        task_queues: Mapping[str, str] | None = None,
        history_budget: int | None = None,
    ) -> None:
        super().__init__(client)
        self._queue = task_queue
        self._sagas = sagas
        self._participants = participants
        self._queues = task_queues
        self._budget = history_budget
        self._entered: AsyncExitStack | None = None
        self._memos: dict[str, Mapping[str, object]] = {}

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
                memo=self._memo(definition),
            )
        except WorkflowAlreadyStartedError:
            await self._check_same(definition, payload, id)
        except RPCError as error:
            raise refused(error, id) from None
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
        """Yield instances, newest first, as the server's list has them; it may lag behind by a moment.

        Without `saga`, and where this engine has no sagas, those are listed that an engine started, and their children.
        An instance that compensates is listed as RUNNING until it has ended: the list does not know better. One that
        was terminated, timed out or cancelled by force has no state there, and is `ended_from_outside` until somebody
        recovers it; no `states` ask for it.

        Raises:
            InvalidRequestError: if what is asked for makes no sense.
            ServerError: if the server or its namespace cannot be reached.
        """
        wanted = check_list(states, started_after=started_after, started_before=started_before, limit=limit)
        named = saga if saga is None or isinstance(saga, str) else definition_of(saga).saga
        names = [named] if named is not None else [*definitions_of(self._sagas)]
        count = 0
        query = _query(names, id_prefix, started_after, started_before)
        async for one in listed(self._client.list_workflows(query)):
            if not names and not await _is_saga(one):
                continue
            state = STATES.get(one.status) if one.status is not None else None
            if state is SagaState.RUNNING and await one.memo_value("saga_state", None) == SagaState.STUCK:
                state = SagaState.STUCK
            if state is None and not await self._was_ended(one):
                continue
            if wanted and state not in wanted:
                continue
            count += 1
            yield SagaSummary(
                one.id, one.workflow_type, state, one.start_time, one.close_time or one.start_time, one.parent_id
            )
            if limit is not None and count >= limit:
                return

    async def _was_ended(self, one: WorkflowExecution) -> bool:
        """Tell whether an instance was ended from outside, and not recovered since."""
        if one.status not in FROM_OUTSIDE:
            return False
        try:
            return (await self._handle(one.id).describe()).run_id == one.run_id
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:  # deleted meanwhile
                return False
            raise refused(error, one.id) from None

    async def recover(
        self, saga: type[Runs[RunRequest, RunResult]], id: str, *, by: str, why: str
    ) -> SagaHandle[RunResult]:
        """Compensate an instance that cannot do so itself any more; see `saga.temporal.recover`.

        Raises:
            ActRefusedError: if it goes on by itself, or has ended by itself.
            SagaError: as `recover`.
        """
        return await recover(self._client, saga, id, by=by, why=why)

    # -- the edge ------------------------------------------------------------------------

    def _memo(self, definition: Definition) -> Mapping[str, object]:
        known = self._memos.get(definition.saga)
        if known is None:
            memo = remembered(definition).model_copy(update={"budget": self._budget})
            known = self._memos[definition.saga] = {KEY: memo.model_dump(mode="json")}
        return known

    def _prepared(self, saga: type, request: object, id: str) -> tuple[Definition, str]:
        """Check everything about a start before the server hears of it."""
        if self._entered is None:
            msg = "the engine is not open: use `async with TemporalEngine(...) as engine`"
            raise EngineClosedError(msg)
        definition = definition_of(saga)
        payload = check_start(definition, request, id, assured="nothing was started", limit=LARGEST)
        return definition, payload

    async def _check_same(self, definition: Definition, payload: str, id: str) -> None:
        async for event in listed(self._handle(id).fetch_history_events(page_size=1)):
            [known] = await decrypted([event], self._client.data_converter.payload_codec)
            first = started_in(known)
            what = "" if definition.request.same(first.payload or "", payload) else "with another request"
            if first.saga != definition.saga:
                what = f"as a {first.saga}"
            if what:
                raise IdReusedError(f"{definition.saga} {id}: this id was used before, {what}. Choose another id")
            return


async def _is_saga(one: WorkflowExecution) -> bool:
    """Tell the instances of sagas from other workflows: by what `start` left beside them, or as nested in one."""
    return "~" in one.id or KEY in await one.memo()


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
