"""Activities that run, and what becomes of one that goes on though it was asked to stop: it is given up (S5)."""

from __future__ import annotations

import asyncio
import inspect
import logging
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final

from ._leash import GoesOn, Leash
from ._watch import Watch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Executor
    from concurrent.futures import Future as ThreadFuture

__all__ = ("LAST_WORDS", "Activities", "Limits")

logger = logging.getLogger(__name__)

LAST_WORDS: Final = 1.0
"""Seconds that an activity has to end by itself, once it was asked to stop at its time limit."""

_GOES_ON: Final = (
    "the engine was left and these activities go on, though they were asked to stop: %s; their attempts count as "
    "unanswered, and the next owner performs them again"
)


class Limits:
    """What bounds one attempt, and what became of that.

    Attributes:
        name: Whose activity it is, such as `transfer-42/debit.1`.
        seconds: Its time limit.
        overdue: Whether its time limit has passed.
        stopped: Whether it was asked to stop.
        held_back: Whether it did not begin, because others may have taken over what this process drives.
        forsaken: Whether its activity goes on and nobody waits for it any more.
        leash: Holds it while it runs on the loop.
    """

    __slots__ = ("forsaken", "held_back", "leash", "name", "overdue", "seconds", "stopped")

    def __init__(self, name: str, seconds: float) -> None:
        self.name = name
        self.seconds = seconds
        self.overdue = False
        self.stopped = False
        self.held_back = False
        self.forsaken = False
        self.leash: Leash | None = None


class Activities:
    """Runs activities, watches their time limits, and gives up those that do not stop.

    An activity runs in the task that performs it. Only one that goes on after its last words is continued in a
    task of its own, so that the other can go on without it: a task for every activity would cost a fifth of what
    an engine takes for a step.

    Attributes:
        closing: Whether every attempt that ends from now on counts as one that was asked to stop.
    """

    def __init__(self, threads: Executor) -> None:
        self.closing = False
        self._threads = threads
        self._watch = Watch(self._forsake, patience=LAST_WORDS)
        self._limits: dict[asyncio.Future[Any], Limits] = {}
        self._forsaken: dict[asyncio.Task[Any], str] = {}
        self._in_threads: dict[ThreadFuture[Any], str] = {}

    # -- time limits ---------------------------------------------------------------------

    def begin(self, task: asyncio.Task[Any], limits: Limits) -> None:
        """Watch an attempt that `task` makes; it is cancelled when its time limit has passed."""
        self._limits[task] = limits
        self._watch.begin(task, limits.seconds, task.get_loop())

    def end(self, task: asyncio.Task[Any]) -> None:
        """Watch it no longer; its limits say what became of it."""
        limits = self._limits.pop(task)
        limits.overdue = self._watch.end(task)
        for ours in (limits.overdue, limits.forsaken):
            if ours:
                task.uncancel()
        limits.stopped = self.closing or task.cancelling() > 0

    def _forsake(self, task: asyncio.Future[Any]) -> None:
        """Wait no longer for an activity that was asked to stop; it may act as long as it likes."""
        limits = self._limits[task]
        if limits.leash is not None:
            limits.forsaken = limits.leash.slipped = True
            task.cancel()

    # -- running -------------------------------------------------------------------------

    async def on_loop(self, activity: Awaitable[Any], limits: Limits) -> Any:
        """Run an `async` activity and return what it returns.

        Raises:
            CancelledError: if it ended so, or was given up: `limits` tells.
        """
        limits.leash = Leash(activity)
        try:
            return await limits.leash
        except GoesOn as rest:
            task = asyncio.get_running_loop().create_task(_contained(rest.activity))
            self._forsaken[task] = limits.name
            task.add_done_callback(self._forsaken.pop)
        raise asyncio.CancelledError

    async def in_thread(self, function: Callable[[Any], object], value: Any, limits: Limits) -> object:
        """Run an activity that is not `async`; what it returns may have to be awaited. Raises as `on_loop`."""
        context = copy_context()
        running = self._threads.submit(lambda: context.run(function, value))
        self._in_threads[running] = limits.name
        running.add_done_callback(lambda done: self._in_threads.pop(done, None))
        result = await asyncio.wrap_future(running)
        return self.on_loop(result, limits) if inspect.isawaitable(result) else result

    # -- leaving -------------------------------------------------------------------------

    async def leave(self) -> None:
        """Watch no time limits any more; give what was asked to stop a moment, and name what goes on."""
        if self._limits:
            await asyncio.wait(list(self._limits), timeout=LAST_WORDS)
        self._watch.close()
        names = {name for running, name in list(self._in_threads.items()) if running.running()}
        names.update(self._forsaken.values())
        for task, limits in list(self._limits.items()):
            names.add(limits.name)
            self._forsake(task)
        if names:
            logger.warning(_GOES_ON, ", ".join(sorted(names)))


async def _contained(activity: Awaitable[Any]) -> None:
    """Continue what nobody waits for; its SystemExit and the like must not end the process from here."""
    try:
        await activity
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # noqa: BLE001 - as above
        logger.debug("an activity that had been given up ended: %s", type(error).__name__)
