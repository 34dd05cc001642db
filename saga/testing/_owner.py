"""One simulated process: the event loop it runs, the instances it drives, and how it ends."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NoReturn

from saga.kernel import DeterministicLoop
from saga.testing._simulated import SimulatedRuntime

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from saga.testing._journal import MemoryJournal
    from saga.testing._world import World

__all__ = ("Owner",)


class _Loop(DeterministicLoop):
    """A loop that can be held in the middle of a turn."""

    def hold(self) -> None:
        """Stop after this callback; whatever is ready runs when the loop is pumped again."""
        running, self._ready = self._ready, deque(self._ready)
        running.clear()


class Owner:
    """A process that drives instances until it crashes, lets go, or finds out that it was taken over.

    Attributes:
        loop: Its event loop; it is pumped by the world, and its timers are alarms of virtual time.
        runtimes: The instances that it drives, by id.
        alive: Whether it still runs; what a dead owner still tries has no effect.
        leaving: Whether it lets go of its instances.
        paused: Whether it stands still, and does not know that it is taken over.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.loop = _Loop(lambda: world.time.seconds, self._timer)  # type: ignore[abstract]  # the rest is refused
        self.runtimes: dict[str, SimulatedRuntime] = {}
        self.alive = True
        self.leaving = False
        self.paused = False

    def _timer(self, _: int, handle: asyncio.TimerHandle) -> None:
        def ring() -> None:
            if not handle.cancelled():
                self.loop.fire(handle)

        self._world.time.at(self._world.time.instant(handle.when()), ring, owner=self)

    def soon(self, function: Callable[..., object], *arguments: Any) -> None:  # the function's own arguments
        """Call a function from a callback of the loop."""
        self.loop.call_soon(function, *arguments)

    def drive(self, journal: MemoryJournal, *, crashed: bool | None = None) -> SimulatedRuntime:
        """Drive an instance; `crashed` tells how its former owner ended, None that there was none."""
        runtime = self.runtimes[journal.id] = SimulatedRuntime(self._world, self, journal)
        journal.driver = runtime
        self.soon(runtime.begin, crashed)
        return runtime

    def watch(self, journal: MemoryJournal) -> SimulatedRuntime:
        """Wait for the end of an instance that another owner drives."""
        return SimulatedRuntime(self._world, self, journal)

    # -- ending --------------------------------------------------------------------------

    def crash(self) -> None:
        """End at once, as by SIGKILL: nothing that is not durable stays."""
        self.alive = False
        self.loop.quit()

    def leave(self) -> None:
        """Let go of every instance, as when an engine is closed; nothing is recorded for it."""
        self.leaving = True
        for runtime in self.runtimes.values():
            runtime.leave()

    def pause(self) -> None:
        """Stand still, as a process does that was suspended or swapped out."""
        self.paused = True
        self.loop.hold()

    def wake(self) -> None:
        """Go on as if nothing had happened."""
        self.paused = False

    def bury(self) -> None:
        """Take away what is left of an owner that has ended."""
        self.alive = False
        self._world.time.forget(self)
        self.loop.drop()

    async def never(self) -> NoReturn:
        """Wait for ever, as code of a dead process does."""
        await self.loop.create_future()
        raise AssertionError
