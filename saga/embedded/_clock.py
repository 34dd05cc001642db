"""The engine's clock: wall time that cannot jump while the process runs."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

__all__ = ("Clock",)


class Clock:
    """Tells UTC time, moved on by the monotonic clock from when it was made.

    A wall clock that is set back or forward would fire deadlines early or never.
    """

    __slots__ = ("_began", "_began_at")

    def __init__(self) -> None:
        self._began_at = datetime.now(UTC)
        self._began = time.monotonic()

    def now(self) -> datetime:
        """Return the time."""
        return self._began_at + timedelta(seconds=time.monotonic() - self._began)
