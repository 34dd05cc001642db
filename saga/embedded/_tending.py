"""What an engine does beside driving: heartbeats, taking over what others left, requests from other processes."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from saga.errors import JournalError, SagaError
from saga.kernel import decode_request

from ._append import Answer
from ._collector import collector_resting
from ._faults import first_line

if TYPE_CHECKING:
    from datetime import timedelta

    from ._ownership import Claim, Ownership
    from ._requests import Request
    from ._stage import Stage
    from ._store import Store
    from ._tenure import Tenure

__all__ = ("Tending",)

logger = logging.getLogger(__name__)

_LOOK = 0.1  # seconds between two looks for requests from other processes
_CLAIMED_AT_ONCE = 1000
_LONGEST_PAUSE = 60.0


class _Again(NamedTuple):
    """When an instance is tried again, and after how long if that fails too; in seconds."""

    due: float
    pause: float = 0.1

    def later(self, now: float) -> _Again:
        """Return the time after the next."""
        return _Again(now + self.pause, min(2 * self.pause, _LONGEST_PAUSE))


class Tending:
    """Tends the journal for one engine, in the background."""

    def __init__(
        self, store: Store, ownership: Ownership, tenure: Tenure, stage: Stage, *, retention: timedelta | None
    ) -> None:
        self._store = store
        self._ownership = ownership
        self._tenure = tenure
        self._stage = stage
        self._retention = retention
        self._every = ownership.lease.total_seconds() / 4
        self._in_progress: dict[int, asyncio.Task[None]] = {}
        self._waiting: list[Claim] = []
        self._again: dict[str, _Again] = {}
        self._loop = asyncio.get_running_loop()
        self._closing = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    # -- beginning and ending ------------------------------------------------------------

    async def begin(self) -> None:
        """Resume what nobody drives, and tend from now on."""
        self._tasks.append(self._loop.create_task(self._beat()))
        await self.claim()
        self._tasks.append(self._loop.create_task(self._tend()))

    def close(self) -> None:
        """Take over nothing more; the signs of life go on until `end`."""
        self._closing.set()

    async def end(self) -> None:
        """End everything; what is in progress stays for the next owner."""
        self._closing.set()
        self._stage.over.set()
        # Nothing is cancelled: a thread cannot be, and would use a journal that is closed by then.
        await asyncio.gather(*self._tasks, *self._in_progress.values(), return_exceptions=True)

    # -- signs of life -------------------------------------------------------------------

    async def beat(self) -> None:
        """Give a sign of life, and let go of what others took over because there was none for too long.

        Raises:
            JournalError: if the journal cannot be written.
        """
        began = self._tenure.now()
        started = [drive for drive in self._stage.drives.values() if drive.started]
        if not await asyncio.to_thread(self._ownership.beat):
            self._stage.check_lost(started, await asyncio.to_thread(self._ownership.owned))
        self._tenure.renew(began)

    async def _beat(self) -> None:
        while not await _set_within(self._stage.over, self._every):
            try:
                await self.beat()
            except JournalError as error:
                logger.warning("the journal does not answer, so others may take over: %s", error)
            except Exception:
                logger.exception("no sign of life could be given")
        if self._stage.failure is not None:
            with suppress(JournalError):  # then others wait until the lease has passed
                await asyncio.to_thread(self._ownership.release)

    # -- taking over ---------------------------------------------------------------------

    async def claim(self) -> int:
        """Take over and resume what nobody drives; return how many."""
        with collector_resting():
            total = found = await self._claim_some()
            while found == _CLAIMED_AT_ONCE and not self._closing.is_set():
                found = await self._claim_some()
                total += found
        return total

    async def _claim_some(self) -> int:
        names = tuple(self._stage.definitions)
        claims = await asyncio.to_thread(self._ownership.claim, names, limit=_CLAIMED_AT_ONCE)
        self._waiting += claims
        await self._resume()
        return len(claims)

    async def _resume(self) -> None:
        """Resume what was claimed; what cannot be read now stays for the next time."""
        claims = list(self._waiting)
        loaded = await asyncio.to_thread(lambda: list(self._store.load_open(claims)))
        self._waiting = self._waiting[len(claims) :]
        if not self._closing.is_set():
            await self._stage.resume(loaded)

    async def _try_again(self) -> None:
        """Resume what this process owns and could not drive when it tried before."""
        broken, now = self._stage.undriven(), self._loop.time()
        self._again = {id: self._again.get(id) or _Again(now) for id in broken}
        due = [id for id, again in self._again.items() if again.due <= now][:_CLAIMED_AT_ONCE]
        if not due:
            return
        for id in due:
            self._again[id] = self._again[id].later(now)
        waiting = {claim.id for claim in self._waiting}
        self._waiting += [claim for id in due if (claim := broken[id].claim) is not None and id not in waiting]
        await self._reclaim([id for id in due if broken[id].claim is None and id not in waiting])
        await self._resume()

    async def _reclaim(self, ids: list[str]) -> None:
        """Fence off what former drives may have left in the writer's queue."""
        claims = await asyncio.to_thread(self._ownership.reclaim, ids) if ids else []
        self._waiting += claims
        for id in set(ids) - {claim.id for claim in claims}:
            self._stage.broken.pop(id, None)  # it has ended, or is not this process' any more

    async def _tend(self) -> None:
        due = self._loop.time() + self._every
        pause = _LOOK
        while not await _set_within(self._closing, pause):
            if self._stage.failure is not None:
                return
            try:
                await self._take_requests()
                await self._try_again()
                if self._loop.time() >= due:
                    due = self._loop.time() + self._every
                    await self.claim()
                    await self._purge()
                pause = _LOOK
            except JournalError as error:
                pause = max(_LOOK, self._every)  # it may come back; until then others take over
                logger.warning("the journal could not be tended: %s", error)
            except Exception:
                pause = max(_LOOK, self._every)
                logger.exception("the journal could not be tended")

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
            task.add_done_callback(lambda _, number=request.request: self._in_progress.pop(number, None))  # type: ignore[misc]

    async def _serve(self, request: Request) -> None:
        """Bring a request to its instance; unless it is refused, the answer is journaled with its fact."""
        try:
            asked = decode_request(request.body)
            await self._stage.journals.hand_over(request.id, asked, [Answer(request.request)])
        except SagaError as error:
            await self._refuse(request, error)
        except Exception as error:
            logger.exception("request %s of %s could not be served", request.request, request.id)
            failed = f"{request.id}: the engine could not act on this ({first_line(error)}); its log tells more"
            await self._refuse(request, SagaError(failed))

    async def _refuse(self, request: Request, error: SagaError) -> None:
        with suppress(JournalError):  # then it is found, and refused, again
            answer = Answer(request.request, str(error), type(error).__name__)
            await asyncio.to_thread(self._store.requests.answer, answer)


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()
