"""One instance in this process: its conductor, its place in the journal, and who waits for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from saga.kernel import Conductor, SagaState, encode_fact

from ._append import Batch, Change

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from saga.kernel import Call, Decider, Definition, Fact, Failure, Instance, Outcome, Request, SagaStarted

    from ._append import Answer, NewInstance
    from ._writer import Done

__all__ = ("Drive", "Host", "rests")


class Host(Protocol):
    """What a drive needs from its engine."""

    def now(self) -> datetime: ...
    def submit(self, batch: Batch, done: Done) -> None: ...
    def perform(self, drive: Drive, call: Call, failed: Callable[[Failure, bool], None]) -> Awaitable[Outcome]: ...
    def tick(self, drive: Drive, due: datetime) -> asyncio.TimerHandle: ...
    def failed(self, drive: Drive, error: Exception) -> None: ...


class Drive:
    """Drives one instance; it is the `Runtime` that the instance's conductor asks.

    Attributes:
        id: Id of the instance.
        epoch: Number of this owner.
        task: Runs the conductor.
        error: Why the drive ended before the instance did, or None.
        started: Whether the start of the instance is durable.
    """

    def __init__(
        self, host: Host, id: str, *, epoch: int, seq: int, decider: Decider, new: NewInstance | None = None
    ) -> None:
        self.id = id
        self.epoch = epoch
        self._decider = decider
        self._conductor: Conductor | None = Conductor(decider, self)
        self.task: asyncio.Task[None] | None = None
        self.error: BaseException | None = None
        self.started = new is None
        self._host = host
        self._seq = seq
        self._new = new
        # What a replay concluded beyond the journal is not written, and then nobody here knows what is.
        self._written_state = None if decider.out else decider.instance.state
        self._answers: Sequence[Answer] = ()
        self._submitted = 0
        self._written = 0
        self._awaited = 0
        self._flushed: asyncio.Future[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._changed: list[asyncio.Future[None]] = []
        self._resting: list[asyncio.Future[None]] = []

    @property
    def instance(self) -> Instance:
        """What the facts come to, flushed or not."""
        return self._decider.instance

    @property
    def at_rest(self) -> bool:
        """Whether the instance has ended or is STUCK, durably."""
        flushed = self.started and self._written == self._submitted and self.error is None and not self._decider.out
        return flushed and rests(self.instance)

    @property
    def left(self) -> bool:
        """Whether nobody drives the instance here any more, or not before it was replayed."""
        return self._conductor is None or self._conductor.left

    @property
    def definition(self) -> Definition:
        """The saga class of the instance."""
        return self._decider.definition

    # -- what the engine tells; all of it in callbacks of the loop -----------------------

    def begin(self, started: SagaStarted) -> None:
        """Take the first fact of a new instance."""
        if self._conductor is not None:
            self._conductor.start(started)

    def resumed(self, *, crashed: bool) -> None:
        """Take note that this process took the instance over from an owner that did, or did not, let go.

        Unless that is written down already, before what was found then.
        """
        if self._conductor is not None and not self.instance.ended and self.instance.epoch != self.epoch:
            self._conductor.resumed(self.epoch, crashed=crashed)

    def replayed(self, decider: Decider) -> None:
        """Go on with a decider that was made from the journal again."""
        self._decider = decider
        self._conductor = Conductor(decider, self)

    def tick(self) -> None:
        """Look at the timers."""
        if self._conductor is not None:
            self._conductor.tick()

    def request(self, request: Request, answers: Sequence[Answer] = ()) -> asyncio.Future[None]:
        """Take a request; the future is done once its fact and `answers` are durable, together.

        It is cancelled if the request was not taken.

        Raises:
            ActRefusedError: if the request makes no sense in the state that the instance is in.
        """
        if self._conductor is None:
            nobody: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            nobody.cancel()
            return nobody
        self._answers = answers
        try:
            return self._conductor.request(request)
        finally:
            self._answers = ()

    async def conduct(self) -> None:
        """Drive the instance until it has ended or its journal has to be replayed.

        Raises:
            SagaError: if the journal failed, or another process took the instance over.
        """
        if self._conductor is not None:
            await self._conductor.conduct()

    # -- Runtime -------------------------------------------------------------------------

    def now(self) -> datetime:
        """Return the engine's time."""
        return self._host.now()

    def record(self, facts: Sequence[Fact]) -> None:
        """Queue facts for the writer, as one batch.

        Raises:
            SagaError: if an earlier batch failed: what follows it must not be written.
        """
        if self.error is not None:
            raise self.error
        rows = [(encode_fact(fact), fact.payload) for fact in facts]
        batch = Batch(self.id, self.epoch, self._seq, rows, self._new, self._change(), self._answers)
        self._seq += len(rows)
        self._new = None
        self._submitted += 1
        self._host.submit(batch, self._done)

    def _change(self) -> Change | None:
        instance = self.instance
        state = instance.state
        if state is None or state is self._written_state:
            return None
        self._written_state = state
        if self._new is not None and state.value == self._new.state:
            return None  # the row of a new instance says it already
        return Change(state.value, instance.state_since, state.ended)

    def _done(self, error: Exception | None) -> None:
        self._written += 1
        self.started = self.started or error is None
        if error is not None:
            self._host.failed(self, error)  # the conductor may be waiting for something else
            return
        if self._flushed is not None and self._written >= self._awaited and not self._flushed.done():
            self._flushed.set_result(None)
        if self._written == self._submitted:
            self._tell()

    def flush(self) -> asyncio.Future[None]:
        """Return a future that is done once everything recorded so far is durable, whatever follows."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.error is not None:
            future.set_exception(self.error)
        elif self._written == self._submitted:
            future.set_result(None)
        else:
            self._flushed, self._awaited = future, self._submitted
        return future

    async def perform(self, call: Call, failed: Callable[[Failure, bool], None]) -> Outcome:
        """Let the engine perform an activity."""
        return await self._host.perform(self, call, failed)

    def wake_at(self, due: datetime | None) -> None:
        """Set the one alarm of this instance."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = None if due is None else self._host.tick(self, due)

    # -- who waits -----------------------------------------------------------------------

    def change(self) -> asyncio.Future[None]:
        """Return a future that is done at the next flush, or when the drive ends."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._conductor is None:
            future.set_result(None)
        else:
            self._changed.append(future)
        return future

    async def start(self) -> None:
        """Wait until the start is durable, or the drive ends; `started` tells which."""
        while not self.started and self._conductor is not None:
            await self.change()

    def rest(self) -> asyncio.Future[None]:
        """Return a future that is done once the instance is at rest, or when the drive ends."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.at_rest or self._conductor is None:
            future.set_result(None)
        else:
            self._resting.append(future)
        return future

    def _tell(self) -> None:
        if self._changed:
            self._changed = _release(self._changed)
        if self._resting and self.at_rest:
            self._resting = _release(self._resting)

    def end(self) -> None:
        """Tell everybody who waits that this drive does nothing any more."""
        self.wake_at(None)
        self._changed = _release(self._changed)
        self._resting = _release(self._resting)
        self._conductor = None  # it refers to this drive: without it no collector is needed to free both


def _release(waiting: list[asyncio.Future[None]]) -> list[asyncio.Future[None]]:
    for future in waiting:
        if not future.done():
            future.set_result(None)
    return []


def rests(instance: Instance) -> bool:
    """Tell whether an instance has ended, or is STUCK and nobody has acted yet."""
    return instance.ended or (instance.state is SagaState.STUCK and not instance.act_pending)
