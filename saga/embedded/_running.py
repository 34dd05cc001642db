"""Activities that run: each in a task or thread of its own, so that one which does not stop can be given up (S5)."""

from __future__ import annotations

import asyncio
import inspect
import logging
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final

from ._watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Executor
    from concurrent.futures import Future as ThreadFuture

__all__ = ("LAST_WORDS", "Activities", "Limits")

logger = logging.getLogger(__name__)

_GOES_ON = (
    "the engine was left and these activities go on, though they were asked to stop: %s; their attempts count as "
    "unanswered, and the next owner performs them again"
)

LAST_WORDS: Final = 1.0
"""Seconds that an activity has to end by itself, once it was asked to stop at its time limit."""


class Limits:
    """What bounds the activity of one attempt, and what became of that.

    Attributes:
        name: Whose activity it is, such as `transfer-42/debit.1`.
        seconds: Its time limit.
        overdue: Whether its time limit has passed.
        stopped: Whether it was asked to stop.
        forsaken: Whether it goes on and nobody waits for it any more.
    """

    __slots__ = ("_waiter", "forsaken", "name", "overdue", "seconds", "stopped")

    def __init__(self, name: str, seconds: float) -> None:
        self.name = name
        self.seconds = seconds
        self.overdue = False
        self.stopped = False
        self.forsaken = False
        self._waiter: asyncio.Future[None] | None = None

    def wait(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """Return a future that is done when there is nothing more to wait for."""
        self._waiter = loop.create_future()
        return self._waiter

    def release(self) -> None:
        """Let whoever waits go on."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Activities:
    """Starts activities, watches their time limits, and gives up those that do not stop."""

    def __init__(self, threads: Executor) -> None:
        self._threads = threads
        self._watch = Watch(self._forsake, patience=LAST_WORDS)
        self._on_loop: dict[asyncio.Future[Any], Limits] = {}
        self._in_threads: dict[ThreadFuture[Any], str] = {}

    # -- starting ------------------------------------------------------------------------

    async def on_loop(self, function: Callable[[Any], Coroutine[Any, Any, Any]], value: Any, limits: Limits) -> Any:
        """Run an `async` activity and return what it returns.

        Raises:
            CancelledError: if it ended so, or was given up: `limits` tells.
        """
        return await self._ended(asyncio.get_running_loop().create_task(_contained(function(value))), limits)

    async def in_thread(self, function: Callable[[Any], object], value: Any, limits: Limits) -> object:
        """Run an activity that is not `async`; what it returns may have to be awaited. Raises as `on_loop`."""
        context = copy_context()
        running = self._threads.submit(lambda: context.run(function, value))
        self._in_threads[running] = limits.name
        running.add_done_callback(lambda done: self._in_threads.pop(done, None))
        result = await self._ended(asyncio.wrap_future(running), limits)
        return self.on_loop(_awaited, result, limits) if inspect.isawaitable(result) else result

    # -- ending --------------------------------------------------------------------------

    async def _ended(self, running: asyncio.Future[Any], limits: Limits) -> Any:
        loop = running.get_loop()
        self._on_loop[running] = limits
        running.add_done_callback(self._forget)
        self._watch.begin(running, limits.seconds, loop)
        while not (running.done() or limits.forsaken):
            try:
                await limits.wait(loop)
            except asyncio.CancelledError:
                limits.stopped = True
                running.cancel()
        if not running.done():
            raise asyncio.CancelledError
        result = running.result()
        if isinstance(result, _Raised):
            raise result.error
        return result

    def _forget(self, running: asyncio.Future[Any]) -> None:
        limits = self._on_loop.pop(running)
        limits.overdue = self._watch.end(running) or limits.overdue
        if not running.cancelled():
            running.exception()  # nobody may be there to look at it
        limits.release()

    def _forsake(self, running: asyncio.Future[Any]) -> None:
        """Wait no longer for an activity that was asked to stop at its time limit; it may act as long as it likes."""
        limits = self._on_loop[running]
        limits.overdue = limits.forsaken = True
        limits.release()

    async def leave(self) -> None:
        """Watch no time limits any more; give what was asked to stop a moment, and name what goes on."""
        if self._on_loop:
            await asyncio.wait(list(self._on_loop), timeout=LAST_WORDS)
        self._watch.close()
        names = {name for running, name in list(self._in_threads.items()) if running.running()}
        for running, limits in list(self._on_loop.items()):
            names.add(limits.name)
            self._forsake(running)
        if names:
            logger.warning(_GOES_ON, ", ".join(sorted(names)))


class _Raised:
    """An error of an activity that must not reach the loop: it would end the process."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


async def _contained(activity: Coroutine[Any, Any, Any]) -> Any:
    try:
        return await activity
    except (Exception, asyncio.CancelledError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # noqa: BLE001 - such as SystemExit: the process is not the activity's to end
        return _Raised(error)


async def _awaited(awaitable: Any) -> Any:
    return await awaitable
