"""Virtual time: a clock that moves only when it is told to, and the alarms that are set on it."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("START", "Alarm", "VirtualTime")

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""When virtual time begins, unless a test says otherwise."""


@dataclass(order=True, slots=True)
class Alarm:
    """Something that is due at a time. Alarms of the same time ring in the order in which they were set.

    Attributes:
        due: When it rings.
        number: Counts the alarms of one clock.
        ring: What is called then.
        owner: Whose alarm it is; None for the world's own, which no crash stops.
        live: Whether it still rings.
    """

    due: datetime
    number: int
    ring: Callable[[], object] = field(compare=False)
    owner: object = field(compare=False, default=None)
    live: bool = field(compare=False, default=True)

    def cancel(self) -> None:
        """Never ring."""
        self.live = False


class VirtualTime:
    """A clock and its alarms.

    Attributes:
        now: The time, UTC.
    """

    def __init__(self, start: datetime = START) -> None:
        self.now = start
        self._start = start
        self._alarms: list[Alarm] = []
        self._count = 0

    @property
    def seconds(self) -> float:
        """Seconds since the beginning, as an event loop counts them."""
        return (self.now - self._start).total_seconds()

    def instant(self, seconds: float) -> datetime:
        """Return the time that an event loop calls `seconds`."""
        return self._start + timedelta(seconds=seconds)

    def at(self, due: datetime, ring: Callable[[], object], *, owner: object = None) -> Alarm:
        """Set an alarm; one that is overdue already rings next, without turning the clock back."""
        self._count += 1
        alarm = Alarm(due, self._count, ring, owner)
        heapq.heappush(self._alarms, alarm)
        return alarm

    def forget(self, owner: object) -> None:
        """Cancel every alarm of an owner."""
        for alarm in self._alarms:
            alarm.live = alarm.live and alarm.owner is not owner

    @property
    def next_due(self) -> datetime | None:
        """When the next alarm rings, or None."""
        while self._alarms and not self._alarms[0].live:
            heapq.heappop(self._alarms)
        return self._alarms[0].due if self._alarms else None

    def advance(self) -> bool:
        """Move the clock to the next alarm and let it ring; False if there is none."""
        if self.next_due is None:
            return False
        alarm = heapq.heappop(self._alarms)
        alarm.live = False
        self.now = max(self.now, alarm.due)
        alarm.ring()
        return True
