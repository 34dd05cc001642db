"""Time limits of attempts: one timer for all of them, because nearly every attempt ends long before its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Watch",)


class Watch:
    """Cancels what runs when its time limit has passed, and tells what that was.

    Args:
        forsake: Called for each that has not ended `patience` seconds after that.
        patience: How long.
    """

    def __init__(self, forsake: Callable[[asyncio.Future[Any]], None] | None = None, *, patience: float = 1.0) -> None:
        self._forsake = forsake
        self._patience = patience
        self._due: dict[asyncio.Future[Any], float] = {}
        self._overdue: set[asyncio.Future[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, running: asyncio.Future[Any], seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        """Give `running` `seconds` from now."""
        due = self._due[running] = loop.time() + seconds
        if self._timer is None or due < self._timer.when():
            self._ring_at(due, loop)

    def end(self, running: asyncio.Future[Any]) -> bool:
        """Stop watching `running`, and tell whether its time limit had passed."""
        self._due.pop(running, None)
        if running in self._overdue:
            self._overdue.discard(running)
            return True
        return False

    def close(self) -> None:
        """Watch nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._due.clear()

    def _ring_at(self, due: float, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(due, self._ring, loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for running in [running for running, due in self._due.items() if due <= now]:
            del self._due[running]
            self._end(running, now)
        self._timer = None
        if self._due:
            self._ring_at(min(self._due.values()), loop)

    def _end(self, running: asyncio.Future[Any], now: float) -> None:
        if running in self._overdue and self._forsake is not None:
            self._forsake(running)
            return
        self._overdue.add(running)
        running.cancel()
        if self._forsake is not None:
            self._due[running] = now + self._patience
