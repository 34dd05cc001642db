"""Time limits of attempts: one timer for all of them, because nearly every attempt ends long before its own."""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ("Watch",)


class Watch:
    """Cancels tasks whose time limit passed, and tells which."""

    def __init__(self) -> None:
        self._due: dict[asyncio.Task[Any], float] = {}
        self._overdue: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, task: asyncio.Task[Any], seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        """Give `task` `seconds` from now."""
        due = self._due[task] = loop.time() + seconds
        if self._timer is None or due < self._timer.when():
            self._ring_at(due, loop)

    def end(self, task: asyncio.Task[Any]) -> bool:
        """Stop watching `task`, and tell whether its time limit had passed."""
        self._due.pop(task, None)
        if task in self._overdue:
            self._overdue.discard(task)
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
        for task in [task for task, due in self._due.items() if due <= now]:
            del self._due[task]
            self._overdue.add(task)
            task.cancel()
        self._timer = None
        if self._due:
            self._ring_at(min(self._due.values()), loop)
