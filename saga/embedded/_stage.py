"""All instances that this process drives: starting, resuming, performing, and leaving them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, TypeVar

from saga.errors import EngineClosedError, JournalWriteError, OwnershipLostError
from saga.kernel import Decider

from ._append import DuplicateInstanceError
from ._broken import Broken, check_mending, give_up
from ._drive import Drive
from ._interrupts import INTERRUPTS, is_thrown_away, let_go
from ._journals import EmbeddedJournals
from ._nested import perform_child
from ._patience import patiently
from ._resuming import decider_of, replayed
from ._starts import first_fact, new_instance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    from saga.kernel import Call, Definition, Failure, Outcome

    from ._append import Batch
    from ._clock import Clock
    from ._ownership import Claim
    from ._performer import Performer
    from ._starts import Parent
    from ._store import Loaded, Store, StoredFact
    from ._writer import Done, Writer

__all__ = ("Stage",)

logger = logging.getLogger(__name__)

T = TypeVar("T")

_TURN = 0.005  # seconds of resuming in one callback of the loop
_STILL = 0.01  # seconds between two looks whether activities have ended, while leaving


class Stage:
    """Drives instances on one journal.

    Attributes:
        owner: Name of this engine among those that share the journal.
        drives: The instances that this process drives, by id.
        broken: Why this process cannot drive instances that it owns, by id; it tries again, less and less often.
        journals: Reads them, waits for them, and sends requests to those who drive them.
        leaving: Whether the engine is closing.
        over: Set when it drives nothing any more: closed, or after a failed flush.
    """

    def __init__(
        self,
        store: Store,
        writer: Writer,
        performer: Performer,
        clock: Clock,
        *,
        definitions: Mapping[str, Definition],
        owner: str,
        payload_limit: int,
    ) -> None:
        self.owner = owner
        self.drives: dict[str, Drive] = {}
        self.broken: dict[str, Broken] = {}
        self.store = store
        self.definitions = definitions
        self._writer = writer
        self._performer = performer
        self._clock = clock
        self._payload_limit = payload_limit
        self._loop = asyncio.get_running_loop()
        self._until = 0.0
        self.leaving = False
        self.over = asyncio.Event()
        self.journals = EmbeddedJournals(self)

    # -- Host of the drives --------------------------------------------------------------

    def now(self) -> datetime:
        """Return the engine's time."""
        return self._clock.now()

    def submit(self, batch: Batch, done: Done) -> None:
        """Queue a batch for the writer."""
        self._writer.submit(batch, done)

    def tick(self, drive: Drive, due: datetime) -> asyncio.TimerHandle:
        """Let the conductor of a drive look at its timers at `due`."""
        delay = max(0.0, (due - self._clock.now()).total_seconds())
        return self._loop.call_later(delay, drive.tick)

    async def perform(self, drive: Drive, call: Call, failed: Callable[[Failure, bool], None]) -> Outcome:
        """Perform an activity, or drive a nested saga to its end."""
        if self.leaving:
            await self._loop.create_future()  # until the drive is cancelled: the next owner performs it
        if call.step.nested is not None and call.activity.activity is None:
            return await perform_child(self, drive, call, call.step.nested)
        try:
            return await self._performer.perform(call, failed)
        except INTERRUPTS as error:  # the task that awaits this would pass it on by itself, and its drive once more
            raise let_go(call.saga, call.id, error) from error

    # -- starting and resuming -----------------------------------------------------------

    def launch(self, definition: Definition, id: str, payload: str, parent: Parent | None = None) -> Drive:
        """Start an instance; the caller looks at the drive's `error` after its first flush.

        Raises:
            EngineClosedError: if the engine takes no new work.
            JournalWriteError: if a flush failed before.
        """
        self.check_open()
        started = first_fact(definition, id, payload, at=self._clock.now(), parent=parent)
        new = new_instance(started, owner=self.owner, parent=parent)
        decider = Decider(definition, payload_limit=self._payload_limit)
        drive = Drive(self, id, epoch=1, seq=1, decider=decider, new=new)
        # In a callback: the deterministic loop may not be pumped from inside a task.
        self._loop.call_soon(drive.begin, started)
        self._go(drive)
        return drive

    async def resume(self, loaded: Sequence[Loaded]) -> None:
        """Go on with instances that were claimed, as many at a time as let others have their turn."""
        waiting = list(loaded[::-1])
        while waiting and not self.leaving:
            await self.in_callback(lambda: self._resume_some(waiting))

    def _resume_some(self, waiting: list[Loaded]) -> None:
        until = self._loop.time() + _TURN
        while waiting and not self.leaving:
            self._resume(*waiting.pop())
            if self._loop.time() > until:
                return

    def _resume(self, claim: Claim, rows: list[StoredFact]) -> None:
        former = self.drives.get(claim.id)
        if former is not None:  # it was taken over, and let go of again, while this process slept
            self._stop(former, _taken_over(former))
        definition = self.definitions[claim.saga]
        try:
            decider = decider_of(definition, claim, rows, at=self.now(), payload_limit=self._payload_limit)
        except BaseException as error:  # noqa: BLE001 - one instance must not keep the others
            broken = Broken(let_go(claim.saga, claim.id, error), claim)
            give_up(self.broken, claim.saga, claim.id, broken, "an instance cannot be resumed")
            return
        drive = Drive(self, claim.id, epoch=claim.epoch, seq=len(rows) + 1, decider=decider)
        drive.resumed(crashed=claim.crashed)
        self.broken.pop(claim.id, None)
        self._go(drive)

    def _go(self, drive: Drive) -> None:
        self.drives[drive.id] = drive
        drive.task = self._loop.create_task(self._drive(drive))

    async def in_callback(self, function: Callable[[], T]) -> T:
        """Run `function` in a callback of the loop and return what it returns."""
        future: asyncio.Future[T] = self._loop.create_future()

        def call() -> None:
            if future.cancelled():
                return  # nobody awaits it any more
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001 - belongs to whoever awaits
                future.set_exception(error)

        self._loop.call_soon(call)
        return await future

    # -- driving -------------------------------------------------------------------------

    async def _drive(self, drive: Drive) -> None:
        try:
            await drive.conduct()
            while not drive.instance.ended:
                rows = await patiently(self.store.load, drive.id)
                await self.in_callback(lambda: drive.replayed(self._replayed(drive, rows)))  # noqa: B023 - awaited here
                await drive.conduct()
        except asyncio.CancelledError as error:
            if not self.leaving and drive.error is None:  # somebody cancels whatever task there is
                drive.error = let_go(drive.definition.saga, drive.id, error)
                self.broken[drive.id] = Broken(drive.error)
                raise
        except BaseException as error:
            if isinstance(error, GeneratorExit) and is_thrown_away(drive.task):
                raise
            self.failed(drive, let_go(drive.definition.saga, drive.id, error))  # one must not end the others
        finally:
            if self.drives.get(drive.id) is drive:
                del self.drives[drive.id]
            drive.end()

    def _replayed(self, drive: Drive, rows: list[StoredFact]) -> Decider:
        return replayed(drive.definition, rows, at=self.now(), payload_limit=self._payload_limit)

    def failed(self, drive: Drive, error: Exception) -> None:
        """Let go of an instance whose journal failed, or which cannot be driven; and of all others if none can be."""
        known = drive.error is not None
        self._stop(drive, error)
        fields = {"saga": drive.definition.saga, "id": drive.id}
        if self.failure is not None:
            self.over.set()
            for other in list(self.drives.values()):  # nothing that happens from now on could be recorded
                self._stop(other, JournalWriteError(str(self.failure)))
        elif known:
            return
        elif isinstance(error, OwnershipLostError):
            logger.warning("another process took an instance over", extra=fields)
        elif not isinstance(error, DuplicateInstanceError) and not self.leaving:
            give_up(self.broken, drive.definition.saga, drive.id, Broken(error), "an instance is not driven any more")

    def _stop(self, drive: Drive, error: Exception) -> None:
        drive.error = drive.error or error
        if drive.task is not None and drive.task is not asyncio.current_task():
            drive.task.cancel()

    def undriven(self) -> dict[str, Broken]:
        """Return what is broken still: not what was started anew meanwhile, nor what somebody tries to start."""
        for id in [id for id in self.broken if id in self.drives and self.drives[id].started]:
            del self.broken[id]
        return {id: broken for id, broken in self.broken.items() if id not in self.drives}

    def check_lost(self, drives: Iterable[Drive], owned: Mapping[str, int]) -> None:
        """Let go of those among `drives` that another process took over.

        Args:
            drives: Drives of instances whose start was durable before `owned` was read.
            owned: Instances that this process owns, with their epochs.
        """
        for drive in drives:
            if self.drives.get(drive.id) is drive and owned.get(drive.id) != drive.epoch:
                self.failed(drive, _taken_over(drive))

    # -- who may work --------------------------------------------------------------------

    @property
    def failure(self) -> JournalWriteError | None:
        """Why nothing can be journaled any more, or None."""
        return self._writer.failure

    def check_open(self) -> None:
        """Raise unless the engine takes new work.

        Raises:
            EngineClosedError: if it is closed or closing.
            JournalWriteError: if a flush failed before.
        """
        if self.leaving:
            msg = "the engine is closed; enter it again with `async with`"
            raise EngineClosedError(msg)
        if self.failure is not None:
            raise JournalWriteError(str(self.failure)) from self.failure.__cause__

    def check_driven(self, id: str) -> None:
        """Raise if this engine owns an instance and cannot drive it.

        Raises:
            SagaError: what keeps it from that.
            EngineClosedError: and `JournalWriteError`, as `check_open`.
        """
        self.check_open()
        check_mending(self.broken, id)

    # -- leaving -------------------------------------------------------------------------

    def hurry(self) -> None:
        """Wait for activities no longer."""
        self._until = 0.0

    async def leave(self, grace: timedelta) -> None:
        """Let running activities end for a while, then let go of every instance; nothing is recorded for it."""
        self.leaving = True
        self._until = self._loop.time() + grace.total_seconds()
        while self._performer.active and self._loop.time() < self._until and self.failure is None:  # noqa: ASYNC110 - rare
            await asyncio.sleep(_STILL)
        self._performer.close()
        tasks = [drive.task for drive in self.drives.values() if drive.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _taken_over(drive: Drive) -> OwnershipLostError:
    return OwnershipLostError(f"{drive.id} is not this process' any more; whoever took it over goes on")
