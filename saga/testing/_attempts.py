"""The attempts of one call in virtual time: the real activity, its policy, and the faults of the scenario."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from saga.errors import StepRejected
from saga.kernel import PAYLOAD_LIMIT, Abort, Attempt, CallState, Cancel, Failure, Outcome, attempt, retry_after
from saga.testing._faults import Behaviour
from saga.testing._script import target_of
from saga.testing._trace import Event, EventKind

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from saga.kernel import Call
    from saga.testing._simulated import SimulatedRuntime

__all__ = ("Attempts",)

_PACE: Final = 0.005
"""Seconds of virtual time before an effect, and between it and its answer, at most."""
_SILENT: Final = frozenset({Behaviour.HANG, Behaviour.LATE})
_FAILING: Final = frozenset({Behaviour.FAIL, Behaviour.SKIP, Behaviour.RESOLVE})
_PAUSING: Final = frozenset({Behaviour.PAUSE, Behaviour.PAUSE_CANCEL})
_FROM_THE_START: Final = _SILENT | {Behaviour.SLOW}
_AFTER_THE_EFFECT: Final = frozenset({Behaviour.CRASH_AFTER, Behaviour.CANCEL_ACTED})
_WITH_THE_ANSWER: Final = frozenset({Behaviour.LOSE})
_BEFORE_THE_EFFECT: Final = (
    frozenset(Behaviour) - _FROM_THE_START - _PAUSING - _AFTER_THE_EFFECT - _WITH_THE_ANSWER - {Behaviour.DONE}
)


@dataclass(slots=True)
class _Now:
    """The attempt that is being made."""

    number: int
    behaviour: Behaviour


class Attempts:
    """Makes the attempts of one call until it is settled."""

    def __init__(self, runtime: SimulatedRuntime, call: Call, failed: Callable[[Failure, bool], None]) -> None:
        self._runtime = runtime
        self._world = runtime.world
        self._call = call
        self._failed = failed
        self._target = target_of(self._world.root, call.id, call.name)
        self._conducting = runtime.conducting
        self._made = 0
        self._overdue = False
        self._overdue_at: datetime | None = None
        self._now = _Now(0, Behaviour.DONE)
        self._world.effects.calls[self._target] = call

    async def outcome(self) -> Outcome:
        """Make attempts as the policy says, and return what they came to."""
        unanswered = False
        while True:
            last = await self._once()
            retry, before = self._call.activity.policy.retry, self._call.attempts
            pause = retry_after(retry, last, made=self._made, before=before)
            if pause is None:
                return self._outcome(last, unanswered=unanswered)
            unanswered = True
            self._failed(last.failure or _failure(), self._overdue)
            try:
                await asyncio.sleep(pause.total_seconds())
            except asyncio.CancelledError:
                self._leave_if_abandoned()
                return self._outcome(last, unanswered=unanswered)

    def _outcome(self, last: Attempt, *, unanswered: bool) -> Outcome:
        return Outcome(
            last.state,
            self._runtime.now(),
            last.output,
            last.failure,
            self._made,
            unanswered,
            last.recorded,
            self._overdue_at,
        )

    def _leave_if_abandoned(self) -> None:
        if self._runtime.abandoned(self._conducting):
            raise asyncio.CancelledError

    def _note(self, kind: EventKind, result: Attempt | None = None) -> None:
        call = self._call
        if self._runtime.former:
            return  # nobody hears of it; only what it does to the world counts
        self._world.note(
            Event(
                kind,
                self._runtime.now(),
                call.id,
                self._target,
                call.name,
                self._now.number,
                state=None if result is None else result.state,
                text="" if result is None or result.failure is None else str(result.failure),
                key=call.key,
                output=None if result is None else result.output,
                recorded=result is not None and result.recorded,
            )
        )

    # -- one attempt ---------------------------------------------------------------------

    async def _once(self) -> Attempt:
        self._made += 1
        self._overdue = False
        self._now = _Now(*self._world.script.attempt(self._target))
        self._note(EventKind.BEGAN)
        try:
            result = await self._attempt()
        except asyncio.CancelledError:
            self._leave_if_abandoned()
            self._overdue_at = self._runtime.now()
            self._note(EventKind.STOPPED)
            stopped = Failure(type="Stopped", message="it was asked to stop before it answered")
            return Attempt(CallState.IN_DOUBT, failure=stopped, final=True)
        if self._overdue:
            self._overdue_at = self._runtime.now()
            self._note(EventKind.GIVEN_UP)
        else:
            self._note(EventKind.ANSWERED, result)
        return result

    async def _attempt(self) -> Attempt:
        does = self._now.behaviour
        self._inject(_FROM_THE_START)
        if does in _SILENT:
            return await self._say_nothing()
        await self._wait()
        self._inject(_BEFORE_THE_EFFECT)
        await self._before(does)
        if does in _FAILING:
            return Attempt(CallState.IN_DOUBT, failure=_failure())
        result = await self._act()
        self._inject(_AFTER_THE_EFFECT)
        await self._after(does)
        await self._wait()
        self._inject(_WITH_THE_ANSWER)
        if does is Behaviour.LOSE:
            return Attempt(CallState.IN_DOUBT, failure=_failure())
        return result

    def _inject(self, now: frozenset[Behaviour]) -> None:
        """Take note of the fault of this attempt once it is met, which an attempt that is stopped before never does."""
        if self._now.behaviour in now:
            self._world.script.inject(self._target)

    async def _say_nothing(self) -> Attempt:
        limit = self._call.activity.policy.timeout
        if self._now.behaviour is Behaviour.LATE:
            self._world.effects.act_later(self._target, self._call, limit)
        await asyncio.sleep(limit.total_seconds())
        self._overdue = True
        text = f"no answer within {limit.total_seconds():g} s"
        return Attempt(CallState.IN_DOUBT, failure=Failure(type="TimeoutError", message=text))

    async def _wait(self) -> None:
        limit = self._call.activity.policy.timeout.total_seconds()
        slow = self._now.behaviour is Behaviour.SLOW
        try:
            await asyncio.sleep(0.45 * limit if slow else min(_PACE, limit / 4))
        except asyncio.CancelledError:
            if self._now.behaviour is not Behaviour.CANCEL_IGNORED or self._runtime.abandoned(self._conducting):
                raise

    async def _before(self, does: Behaviour) -> None:
        world, call = self._world, self._call
        if does is Behaviour.CRASH_BEFORE:
            await world.crash(self._runtime.owner, f"before {self._target} acts")
        elif does is Behaviour.LEAVE:
            await world.leave(self._runtime.owner, f"before {self._target} acts")
        elif does in _PAUSING:
            if self._runtime.pause(does, f"before {self._target} acts"):
                world.script.inject(self._target)
        elif does in {Behaviour.CANCEL, Behaviour.CANCEL_IGNORED}:
            world.ask(world.root, Cancel(by="somebody", why="injected"))
        elif does is Behaviour.ABORT:
            world.ask(world.root, Abort(by="operator", why="injected"))
        elif does is Behaviour.SKIP:
            world.operator.skip(self._target, call)
        elif does is Behaviour.RESOLVE:
            world.operator.resolve(target_of(world.root, call.id, call.call), call)
        else:
            return
        await self._wait()

    async def _after(self, does: Behaviour) -> None:
        if does is Behaviour.CRASH_AFTER:
            await self._world.crash(self._runtime.owner, f"after {self._target} acted, before its record")
        elif does is Behaviour.CANCEL_ACTED:
            self._world.ask(self._world.root, Cancel(by="somebody", why="injected"))

    async def _act(self) -> Attempt:
        call = self._call
        kind = EventKind.ACTED_BY_FORMER if self._runtime.former else EventKind.ACTED
        function = (
            _refusal(call)
            if self._now.behaviour is Behaviour.REJECT
            else self._world.effects.acting(self._target, call, kind, self._now.number)
        )
        number = call.attempts + self._made
        return await attempt(call, function, number=number, in_thread=_inline, payload_limit=PAYLOAD_LIMIT)


async def _inline(function: Callable[[Any], object], value: Any) -> object:  # any input
    return function(value)


def _failure() -> Failure:
    return Failure(type="ConnectionError", message="injected: the connection was lost")


def _refusal(call: Call) -> Callable[[Any], object]:
    """Return an activity that says no in the way that the step expects."""

    def refuse(_: Any) -> object:  # any input
        for kind in call.step.rejects:
            try:
                error = kind("injected")
            except Exception:  # noqa: BLE001, S112 - an exception type may want other arguments
                continue
            raise error
        raise StepRejected("injected")

    return refuse
