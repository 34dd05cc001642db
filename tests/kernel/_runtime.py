"""A runtime in a few lines: every activity, flush and clock does what the test says, when it says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from saga.kernel import Call, Conductor, Decider, Fact, Outcome, SagaStarted, definition_of
from saga.kernel import _facts as f
from saga.kernel._requests import Request
from saga.kernel._values import CallState, Failure
from tests.kernel._drive import START, told

_PATIENCE = 2  # seconds; a test that failed must not wait for ever


class FakeRuntime:
    """Keeps a diary of everything that the conductor asks of it, in order."""

    def __init__(self) -> None:
        self.diary: list[str] = []
        self.facts: list[Fact] = []
        self.durable: list[Fact] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.flush_fails: BaseException | None = None
        self.clock = START
        self.wakes: list[datetime | None] = []
        self.performing: dict[str, asyncio.Future[Outcome]] = {}
        self.calls: dict[str, Call] = {}
        self.failed: dict[str, Callable[[Failure, bool], None]] = {}

    def now(self) -> datetime:
        """Return the clock that the test moves."""
        return self.clock

    def record(self, facts: Sequence[Fact]) -> None:
        """Queue facts."""
        self.facts += facts
        self.diary += [f"record {told(fact)}" for fact in facts]

    async def flush(self) -> None:
        """Make durable what was queued before, once the gate is open."""
        until = len(self.facts)
        self.diary.append("flush")
        await self.gate.wait()
        await asyncio.sleep(0)  # it takes a while; what was started too early would run now
        if self.flush_fails is not None:
            raise self.flush_fails
        self.durable = self.facts[:until]
        self.diary.append("flushed")

    async def perform(self, call: Call, failed: Callable[[Failure, bool], None]) -> Outcome:
        """Wait for the outcome that the test gives, also when asked to stop."""
        self.diary.append(f"perform {call.name}")
        assert call.name in [one.call for one in self.durable if isinstance(one, f.CallRegistered)]
        self.calls[call.name], self.failed[call.name] = call, failed
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.performing[call.name] = outcome
        try:
            return await asyncio.shield(outcome)
        except asyncio.CancelledError:
            self.diary.append(f"stop {call.name}")
            await asyncio.wait([outcome], timeout=_PATIENCE)
            if outcome.done():
                return outcome.result()
            raise

    def wake_at(self, due: datetime | None) -> None:
        """Keep the time."""
        self.wakes.append(due)

    # -- what a test does ----------------------------------------------------------------

    def performed(self) -> list[str]:
        """Activities in the order in which they were started."""
        return [line.removeprefix("perform ") for line in self.diary if line.startswith("perform ")]

    def stopped(self) -> list[str]:
        """Activities in the order in which they were asked to stop."""
        return [line.removeprefix("stop ") for line in self.diary if line.startswith("stop ")]

    def done(self, name: str, output: str = "null", **fields: object) -> None:
        """The activity returns."""
        self._end(name, CallState.DONE, output=output, **fields)

    def rejected(self, name: str, **fields: object) -> None:
        """The activity is refused."""
        self._end(name, CallState.REJECTED, failure=Failure(type="Refused", message="no"), **fields)

    def in_doubt(self, name: str, **fields: object) -> None:
        """The activity ends without an answer."""
        self._end(name, CallState.IN_DOUBT, failure=Failure(type="OSError", message="lost"), **fields)

    def _end(self, name: str, state: CallState, **fields: object) -> None:
        outcome = Outcome(state, self.clock, **fields)  # type: ignore[arg-type]  # the test knows its fields
        self.performing.pop(name).set_result(outcome)


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What whoever asked waits for."""

    _future: asyncio.Future[None]

    def done(self) -> bool:
        """Whether it was said, or refused to be said."""
        return self._future.done()

    def cancelled(self) -> bool:
        """Whether the request was not taken."""
        return self._future.cancelled()


class Conducted:
    """An instance that a conductor drives on a `FakeRuntime`."""

    def __init__(self, saga: type, *, decider: Decider | None = None, runtime: FakeRuntime | None = None) -> None:
        self.saga = saga
        self.runtime = runtime or FakeRuntime()
        self.decider = decider or Decider(definition_of(saga))
        self.conductor = Conductor(self.decider, self.runtime)
        self.task: asyncio.Task[None] | None = None

    async def start(self, request: str = "5") -> Conducted:
        """Start the instance and go as far as it goes by itself."""
        definition = self.decider.definition
        deadline = None if definition.deadline is None else START + definition.deadline
        fact = SagaStarted(
            at=self.runtime.clock, saga=definition.saga, id="transfer-42", deadline=deadline, payload=request
        )
        asyncio.get_running_loop().call_soon(self.conductor.start, fact)
        await asyncio.sleep(0)
        return await self.conduct()

    async def conduct(self) -> Conducted:
        """Drive, and go as far as it goes by itself."""
        self.task = asyncio.get_running_loop().create_task(self.conductor.conduct())
        return await self.settle()

    async def settle(self) -> Conducted:
        """Let everything happen that is due by now."""
        for _ in range(30):
            await asyncio.sleep(0)
        return self

    async def ask(self, request: Request) -> Acknowledgement:
        """Send a request as an engine does, from a callback."""
        taken: asyncio.Future[asyncio.Future[None]] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(lambda: taken.set_result(self.conductor.request(request)))
        acknowledged = await taken
        await self.settle()
        return Acknowledgement(acknowledged)

    async def leave(self) -> None:
        """Let the engine leave."""
        if self.task is not None and not self.task.done():
            self.task.cancel()
            await asyncio.wait([self.task])
        for outcome in self.runtime.performing.values():
            if not outcome.done():
                outcome.set_result(Outcome(CallState.DONE, self.runtime.clock))
        await self.settle()
