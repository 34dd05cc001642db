"""One execution of `run` on the deterministic loop: what it calls, waits for, sets and gives up.

This file knows what `run` did. What follows from it (when a call may register, what has to be compensated)
is decided in `_decider`.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from saga.errors import DecisionTimedOut, InvalidRequestError, NotDeterministicError, StepInDoubt, StepRejected
from saga.kernel._loop import DeterministicLoop, NumberedFuture

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from datetime import datetime

    from saga.kernel._definition import DecisionDefinition, Definition, StepDefinition
    from saga.kernel._edge import Edge
    from saga.kernel._values import Failure

__all__ = ("Made", "Play", "PlayHost")


class _CallFuture(NumberedFuture[Any]):
    """The outcome of a call. While the call is held, cancelling the await waits for the outcome instead."""

    held = False

    def cancel(self, msg: object = None) -> bool:
        return False if self.held else super().cancel(msg)


@dataclass(slots=True, eq=False)
class Made:
    """A call that `run` made; `name` is empty until it is registered."""

    step: StepDefinition
    payload: str
    future: _CallFuture
    name: str = ""


class PlayHost(Protocol):
    """Whoever decides what follows from what `run` does."""

    def now(self) -> datetime: ...
    def made(self, made: Made) -> None: ...
    def timer_set(self, timer: str, due: datetime) -> None: ...
    def decision_awaited(self, call: str, due: datetime) -> None: ...
    def early_answer(self, call: str) -> str | None: ...

    @property
    def edge(self) -> Edge: ...


class Play:
    """One execution of `run`.

    Attributes:
        waiting: Calls that were registered and whose outcome `run` has not seen, by name.
        withheld: Calls that `run` made and that are not registered yet, in order.
        abandoned: Calls whose await `run` cancelled, or that it was told are in doubt, in order.
        ended: Whether `run` has returned or raised.
        result: Payload of what it returned, or None.
        error: What it raised, or None.
    """

    def __init__(self, definition: Definition, host: PlayHost, id: str, started_at: datetime) -> None:
        self._definition = definition
        self._host = host
        self._id = id
        self._started_at = started_at
        self._random: random.Random | None = None
        self._coroutines = 0
        self._unbegun: dict[int, Coroutine[Any, Any, Any]] = {}
        self._numbers: dict[str, int] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._decisions: dict[str, asyncio.Future[Any]] = {}
        self._decided: dict[str, DecisionDefinition] = {}
        self._loop = DeterministicLoop(self._seconds, self._timer_set)  # type: ignore[abstract]  # the rest is refused
        self.waiting: dict[str, Made] = {}
        self.withheld: list[Made] = []
        self.abandoned: dict[str, None] = {}
        self.ended = False
        self.result: str | None = None
        self.error: BaseException | None = None

    # -- for the decider -----------------------------------------------------------------

    def begin(self, request: object) -> None:
        """Call `run` and go as far as it goes without an outcome."""
        _ = self._loop.create_task(self._run(request))
        self.pump()

    def registered(self, made: Made, *, held: bool) -> None:
        """Take note that a call is in the journal; `held` says that cancelling its await waits."""
        self.waiting[made.name] = made
        made.future.held = held

    def number(self, step: str) -> int:
        """Return the number of the next call of a step or decision, from 1."""
        number = self._numbers[step] = self._numbers.get(step, 0) + 1
        return number

    def resolve(self, call: str, output: str | None) -> None:
        """Let `run` see that a call is done, and go on."""
        made = self.waiting.pop(call, None)
        if made is None or made.future.done():
            return
        codec = made.step.action.returns
        try:
            made.future.set_result(codec.decode(output) if codec and output is not None else None)
        except InvalidRequestError as error:
            made.future.set_exception(self._undecodable(call, error))
        self.pump()

    def reject(self, call: str, failure: Failure) -> None:
        """Let `run` see that a call was rejected, and go on."""
        error = StepRejected(failure.message, details=failure.details, step=call, type=failure.type)
        self._fail(call, error)

    def doubt(self, call: str, failure: Failure) -> None:
        """Let `run` see that a call is in doubt, and go on."""
        self._fail(call, StepInDoubt(failure.message, step=call, type=failure.type))

    def _fail(self, call: str, error: Exception) -> None:
        made = self.waiting.pop(call, None)
        if made is None or made.future.done():
            return
        made.future.set_exception(error)
        self.pump()

    def pump(self) -> None:
        """Let `run` go on with whatever it can see by now; once it has ended, its tasks end too."""
        try:
            self._loop.pump()
        except NotDeterministicError as error:
            self.error, self.ended = error, True
        if self.ended:
            self._loop.drop()

    def fire(self, timer: str) -> None:
        """Let a timer of `run` fire, and go on."""
        handle = self._timers.pop(timer, None)
        if handle is not None and not handle.cancelled():
            self._loop.fire(handle)
            self.pump()

    def live_timers(self) -> list[str]:
        """Return the timers that `run` still waits for."""
        for name in [name for name, handle in self._timers.items() if handle.cancelled()]:
            del self._timers[name]
        return list(self._timers)

    def live_decisions(self) -> list[str]:
        """Return the decisions that `run` still waits for."""
        return [call for call, future in self._decisions.items() if not future.done()]

    def answer(self, call: str, payload: str) -> None:
        """Let `run` see the answer to a decision, and go on."""
        self._give(call, payload)
        self.pump()

    def _give(self, call: str, payload: str) -> None:
        future = self._decisions.get(call)
        if future is not None and not future.done():
            try:
                future.set_result(self._decided[call].answer.decode(payload))
            except InvalidRequestError as error:
                future.set_exception(self._undecodable(call, error))

    def _undecodable(self, call: str, error: InvalidRequestError) -> InvalidRequestError:
        text = f"what the journal holds {str(error).removeprefix('this ')}"
        return InvalidRequestError(
            f"{self._definition.saga} {self._id} {call}: {text}\nDeploy code whose types still fit it, then retry."
        )

    def time_out(self, call: str) -> None:
        """Let `run` see that nobody answered a decision in time, and go on."""
        future = self._decisions.get(call)
        if future is not None and not future.done():
            future.set_exception(DecisionTimedOut(call))
            self.pump()

    def drop(self) -> None:
        """Give the execution up; nothing that `run` does from now on matters."""
        self._loop.drop()

    # -- for the saga object -------------------------------------------------------------

    def call(self, step: Any) -> Callable[[Any], Coroutine[Any, Any, Any]]:  # a Step, from the descriptor
        """Return what `self.debit` is inside `run`."""
        definition = self._definition.steps[step.name]

        async def begin(number: int, value: Any) -> Any:  # the step's own types
            del self._unbegun[number]
            payload = self._host.edge.encode(definition.action.takes, value, definition.name)
            return await self._outcome(Made(definition, payload, _CallFuture(loop=self._loop)))

        def call(value: Any) -> Coroutine[Any, Any, Any]:  # likewise
            number = self._coroutines = self._coroutines + 1
            coroutine = self._unbegun[number] = begin(number, value)
            return coroutine

        begin.__qualname__ = f"{self._definition.saga}.{step.name}"  # Python names it where nobody awaits it
        return call

    async def _outcome(self, made: Made) -> Any:  # the step's output
        await self._refuse_if_dropped()
        self._loop.count(made.future)
        self._host.made(made)
        try:
            return await made.future
        except asyncio.CancelledError:
            if made.future.held:
                return made.future.result()
            self._abandon(made)
            raise

    async def _refuse_if_dropped(self) -> None:
        # A `finally` of `run` calls a step while its coroutine is being closed. It waits for ever, so that whoever
        # closes it tries again; raising would let an `except BaseException` in a loop of `run` hold up the process.
        if self._loop.is_closed():
            await self._loop.create_future()

    def _abandon(self, made: Made) -> None:
        if made.name:
            self.waiting.pop(made.name, None)
            self.abandoned[made.name] = None
        elif made in self.withheld:
            self.withheld.remove(made)

    def decision(self, decision: Any) -> Callable[[], Coroutine[Any, Any, Any]]:  # a Decision, from the descriptor
        """Return what `self.review` is inside `run`."""
        definition = self._definition.decisions[decision.name]

        async def ask() -> Any:  # the decision's own type
            await self._refuse_if_dropped()
            call = f"{definition.name}.{self.number(definition.name)}"
            future = self._decisions[call] = self._loop.create_future()
            self._decided[call] = definition
            self._host.decision_awaited(call, self._host.now() + definition.within)
            early = self._host.early_answer(call)
            if early is not None:
                self._give(call, early)
            return await future

        ask.__qualname__ = f"{self._definition.saga}.{decision.name}"
        return ask

    def now(self) -> datetime:
        """Return the time of the last fact."""
        return self._host.now()

    def random(self) -> random.Random:
        """Return the instance's own random numbers."""
        if self._random is None:
            self._random = random.Random(self._id)  # noqa: S311 - must repeat on every replay
        return self._random

    # -- the loop's side -----------------------------------------------------------------

    async def _run(self, request: object) -> None:
        try:
            saga = self._definition.cls()
            saga._play = self  # noqa: SLF001 - set here, so that authors may write an __init__ of their own
            result = await saga.run(request)
            self._refuse_to_leave_behind()
            self.result = self._host.edge.encode(self._definition.result, result, "run")
        except (GeneratorExit, KeyboardInterrupt):
            raise  # the play was dropped, or somebody wants the process to end: no fact about the saga
        except BaseException as error:  # noqa: BLE001 - whatever leaves run decides what happens next
            self.error = error
        self.ended = True
        self._loop.quit()

    def _refuse_to_leave_behind(self) -> None:
        names = self._loop.unbegun(self._unbegun.values())
        if not names:
            return
        for one in self._unbegun.values():
            one.close()  # Python would warn of it once more
        msg = (
            f"run returned while {', '.join(names)} had not begun, and would never run. "
            "Await every step that run calls and every task that it creates; a TaskGroup does that by itself"
        )
        raise NotDeterministicError(msg)

    def _seconds(self) -> float:
        return (self._host.now() - self._started_at).total_seconds()

    def _timer_set(self, number: int, handle: asyncio.TimerHandle) -> None:
        name = f"timer.{number}"
        self._timers[name] = handle
        self._host.timer_set(name, self._started_at + timedelta(seconds=handle.when()))
