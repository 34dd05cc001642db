"""What an open engine holds, opened and closed in the right order."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from saga.errors import JournalError

from ._clock import Clock
from ._performer import Performer
from ._stage import Stage
from ._store import Store
from ._tending import Tending
from ._tenure import Tenure
from ._threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

    from saga.kernel import Definition

    from ._ownership import Ownership
    from ._settings import Settings
    from ._writer import Writer

__all__ = ("OpenJournal",)

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class OpenJournal:
    """A journal with its writer, the instances driven on it, and what tends it in the background."""

    store: Store
    stage: Stage
    _writer: Writer
    _ownership: Ownership
    _performer: Performer
    _tending: Tending
    _threads: Threads

    @classmethod
    async def enter(
        cls,
        url: str,
        definitions: Mapping[str, Definition],
        participants: Mapping[str, object],
        settings: Settings,
    ) -> Self:
        """Open the journal, resume what nobody drives, and tend it from now on."""
        opening = asyncio.get_running_loop().create_task(cls._enter(url, definitions, participants, settings))
        if await _to_its_end(opening):
            if opening.exception() is None:
                await opening.result().leave(timedelta(0))
            raise asyncio.CancelledError
        return opening.result()

    @classmethod
    async def _enter(
        cls,
        url: str,
        definitions: Mapping[str, Definition],
        participants: Mapping[str, object],
        settings: Settings,
    ) -> Self:
        store = await asyncio.to_thread(Store.open, url, allow_shared=settings.allow_shared)
        try:
            opened = cls._around(store, definitions, participants, settings)
        except BaseException:
            store.close()
            raise
        try:
            await opened.begin()
        except BaseException:
            await opened.leave(timedelta(0))
            raise
        return opened

    @classmethod
    def _around(
        cls,
        store: Store,
        definitions: Mapping[str, Definition],
        participants: Mapping[str, object],
        settings: Settings,
    ) -> Self:
        clock, threads = Clock(), Threads(settings.threads, name="saga-activity")
        tenure = Tenure(settings.lease)
        performer = Performer(
            participants, clock=clock, threads=threads, tenure=tenure, payload_limit=settings.payload_limit
        )
        ownership = store.ownership(lease=settings.lease)
        writer = store.writer(asyncio.get_running_loop())
        stage = Stage(
            store,
            writer,
            performer,
            clock,
            definitions=definitions,
            owner=ownership.owner,
            payload_limit=settings.payload_limit,
        )
        tending = Tending(store, ownership, tenure, stage, retention=settings.retention)
        return cls(store, stage, writer, ownership, performer, tending, threads)

    async def begin(self) -> None:
        """Join those that share the journal, and resume what nobody drives."""
        await self._tending.beat()
        await self._tending.begin()

    async def leave(self, grace: timedelta) -> None:
        """Let go of the instances, flush what was recorded, and release what was owned.

        A cancellation meanwhile ends the grace, and is raised when all that is done.
        """
        leaving = asyncio.get_running_loop().create_task(self._leave(grace))
        cancelled = await _to_its_end(leaving, self.stage.hurry)
        leaving.result()
        if cancelled:
            raise asyncio.CancelledError

    async def _leave(self, grace: timedelta) -> None:
        self._tending.close()
        await self.stage.leave(grace)
        await self._tending.end()
        await self._performer.end()
        self._threads.shutdown()
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._writer.close()
        try:
            # After a failed flush too: nothing is written by this engine any more, so others need not wait.
            self._ownership.release()
        except JournalError as error:
            logger.warning("what this engine drove is taken over when its lease has passed: %s", error)
        finally:
            self.store.close()


async def _to_its_end(task: asyncio.Task[Any], cancelled: Callable[[], None] = lambda: None) -> bool:
    """Wait until `task` has ended, whatever happens, because threads work for it that nobody can cancel.

    Args:
        task: What to wait for; it is left alone.
        cancelled: Called at each cancellation meanwhile.

    Returns:
        Whether a cancellation came meanwhile.
    """
    was_cancelled = False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            was_cancelled = True
            cancelled()
    return was_cancelled
