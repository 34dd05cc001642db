"""The embedded engine: runs sagas inside the application's own process, on a journal in SQLite or PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from saga.errors import (
    EngineClosedError,
    IdReusedError,
    ParticipantError,
    SagaError,
    UnknownSagaError,
)
from saga.kernel import (
    PAYLOAD_LIMIT,
    Definition,
    Runs,
    SagaHandle,
    SagaState,
    SagaSummary,
    check_list,
    check_start,
    definition_of,
    definitions_of,
    missing_participants,
    time_faults,
)

from ._append import DuplicateInstanceError
from ._listing import Filter
from ._open import OpenJournal
from ._ownership import LEASE
from ._pages import pages
from ._settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
    from datetime import datetime
    from types import TracebackType
    from typing import Self

    from ._drive import Drive
    from ._purge import Purged

__all__ = ("EmbeddedEngine",)

RunRequest = TypeVar("RunRequest")
RunResult = TypeVar("RunResult")


class EmbeddedEngine:
    """Runs sagas in this process; nothing to install but this library.

    Entering it opens (or makes) the journal and resumes every open instance of its sagas that nobody drives,
    such as those of a process that was killed. Several engines, in several processes, may share a journal.

    `run` runs on the event loop: one that never comes back (`while True: pass`) blocks it until the process is
    killed. If that happened ten times in a row with a call in flight, the instance is STUCK, and `run` is not
    entered. With no call in flight, as after a decision, nobody counts: deploy other code first.

    Args:
        url: Where the journal is: `sqlite:///transfers.db`, or `postgresql://user@host/database`.
        sagas: The saga classes that this engine runs; nested ones are included.
        participants: The real participants, by the names that the saga classes give them.
        threads: Threads for activities that are not `async`.
        payload_limit: Largest request, input, output or result, in bytes of JSON.
        grace: How long leaving waits for activities that run.
        lease: After how long without a sign of life another machine's engine is taken over.
        retention: How long ended instances are kept; None keeps them until `purge`.
        allow_shared: Whether a SQLite file may hold tables of others beside the journal's.

    Raises:
        SagaDefinitionError: if one of the classes is no saga class.
        SagaError: if one of the settings makes no sense; all of them are named.

    Example:
        >>> import asyncio
        >>> from saga import EmbeddedEngine, ReadOnly, Saga
        >>> def add_one(number: int) -> int: return number + 1
        >>> class Count(Saga):
        ...     add = ReadOnly(add_one)
        ...     async def run(self, number: int) -> int:
        ...         return await self.add(number)
        >>> async def main():
        ...     async with EmbeddedEngine("sqlite:///count.db", sagas=[Count]) as engine:
        ...         return await engine.run(Count, 41, id="count-1")
        >>> asyncio.run(main())
        42
    """

    def __init__(
        self,
        url: str,
        *,
        sagas: Sequence[type],
        participants: Mapping[str, object] | None = None,
        threads: int = 32,
        payload_limit: int = PAYLOAD_LIMIT,
        grace: timedelta = timedelta(seconds=5),
        lease: timedelta = LEASE,
        retention: timedelta | None = None,
        allow_shared: bool = False,
    ) -> None:
        self._settings = Settings(threads, payload_limit, grace, lease, retention, allow_shared)
        self._url = url
        self._definitions = definitions_of(sagas)
        self._participants = dict(participants or {})
        self._open: OpenJournal | None = None

    # -- entering and leaving ------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Open the journal and resume what nobody drives.

        Raises:
            ParticipantError: if a participant is missing or lacks a method; all of them are named.
            JournalError: if the journal cannot be used; the type says why.
        """
        if self._open is not None:
            msg = "this engine is open already; make one engine for each `async with`"
            raise EngineClosedError(msg)
        missing = missing_participants(self._definitions.values(), self._participants)
        if missing:
            raise ParticipantError("\n".join(["the engine cannot start:", *(f"  {one}" for one in missing)]))
        self._open = await OpenJournal.enter(
            self._url,
            self._definitions,
            self._participants,
            self._settings,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let running activities end for a while, and leave everything else to the next owner."""
        opened, self._open = self._open, None
        if opened is not None:
            await opened.leave(self._settings.grace)

    # -- instances -----------------------------------------------------------------------

    async def start(
        self, saga: type[Runs[RunRequest, RunResult]], request: RunRequest, *, id: str
    ) -> SagaHandle[RunResult]:
        """Start an instance and return its handle, once its start is durable.

        An id that exists returns the handle of that instance, if saga and request are the same.

        Args:
            saga: The saga class.
            request: What `run` is given.
            id: Id of the instance: up to 255 characters, without `/`, `~` and control characters.

        Raises:
            InvalidIdError: if the id cannot name an instance.
            InvalidRequestError: if the request does not fit; nothing was written.
            IdReusedError: if the id exists with another saga or request.
            EngineClosedError: if the engine is not open.
            JournalWriteError: if the start could not be made durable, or nobody knows whether it was.
        """
        opened, definition, payload = self._prepared(saga, request, id)
        drive = opened.stage.drives.get(id) or opened.stage.launch(definition, id, payload)
        await self._check_started(opened, drive, definition, payload)
        return SagaHandle(opened.stage.journals, definition, id)

    async def run(self, saga: type[Runs[RunRequest, RunResult]], request: RunRequest, *, id: str) -> RunResult:
        """Start an instance and wait for its result; an id that exists returns that instance's result.

        Cancelling the wait changes nothing about the saga.

        Raises:
            SagaCompensatedError: if the saga ended COMPENSATED.
            SagaStuckError: if the saga becomes STUCK; its message is the operator's page.
            SagaError: as `start`.
        """
        opened, definition, payload = self._prepared(saga, request, id)
        handle: SagaHandle[RunResult] = SagaHandle(opened.stage.journals, definition, id)
        drive = opened.stage.drives.get(id)
        if drive is None:
            drive = opened.stage.launch(definition, id, payload)
            await drive.rest()
            if drive.at_rest:
                return handle.result_of(drive.instance)
        await self._check_started(opened, drive, definition, payload)
        return await handle.result()

    async def get(self, saga: type[Runs[RunRequest, RunResult]], id: str) -> SagaHandle[RunResult]:
        """Return the handle of an instance.

        Raises:
            UnknownSagaError: if there is none with this id, or it is of another saga.
        """
        opened = self._opened()
        definition = definition_of(saga)
        stored = await asyncio.to_thread(opened.store.get, id) if id.isprintable() else None
        if stored is None:
            raise UnknownSagaError(f"the journal at {opened.store.place} holds no instance {id!r}")
        if stored.saga != definition.saga:
            raise UnknownSagaError(f"{id} is a {stored.saga}, not a {definition.saga}")
        return SagaHandle(opened.stage.journals, definition, id)

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
        """Yield instances, newest first, page by page as they are asked for.

        Args:
            saga: Only this saga, by class or name.
            states: Only these states; empty means all.
            id_prefix: Only ids that begin so.
            started_after: Started then or later, aware.
            started_before: Started earlier than that, aware.
            limit: At most so many; None means all.

        Raises:
            InvalidRequestError: if what is asked for makes no sense, such as a time without a time zone.
            JournalError: if the journal cannot be read.
        """
        opened = self._opened()
        wanted = check_list(states, started_after=started_after, started_before=started_before, limit=limit)
        name = saga if saga is None or isinstance(saga, str) else definition_of(saga).saga
        some = pages(opened.store, Filter(name, wanted, id_prefix, started_after, started_before), limit=limit)
        while (page := await asyncio.to_thread(next, some, None)) is not None:
            for one in page:
                yield one

    async def purge(self, *, older_than: timedelta, sagas: Sequence[type] | None = None) -> Purged:
        """Remove instances that ended longer ago than `older_than`; children of open parents stay.

        Their ids are free again afterwards.

        Raises:
            SagaError: if `older_than` is no time, or negative.
        """
        if faults := time_faults("older_than", older_than):
            raise SagaError(f"nothing was purged: {faults[0]}")
        opened = self._opened()
        names = None if sagas is None else [definition_of(saga).saga for saga in sagas]
        before = opened.stage.now() - older_than
        return await asyncio.to_thread(opened.store.purge, ended_before=before, sagas=names)

    # -- the edge ------------------------------------------------------------------------

    def _opened(self) -> OpenJournal:
        if self._open is None:
            msg = "the engine is not open: use `async with EmbeddedEngine(...) as engine`"
            raise EngineClosedError(msg)
        return self._open

    def _prepared(self, saga: type, request: object, id: str) -> tuple[OpenJournal, Definition, str]:
        """Check everything about a start before anything is written."""
        opened = self._opened()
        opened.stage.check_open()
        definition = definition_of(saga)
        if self._definitions.get(definition.saga) is not definition:
            known = ", ".join(self._definitions) or "none"
            other = ", another class of that name," if definition.saga in self._definitions else ""
            msg = f"this engine does not run {definition.saga}{other} but {known}; pass the class in `sagas=`"
            raise UnknownSagaError(msg)
        limit = self._settings.payload_limit
        payload = check_start(definition, request, id, assured="nothing was written", limit=limit)
        return opened, definition, payload

    async def _check_started(self, opened: OpenJournal, drive: Drive, definition: Definition, payload: str) -> None:
        """Return once the start is durable and was made with the same saga and request (S14)."""
        await drive.start()
        if drive.started:
            saga, same = drive.instance.saga, definition.request.same(drive.instance.request, payload)
        elif isinstance(drive.error, DuplicateInstanceError):
            saga, same = await opened.stage.journals.compared(drive.id, definition.request, payload)
        elif drive.error is not None:
            raise drive.error
        else:
            what = f"{definition.saga} {drive.id} may have been started or not"
            raise EngineClosedError(f"{what}: the engine was closed meanwhile. Start it again with the same id")
        if saga != definition.saga or not same:
            what = f"as a {saga}" if saga != definition.saga else "with another request"
            msg = f"{definition.saga} {drive.id}: this id was used before, {what}. Choose another id"
            raise IdReusedError(msg)
