"""How long this process may believe that what it owns is still its own."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import timedelta

__all__ = ("Tenure",)

# It counts the time that a machine is suspended too, where there is such a clock.
_CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Tenure:
    """A lease as its holder sees it, by a clock that nobody sets.

    It begins before a sign of life is sent, and the others count from when it arrived. So a process that was
    paused, or whose journal does not answer, knows before anybody else that it may have been taken over. Fencing
    protects the journal; this keeps a former owner from beginning attempts at participants.
    """

    def __init__(self, lease: timedelta) -> None:
        self._lease = lease.total_seconds()
        self._until = 0.0
        self._waiting: list[asyncio.Future[None]] = []

    def now(self) -> float:
        """Return the time in seconds, for `renew`."""
        return time.clock_gettime(_CLOCK)

    @property
    def holds(self) -> bool:
        """Whether nobody can have taken anything over yet."""
        return time.clock_gettime(_CLOCK) < self._until

    def renew(self, began: float) -> None:
        """Take note of a sign of life, once whatever had been taken over before is known.

        Args:
            began: The time by `now` before it was sent.
        """
        self._until = began + self._lease
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def renewed(self) -> None:
        """Wait until it holds."""
        while not self.holds:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future
