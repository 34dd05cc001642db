"""Performs activities in this process: attempts, time limits, retries, and what they leave open (S2, S5)."""

from __future__ import annotations

import asyncio
import inspect
import random
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from saga.errors import ParticipantError
from saga.kernel import Attempt, CallState, Failure, Outcome, attempt, function_of, retry_after

from ._running import Activities, Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Executor
    from datetime import datetime, timedelta

    from tenacity import AsyncRetrying, RetryCallState

    from saga.kernel import Activity, Call

    from ._clock import Clock
    from ._tenure import Tenure

__all__ = ("Performer",)


@dataclass(slots=True)
class _Attempts:
    """What the attempts of one call left behind so far."""

    made: int = 0
    unanswered: bool = False
    overdue: bool = False
    overdue_at: datetime | None = None


class Performer:
    """Runs activities under their policies.

    Args:
        participants: The real participants, by name.
        clock: Tells the time.
        threads: Runs activities that are not `async`.
        tenure: Tells whether attempts may begin.
        payload_limit: Largest output, in bytes of JSON.

    Attributes:
        active: How many attempts run now.
    """

    def __init__(
        self,
        participants: Mapping[str, object],
        *,
        clock: Clock,
        threads: Executor,
        tenure: Tenure,
        payload_limit: int,
    ) -> None:
        self._participants = participants
        self._clock = clock
        self._tenure = tenure
        self._payload_limit = payload_limit
        self._activities = Activities(threads)
        self._functions: dict[str, tuple[Callable[[Any], Any], bool]] = {}
        self.active = 0

    def close(self) -> None:
        """Let no attempt follow one that ends from now on, whatever it makes of its cancellation."""
        self._activities.closing = True

    async def end(self) -> None:
        """Give what was cancelled a moment to end; what goes on is named in the log."""
        await self._activities.leave()

    async def perform(self, call: Call, failed: Callable[[Failure, bool], None]) -> Outcome:
        """Perform one activity and return its settled outcome; cancelling asks it to stop."""
        attempts = _Attempts()
        first = await self._attempt(call, attempts)
        if first.state is not CallState.IN_DOUBT or first.final:
            return self._outcome(first, attempts)
        return self._outcome(await self._retried(call, first, attempts, failed), attempts)

    def _outcome(self, last: Attempt, attempts: _Attempts) -> Outcome:
        return Outcome(
            last.state,
            self._clock.now(),
            last.output,
            last.failure,
            attempts.made,
            attempts.unanswered,
            last.recorded,
            attempts.overdue_at,
        )

    # -- one attempt ---------------------------------------------------------------------

    async def _attempt(self, call: Call, attempts: _Attempts) -> Attempt:
        if not self._tenure.holds and await self._stopped_meanwhile():
            return _NOT_BEGUN
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - coroutines of an engine run in tasks
        attempts.made += 1
        attempts.overdue = False
        limits = Limits(call.key, call.activity.policy.timeout.total_seconds())
        self.active += 1
        self._activities.begin(task, limits)
        last: Attempt | Failure
        try:
            last = await self._once(call, attempts, limits)
        except asyncio.CancelledError as error:
            last = Failure.of(error)
        finally:
            self.active -= 1
            self._activities.end(task)
        if limits.held_back and not limits.stopped:
            attempts.made -= 1
            return await self._attempt(call, attempts)
        if isinstance(last, Failure):
            last = self._cut_short(attempts, limits, last)
        return replace(last, final=True) if limits.stopped else last

    async def _stopped_meanwhile(self) -> bool:
        """Wait until nobody can have taken over what this process drives; tell whether it was asked to stop.

        Whatever was taken over is let go of before the wait ends, so that no attempt of it begins.
        """
        try:
            await self._tenure.renewed()
        except asyncio.CancelledError:
            return True
        return False

    async def _once(self, call: Call, attempts: _Attempts, limits: Limits) -> Attempt:
        function, is_async = self._function(call.activity.activity)

        async def on_loop(value: Any) -> Any:  # any input, any output
            return await self._activities.on_loop(function(value), limits)

        async def in_thread(function: Callable[[Any], object], value: Any) -> object:  # any input
            return await self._activities.in_thread(partial(self._begin, limits, function), value, limits)

        try:
            return await attempt(
                call,
                on_loop if is_async else function,
                number=call.attempts + attempts.made,
                in_thread=in_thread,
                payload_limit=self._payload_limit,
            )
        except (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - such as SystemExit: the process is not the activity's to end
            return Attempt(CallState.IN_DOUBT, failure=Failure.of(error))

    def _begin(self, limits: Limits, function: Callable[[Any], object], value: Any) -> object:  # any input
        # A thread may have been waited for: what held when the attempt was made need not hold any more.
        limits.held_back = not self._tenure.holds
        if limits.held_back:
            raise RuntimeError("it did not begin")
        try:
            return function(value)
        except StopIteration as error:  # no future can hold one
            msg = f"StopIteration: {error}"
            raise RuntimeError(msg) from error

    def _cut_short(self, attempts: _Attempts, limits: Limits, failure: Failure) -> Attempt:
        """Say what an attempt came to that ended by a cancellation, or was given up."""
        attempts.overdue = limits.overdue
        if not (limits.stopped or limits.overdue):
            return Attempt(CallState.IN_DOUBT, failure=failure)  # it raised that by itself
        attempts.overdue_at = self._clock.now()
        if limits.stopped:
            return _stopped(None)
        text = f"no answer within {limits.seconds:g} s"
        if limits.forsaken:
            text += ", and it did not stop when it was asked to"
        return Attempt(CallState.IN_DOUBT, failure=Failure(type="TimeoutError", message=text))

    def _function(self, activity: Activity | None) -> tuple[Callable[[Any], Any], bool]:
        """Return the real function of an activity, and whether calling it returns a coroutine."""
        if activity is None:
            msg = "a nested saga is performed by its engine"
            raise ParticipantError(msg)
        known = self._functions.get(activity.name)
        if known is None:
            function = function_of(activity, self._participants)
            known = self._functions[activity.name] = function, inspect.iscoroutinefunction(function)
        return known

    # -- retries -------------------------------------------------------------------------

    async def _retried(
        self, call: Call, last: Attempt, attempts: _Attempts, failed: Callable[[Failure, bool], None]
    ) -> Attempt:
        """Go on after a first attempt that ended without an answer."""
        try:
            async for turn in _turns(call, attempts, failed):
                if turn.retry_state.attempt_number > 1:
                    last = await self._attempt(call, attempts)
                turn.retry_state.set_result(last)
        except asyncio.CancelledError:
            return _stopped(last.failure)
        return last


# Nothing happened, unless an attempt before had been left without an answer.
_NOT_BEGUN = Attempt(
    CallState.REJECTED, failure=Failure(type="NotStarted", message="it was asked to stop before it began"), final=True
)


def _stopped(failure: Failure | None) -> Attempt:
    stopped = Failure(type="Stopped", message="it was asked to stop before it answered")
    return Attempt(CallState.IN_DOUBT, failure=failure or stopped, final=True)


def _turns(call: Call, attempts: _Attempts, failed: Callable[[Failure, bool], None]) -> AsyncRetrying:
    """Take turns as the kernel decides; the first one is the attempt that was made already."""
    import tenacity  # noqa: PLC0415 - only a failure needs it, and it takes a while to load

    pause: timedelta | None = None

    def again(last: Attempt) -> bool:
        nonlocal pause
        pause = retry_after(call.activity.policy.retry, last, made=attempts.made, before=call.attempts)
        return pause is not None

    def wait(_: RetryCallState) -> float:
        # Shortened, never lengthened, so that `cap` holds.
        return 0 if pause is None else pause.total_seconds() * (1 - 0.1 * random.random())  # noqa: S311 - no secret

    def note(state: RetryCallState) -> None:
        attempts.unanswered = True
        last: Attempt | None = None if state.outcome is None else state.outcome.result()
        if last is not None and last.failure is not None:
            failed(last.failure, attempts.overdue)

    return tenacity.AsyncRetrying(
        wait=wait, retry=tenacity.retry_if_result(again), before_sleep=note, sleep=asyncio.sleep
    )
