"""What an engine does beside driving: heartbeats, taking over what others left, requests from other processes."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from saga.errors import JournalError, SagaError
from saga.kernel import decode_request

from ._append import Answer

if TYPE_CHECKING:
    from datetime import timedelta

    from ._ownership import Ownership
    from ._requests import Request
    from ._stage import Stage
    from ._store import Store

__all__ = ("Tending",)

logger = logging.getLogger(__name__)

_LOOK = 0.1  # seconds between two looks for requests from other processes
_CLAIMED_AT_ONCE = 1000


class Tending:
    """Tends the journal for one engine, in the background."""

    def __init__(self, store: Store, ownership: Ownership, stage: Stage, *, retention: timedelta | None) -> None:
        self._store = store
        self._ownership = ownership
        self._stage = stage
        self._retention = retention
        self._in_progress: dict[int, asyncio.Task[None]] = {}
        self._loop = asyncio.get_running_loop()

    async def claim(self) -> int:
        """Take over and resume what nobody drives; return how many."""
        total = 0
        while True:
            claims = await asyncio.to_thread(
                self._ownership.claim, tuple(self._stage.definitions), limit=_CLAIMED_AT_ONCE
            )
            loaded = await asyncio.to_thread(lambda: list(self._store.load_open(claims)))  # noqa: B023 - awaited here
            for claim, rows in loaded:
                await self._stage.resume(claim, rows, crashed=claim.crashed)
            total += len(claims)
            if len(claims) < _CLAIMED_AT_ONCE:
                return total

    async def tend(self) -> None:
        """Go on until cancelled."""
        beat = self._ownership.lease.total_seconds() / 4
        due = self._loop.time() + beat
        while True:
            await asyncio.sleep(_LOOK)
            try:
                await self._take_requests()
                if self._loop.time() >= due:
                    due = self._loop.time() + beat
                    await asyncio.to_thread(self._ownership.beat)
                    await self.claim()
                    await self._purge()
            except JournalError:
                # The journal may come back; until then others take over what this engine cannot claim.
                logger.warning("the journal does not answer", exc_info=True)

    async def _purge(self) -> None:
        if self._retention is not None:
            before = self._stage.now() - self._retention
            await asyncio.to_thread(self._store.purge, ended_before=before)

    # -- requests ------------------------------------------------------------------------

    async def _take_requests(self) -> None:
        requests = await asyncio.to_thread(
            self._store.requests.take, self._ownership.owner, frozenset(self._in_progress)
        )
        for request in requests:
            task = self._loop.create_task(self._serve(request))
            self._in_progress[request.request] = task
            task.add_done_callback(lambda _, number=request.request: self._in_progress.pop(number, None))

    async def _serve(self, request: Request) -> None:
        answer = Answer(request.request)
        try:
            if not await self._stage.journals.hand_over(request.id, decode_request(request.body)):
                return  # it ended, or another process has it by now
        except SagaError as error:
            answer = Answer(request.request, str(error), type(error).__name__)
        await asyncio.to_thread(self._store.requests.answer, answer)

    async def stop(self) -> None:
        """Leave what is in progress to the next owner."""
        tasks = list(self._in_progress.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
