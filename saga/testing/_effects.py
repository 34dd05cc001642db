"""What activities really do in a simulated run: at once, late, or by hand, each act noted when it happens."""

from __future__ import annotations

import asyncio
import inspect
from contextvars import copy_context
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from saga.errors import InvalidRequestError, StepRejected
from saga.kernel import PAYLOAD_LIMIT, RECORDED, CallState, attempt
from saga.testing._trace import Event, EventKind

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from saga.kernel import Call
    from saga.testing._participants import Participants
    from saga.testing._time import Alarm
    from saga.testing._world import World

__all__ = ("Effects",)

_LATENESS: Final = 30
"""Seconds after its time limit at which a late attempt acts, unless the step says that it settles sooner."""


class Effects:
    """Performs the real activities of one run.

    Attributes:
        calls: The last call of every activity, by target.
        late: Attempts that act after their time limit, by target.
        outside: Activities that run on the host's event loop; time stands still for them.
    """

    def __init__(self, world: World, participants: Participants) -> None:
        self.calls: dict[str, Call] = {}
        self.late: dict[str, list[Alarm]] = {}
        self.outside: set[asyncio.Task[object]] = set()
        self._world = world
        self._participants = participants
        self._host = asyncio.get_running_loop()

    def acting(self, target: str, call: Call, kind: EventKind, number: int = 0) -> Callable[[Any], object]:
        """Return the real activity of a call; it notes what it does, and it runs where its kind can run."""
        function = self._participants.function(call)
        note = partial(self._acted, target, call, kind, number)
        if inspect.iscoroutinefunction(function):

            async def act_outside(value: Any) -> object:  # any input
                return await self._outside(_noted(function, value, note))

            return act_outside

        def act(value: Any) -> object:  # any input
            try:
                result = function(value)
            except Exception as error:
                note(error=error)
                raise
            if inspect.isawaitable(result):
                return self._outside(_noted(lambda _: result, value, note))
            note(result=result)
            return result

        return act

    def _acted(
        self,
        target: str,
        call: Call,
        kind: EventKind,
        number: int,
        *,
        result: object = None,
        error: Exception | None = None,
    ) -> None:
        state, output = CallState.DONE, None
        if error is not None:
            said_no = isinstance(error, (StepRejected, *call.step.rejects))
            state = CallState.REJECTED if said_no else CallState.IN_DOUBT
        elif call.activity.returns is not None:
            try:
                output = call.activity.returns.encode(result)
            except InvalidRequestError:
                output = None
        self._world.note(
            Event(
                kind, self._world.time.now, call.id, target, call.name, number, 0, state,
                text="" if error is None else type(error).__name__, key=call.key, output=output,
                recorded=bool(getattr(error, RECORDED, False)),
            )
        )  # fmt: skip

    async def _outside(self, activity: Coroutine[Any, Any, object]) -> object:
        """Run a coroutine on the host's loop, where it finds real I/O; it is never cancelled."""
        done: asyncio.Future[object] = asyncio.get_running_loop().create_future()

        def arrived(task: asyncio.Task[object]) -> None:
            error = task.exception()
            if done.done():
                return
            if error is None:
                done.set_result(task.result())
            else:
                done.set_exception(error)

        self._spawn(activity).add_done_callback(arrived)
        conducting = self._world.owner
        while not done.done():
            try:
                await asyncio.wait([done])
            except asyncio.CancelledError:
                if conducting.leaving or not conducting.alive:
                    raise
        return done.result()

    def _spawn(self, activity: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
        task = self._host.create_task(activity, context=copy_context())
        self.outside.add(task)
        task.add_done_callback(self.outside.discard)
        return task

    def act(self, target: str, call: Call, kind: EventKind) -> asyncio.Task[object]:
        """Let an activity act beside the saga: late, or by hand."""

        async def inline(function: Callable[[Any], object], value: Any) -> object:  # any input
            return function(value)

        function = self.acting(target, call, kind)
        return self._spawn(attempt(call, function, number=1, in_thread=inline, payload_limit=PAYLOAD_LIMIT))

    def act_later(self, target: str, call: Call, limit: timedelta) -> None:
        """Let an attempt act after its time limit: as late as the step's settling time allows."""
        policy = call.activity.policy
        after = timedelta(seconds=_LATENESS)
        if policy.settle_time is not None and not (policy.barrier or policy.safe_to_overtake):
            after = min(after, policy.settle_time / 2)
        due = self._world.time.now + limit + after
        alarm = self._world.time.at(due, lambda: self.act(target, call, EventKind.ACTED_LATE))
        self.late.setdefault(target, []).append(alarm)


async def _noted(function: Callable[[Any], Any], value: Any, note: Callable[..., None]) -> object:
    try:
        result = await function(value)
    except Exception as error:
        note(error=error)
        raise
    note(result=result)
    return result
