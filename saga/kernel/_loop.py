"""The deterministic loop that `run` executes on: an asyncio event loop without clock, I/O or chance.

Ready callbacks run first in, first out. Time stands still while callbacks run; it is the time of the last
released fact. Timers never fire by themselves: whoever pumps the loop journals them and fires them. Tasks and
futures hash by creation number, because `asyncio.wait`, `as_completed` and `TaskGroup` keep them in sets and
would otherwise visit them in the order of memory addresses.

This file does not know what a saga is.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import events, tasks
from collections import deque
from contextlib import suppress
from inspect import CORO_CREATED, getcoroutinestate, iscoroutine
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias, TypeVar

from saga.errors import NotDeterministicError
from saga.kernel._closing import close, close_now

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterable
    from contextvars import Context
    from types import FrameType

__all__ = ("DeterministicLoop", "NumberedFuture")

T = TypeVar("T")

MOST_CALLBACKS: Final = 1_000_000
"""Callbacks after which a pump gives up: `run` loops without waiting for anything that a fact could bring."""

_RESTLESS = "run loops without waiting for a step, a timer or a decision; no fact would ever end that"


class NumberedFuture(asyncio.Future[T]):
    """A future that hashes by creation number."""

    number = 0

    def __hash__(self) -> int:
        return self.number


class _NumberedTask(asyncio.Task[T]):
    number = 0

    def __hash__(self) -> int:
        # asyncio adds a task to its own set of all tasks before it has its number; there the tasks of all
        # instances meet, and with one hash for all of them that set would be a list.
        return self.number or object.__hash__(self)


class DeterministicLoop(asyncio.AbstractEventLoop):
    """Runs callbacks in the order they became ready, when it is pumped, and does nothing else.

    Args:
        time: Returns the loop's time in seconds; constant between two pumps.
        on_timer: Is told of every timer that is set, with a number counted from 1.
    """

    def __init__(self, time: Callable[[], float], on_timer: Callable[[int, asyncio.TimerHandle], None]) -> None:
        self._time = time
        self._on_timer = on_timer
        self._ready: deque[asyncio.Handle] = deque()
        self._created = 0
        self._timers = 0
        self._live: dict[int, _NumberedTask[Any]] = {}
        self._closed = False
        self.unheard: list[BaseException] = []

    # -- pumping -----------------------------------------------------------------------

    def pump(self) -> None:
        """Run everything that is ready, and what becomes ready by that, then return.

        Raises:
            NotDeterministicError: if it never comes to rest; the loop has quit then.
        """
        ready = self._ready
        host = self._enter()
        count = 0
        try:
            while ready:
                count += 1
                if count > MOST_CALLBACKS:
                    self.quit()
                    raise NotDeterministicError(_RESTLESS)
                handle = ready.popleft()
                if not handle.cancelled():
                    _run(handle)
        finally:
            _leave(host)

    def fire(self, handle: asyncio.TimerHandle) -> None:
        """Make the callback of a timer ready."""
        self._ready.append(handle)

    def quit(self) -> None:
        """Run nothing more, not even what is ready."""
        self._closed = True
        self._ready.clear()

    def drop(self) -> None:
        """Close every coroutine that is still suspended, quietly, in order of creation.

        `finally` blocks run; what they await is refused, because nothing they do would be journaled.
        """
        self.quit()
        if not self._live:
            self._time, self._on_timer = _stopped, _ignored
            return
        host = self._enter()
        try:
            for task in list(self._live.values()):
                close(task)
        finally:
            _leave(host)
            self._live.clear()
            # Whoever made this loop refers to it: without these two no collector is needed to free both.
            self._time, self._on_timer = _stopped, _ignored

    def _enter(self) -> _Host:
        """Become the running loop, for asynchronous generators too: otherwise the host would close them."""
        host, hooks = events._get_running_loop(), sys.get_asyncgen_hooks()  # noqa: SLF001 - documented for loop implementers
        task = None if host is None else asyncio.current_task(host)
        if host is not None and task is not None:
            tasks._leave_task(host, task)  # noqa: SLF001 - as above; from Python 3.14 on a thread has one current task
        events._set_running_loop(self)  # noqa: SLF001 - as above
        sys.set_asyncgen_hooks(None, self._finalize)
        return host, task, hooks.firstiter, hooks.finalizer

    def _finalize(self, generator: AsyncGenerator[Any, Any]) -> None:
        """Close an asynchronous generator that `run` has left before its end."""
        if events._get_running_loop() is not self:  # noqa: SLF001 - as above
            return  # found by the garbage collector at a time that no replay would repeat
        if self._closed:
            close_now(generator.aclose())
        else:
            _ = self.create_task(generator.aclose())

    # -- what asyncio asks of a loop ---------------------------------------------------

    def time(self) -> float:
        """Return the time of the last released fact, in seconds."""
        return self._time()

    def call_soon(
        self, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.Handle:
        """Run `callback` after everything that is ready already."""
        handle = asyncio.Handle(callback, args, self, context)
        if not self._closed:
            self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Set a timer `delay` seconds from now."""
        return self.call_at(self._time() + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Set a timer."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        if not self._closed:
            self._timers += 1
            self._on_timer(self._timers, handle)
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future that hashes by creation number."""
        future: NumberedFuture[Any] = NumberedFuture(loop=self)
        self.count(future)
        return future

    def count(self, future: NumberedFuture[Any]) -> None:
        """Give a future its creation number."""
        self._created += 1
        future.number = self._created

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
        **_: object,
    ) -> asyncio.Task[T]:
        """Return a task that hashes by creation number."""
        _refuse_chance(sys._getframe(1))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        task: _NumberedTask[T] = _NumberedTask(coro, loop=self, name=name or "", context=context)
        self._created += 1
        task.number = number = self._created
        self._live[number] = task
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        if isinstance(task, _NumberedTask):
            self._live.pop(task.number, None)

    def unbegun(self, made: Iterable[Coroutine[Any, Any, Any]]) -> list[str]:
        """Return the names of coroutines that have not begun: those made and forgotten, and those of live tasks."""
        owned = {task.get_coro(): task for task in self._live.values()}
        tasks = [coro for coro, task in owned.items() if not task.cancelling()]
        waiting = [one for one in (*tasks, *(one for one in made if one not in owned)) if iscoroutine(one)]
        return sorted({one.__qualname__ for one in waiting if getcoroutinestate(one) == CORO_CREATED})

    def get_debug(self) -> bool:
        """Return False: debug mode reads clocks."""
        return False

    def is_running(self) -> bool:
        """Return True: code that can ask runs on this loop."""
        return True

    def is_closed(self) -> bool:
        """Tell whether the loop was dropped."""
        return self._closed

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what nobody awaited, for the page of the instance; nothing is logged during replay."""
        error = context.get("exception")
        if isinstance(error, BaseException):
            self.unheard.append(error)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Nothing to do: whoever fires timers looks whether they were cancelled."""


_Host: TypeAlias = "tuple[asyncio.AbstractEventLoop | None, asyncio.Task[Any] | None, Any, Any]"


def _leave(before: _Host) -> None:
    host, task, firstiter, finalizer = before
    sys.set_asyncgen_hooks(firstiter, finalizer)
    events._set_running_loop(host)  # noqa: SLF001 - documented for loop implementers
    if host is not None and task is not None:
        tasks._enter_task(host, task)  # noqa: SLF001 - as above


def _refuse_chance(frame: FrameType | None) -> None:
    """Refuse `as_completed` of coroutines: it keeps them in a set, so they would start in the order of addresses."""
    while frame is not None and frame.f_globals.get("__name__") == "asyncio.tasks":
        if frame.f_code.co_name == "as_completed":
            for one in filter(iscoroutine, frame.f_locals.get("fs") or frame.f_locals.get("aws") or ()):
                one.close()  # Python would warn that it was never awaited
            msg = (
                "run gave coroutines to asyncio.as_completed, which starts them in an order that no replay repeats. "
                "Give it tasks: as_completed([asyncio.create_task(one) for one in ...])"
            )
            raise NotDeterministicError(msg)
        frame = frame.f_back


def _run(handle: asyncio.Handle) -> None:
    with suppress(SystemExit):  # its task keeps it for whoever awaits; the process is not run's to end
        handle._run()  # noqa: SLF001 - what a loop does with a handle


def _stopped() -> float:
    return 0.0


def _ignored(_number: int, _handle: asyncio.TimerHandle) -> None:
    """A timer that is set after the loop was dropped never fires."""


def _refusal(name: str) -> Callable[..., NoReturn]:
    def refuse(*_: object, **__: object) -> NoReturn:
        msg = (
            f"run used the event loop's {name}, which does I/O or leaves the saga. "
            "Move it into a step; inside run only asyncio's own waiting is durable."
        )
        raise NotDeterministicError(msg)

    refuse.__name__ = name
    return refuse


_DEFINED = frozenset(vars(DeterministicLoop))
for _name in sorted(vars(asyncio.AbstractEventLoop)):
    if not _name.startswith("_") and _name not in _DEFINED:
        setattr(DeterministicLoop, _name, _refusal(_name))
