"""What an open engine holds, opened and closed in the right order."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._clock import Clock
from ._performer import Performer
from ._stage import Stage
from ._store import Store
from ._tending import Tending

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta
    from typing import Self

    from saga.kernel import Definition

    from ._ownership import Ownership
    from ._writer import Writer

__all__ = ("OpenJournal",)


@dataclass(slots=True)
class OpenJournal:
    """A journal with its writer, the instances driven on it, and what tends it in the background."""

    store: Store
    stage: Stage
    _writer: Writer
    _ownership: Ownership
    _performer: Performer
    _tending: Tending
    _threads: ThreadPoolExecutor
    _background: asyncio.Task[None] | None = None

    @classmethod
    async def enter(
        cls,
        url: str,
        definitions: Mapping[str, Definition],
        participants: Mapping[str, object],
        *,
        threads: int,
        payload_limit: int,
        lease: timedelta,
        retention: timedelta | None,
    ) -> Self:
        """Open the journal, resume what nobody drives, and tend it from now on."""
        store = await asyncio.to_thread(Store.open, url)
        ownership = store.ownership(lease=lease)
        await asyncio.to_thread(ownership.beat)
        writer = store.writer(asyncio.get_running_loop())
        clock, pool = Clock(), ThreadPoolExecutor(threads, thread_name_prefix="saga-activity")
        performer = Performer(participants, clock=clock, threads=pool, payload_limit=payload_limit)
        stage = Stage(
            store,
            writer,
            performer,
            clock,
            definitions=definitions,
            owner=ownership.owner,
            payload_limit=payload_limit,
        )
        tending = Tending(store, ownership, stage, retention=retention)
        opened = cls(store, stage, writer, ownership, performer, tending, pool)
        try:
            await tending.claim()
        except BaseException:
            await opened.leave(lease * 0)
            raise
        opened._background = asyncio.get_running_loop().create_task(tending.tend())
        return opened

    async def leave(self, grace: timedelta) -> None:
        """Stop tending, let go of the instances, flush what was recorded, and release what was owned."""
        if self._background is not None:
            self._background.cancel()
            await asyncio.gather(self._background, return_exceptions=True)
        await self._tending.stop()
        await self.stage.leave(grace)
        self._performer.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._writer.close()
        try:
            if self._writer.failure is None:
                self._ownership.release()
        finally:
            self.store.close()
