"""The runtime of one simulated instance: an in-memory journal and activities in virtual time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from saga.errors import ActRefusedError, JournalWriteError, OwnershipLostError
from saga.kernel import Cancel, Conductor, Decider, Request, RetryRequest, SagaStarted, resume
from saga.kernel import facts as f
from saga.testing._attempts import Attempts
from saga.testing._children import Child
from saga.testing._faults import Behaviour, FaultKind
from saga.testing._script import target_of
from saga.testing._trace import Event, EventKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from saga.kernel import Call, Fact, Failure, Instance, Outcome
    from saga.testing._journal import MemoryJournal
    from saga.testing._owner import Owner
    from saga.testing._time import Alarm
    from saga.testing._world import World

__all__ = ("SimulatedRuntime",)

_OUTCOMES = (f.CallDone, f.CallRejected, f.CallInDoubt, f.CallProbed)
_PAUSES: Final = frozenset({Behaviour.PAUSE, Behaviour.PAUSE_CANCEL})
_REQUESTS: Final[Mapping[FaultKind | None, Request]] = {
    FaultKind.CANCEL_AT_FLUSH: Cancel(by="somebody", why="injected"),
    FaultKind.RETRY_AT_FLUSH: RetryRequest(by="operator", why="injected"),
}


class SimulatedRuntime:
    """Drives one instance for one owner: it is the `Runtime` that the instance's conductor asks.

    Attributes:
        id: Id of the instance.
        journal: Its journal.
        owner: The process that drives it.
    """

    def __init__(self, world: World, owner: Owner, journal: MemoryJournal) -> None:
        self.id = journal.id
        self.owner = owner
        self.world = world
        self.journal = journal
        self._conductor: Conductor
        self._task: asyncio.Task[None] | None = None
        self._alarm: Alarm | None = None
        self._lost = False
        self._ends: list[asyncio.Future[Instance]] = []

    @property
    def instance(self) -> Instance:
        """What the durable facts come to."""
        return self.journal.instance

    @property
    def former(self) -> bool:
        """Whether another owner took the instance over; nobody may have told this one."""
        stored = self.world.journals.get(self.id, self.journal)
        return self._lost or self.journal.driver is not self or stored is not self.journal

    @property
    def may_start_children(self) -> bool:
        """Whether the condition holds under which a child starts: its parent is open, and still driven by this."""
        return not self.former and not self.instance.ended

    # -- Runtime -------------------------------------------------------------------------

    def now(self) -> datetime:
        """Return virtual time."""
        return self.world.time.now

    def record(self, facts: Sequence[Fact]) -> None:
        """Queue facts."""
        if self.owner.alive and not self.former:
            self.journal.record(facts)

    async def flush(self) -> None:
        """Make durable what was queued when it was called; meanwhile others may go on.

        Raises:
            JournalWriteError: if the scenario says so.
            OwnershipLostError: if another owner took the instance over, or a child may not start any more.
        """
        batches = self.journal.queued
        await asyncio.sleep(0)
        await self._live()
        self._check_owned()
        fault = self.world.script.at_flush() if batches else None
        if fault in _REQUESTS:
            self.world.ask(self.world.root, _REQUESTS[fault])
            await asyncio.sleep(0)
        if fault is FaultKind.LOST_AT_FLUSH:
            await self.world.crash(self.owner, "at a flush, before it was written")
        if fault is FaultKind.PAUSED_AT_FLUSH:
            self.pause(Behaviour.PAUSE, "at a flush, before it was written")
            await asyncio.sleep(0)
        self._check_owned()
        if fault is FaultKind.FLUSH_FAILED:
            self._refuse("nothing was written")
        written = self.world.commit(self.journal, batches)
        if fault is FaultKind.KEPT_AT_FLUSH:
            await self.world.crash(self.owner, "at a flush, after it was written")
        if fault is FaultKind.FLUSH_UNKNOWN:
            self._refuse("all was written")
        for target in self._outcomes_in(written):
            if self.world.script.crashes_when_recorded(target):
                await self.world.crash(self.owner, f"after the record of {target}")

    def _refuse(self, text: str) -> None:
        self.world.note(Event(EventKind.FLUSH_FAILED, self.now(), self.id, text=text))
        msg = f"the simulated flush of {self.id} failed"
        raise JournalWriteError(msg)

    def _check_owned(self) -> None:
        if not self.journal.admits(self, self.world.journals.get(self.id)):
            msg = f"{self.id} is not this owner's any more"
            raise OwnershipLostError(msg)

    def _outcomes_in(self, facts: Sequence[Fact]) -> list[str]:
        names = [
            f"{fact.call}/probe" if isinstance(fact, f.CallProbed) else fact.call
            for fact in facts
            if isinstance(fact, _OUTCOMES)
        ]
        return [target_of(self.world.root, self.id, name) for name in names]

    async def _live(self) -> None:
        if not self.owner.alive:
            await self.owner.never()

    async def perform(self, call: Call, failed: Callable[[Failure, bool], None]) -> Outcome:
        """Perform an activity under its policy in virtual time, or run a nested saga to its end."""
        if call.step.nested is not None and call.activity.activity is None:
            return await Child(self, call, call.step.nested).outcome()
        return await Attempts(self, call, failed).outcome()

    def wake_at(self, due: datetime | None) -> None:
        """Set the one alarm of this instance."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = None
        if due is not None and self.owner.alive:
            self._alarm = self.world.time.at(due, lambda: self.owner.soon(self._tick), owner=self.owner)

    def _tick(self) -> None:
        if self._task is not None and not self._task.done():
            self._conductor.tick()

    # -- driving -------------------------------------------------------------------------

    def begin(self, crashed: bool | None) -> None:  # noqa: FBT001 - a callback has no keywords
        """Start the instance, or go on with it; called from a callback of the owner's loop."""
        try:
            self._begin(crashed=crashed)
        except Exception as error:  # noqa: BLE001 - a callback has nobody to raise to
            self.world.failures.append(error)

    def _begin(self, *, crashed: bool | None) -> None:
        journal = self.journal
        if not journal.facts:
            decider = Decider(journal.definition)
            self._conductor = Conductor(decider, self)
            self._conductor.start(self._started())
        else:
            decider = resume(journal.definition, journal.facts)
            if decider.instance.ended and not decider.out:
                self._tell_end()
                return
            self._conductor = Conductor(decider, self)
            if crashed is not None and not decider.instance.ended:
                journal.epoch += 1
                self.world.note(Event(EventKind.TAKEN_OVER, self.now(), self.id, number=journal.epoch))
                self._conductor.resumed(journal.epoch, crashed=crashed)
        self._task = self.owner.loop.create_task(self._conductor.conduct())
        self._task.add_done_callback(self._left)

    def _started(self) -> SagaStarted:
        first = self.journal.beginning(self.now())
        deadline = self.world.script.deadline(self.world.started_at) if self.id == self.world.root else None
        return first if deadline is None else first.model_copy(update={"deadline": deadline})

    def _left(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or not self.owner.alive:
            return
        error = task.exception()
        self._lost = self.former or isinstance(error, OwnershipLostError)
        if self._lost:
            return
        if isinstance(error, JournalWriteError):
            self.journal.lose_queue()
            self.begin(crashed=False)
        elif error is not None:
            self.world.failures.append(error)
        elif self.instance.ended:
            self._tell_end()
        else:
            self.begin(crashed=None)  # changed facts have to be replayed first

    def _tell_end(self) -> None:
        for end in self._ends:
            if not end.done():
                end.set_result(self.instance)

    @property
    def conducting(self) -> asyncio.Task[None] | None:
        """The task of the conductor that drives the instance now."""
        return self._task

    def abandoned(self, conducting: asyncio.Task[None] | None) -> bool:
        """Tell whether nobody waits any more for what `conducting` asked to perform."""
        ended = conducting is None or conducting.done()
        return ended or self.owner.leaving or not self.owner.alive

    def pause(self, does: Behaviour, text: str) -> bool:
        """Pause the owner if an attempt wants it, once, and say so; whoever calls this awaits something next."""
        if does not in _PAUSES or self.owner is not self.world.owner:
            return False
        self.world.pause(text)
        if does is Behaviour.PAUSE_CANCEL:
            self.world.ask(self.world.root, Cancel(by="somebody", why="injected"))
        return True

    def leave(self) -> None:
        """Let go of the instance."""
        if self._task is not None:
            self._task.cancel()

    def end(self) -> asyncio.Future[Instance]:
        """Return a future that is done once the instance has ended, durably."""
        future: asyncio.Future[Instance] = self.owner.loop.create_future()
        self._ends.append(future)
        return future

    # -- requests ------------------------------------------------------------------------

    def ask(self, request: Request, done: Callable[[str], None]) -> None:
        """Bring a request to the conductor; called from a callback of the owner's loop.

        Args:
            request: What is asked.
            done: Is told why it was refused, or the empty text once it is durable.
        """
        if self.former:
            return  # the next owner is asked, too
        if self.world.failures or (self.journal.facts and self.instance.ended):
            done(f"{self.id} has ended")
        elif self._task is None or self._task.done():
            self.owner.soon(self.ask, request, done)  # between two conductors
        else:
            self._ask(request, done)

    def _ask(self, request: Request, done: Callable[[str], None]) -> None:
        try:
            future = self._conductor.request(request)
        except ActRefusedError as error:
            done(str(error))
            return
        count = self.journal.recorded

        def acknowledged(future: asyncio.Future[None]) -> None:
            if not self.owner.alive or self.owner.leaving or self.former:
                return  # whoever asked will ask the next owner
            if future.cancelled():
                self.owner.soon(self.ask, request, done)
            else:
                self.world.note(Event(EventKind.ACKNOWLEDGED, self.now(), self.id, number=count))
                done("")

        future.add_done_callback(acknowledged)
