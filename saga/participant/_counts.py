"""How far a consumer goes, and what it has done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

__all__ = ("ConsumerCounts", "Limits", "Tally")

LONGEST_WAIT_SECONDS: Final = 30.0
LET_GO_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a consumer goes; see `Consumer`."""

    attempts: int
    first_wait: timedelta
    batch: int
    rebalance_timeout: timedelta

    def wait_after(self, attempts: int) -> float:
        """Return how many seconds to wait after so many attempts."""
        seconds: float = self.first_wait.total_seconds() * 2 ** min(attempts - 1, 20)
        return min(LONGEST_WAIT_SECONDS, seconds)

    @property
    def let_go_seconds(self) -> float:
        """How long a rebalance waits for transactions that run."""
        return min(LET_GO_SECONDS, self.rebalance_timeout.total_seconds() / 2)


@dataclass(frozen=True, slots=True)
class ConsumerCounts:
    """What a consumer has done since it was made.

    Attributes:
        handled: Messages that a function handled.
        repeated: Messages that came again.
        stored: Messages that were stored behind others of a held key.
        passed_by: Messages of types that are not for this consumer.
        held: Messages that could not be handled, each with its key.
        failed: Attempts that failed.
        fenced: Transactions that found their partition to be another's.
        drained: Held messages that were handled after all.
        failures: How often the broker could not be used and the consumer began anew.
    """

    handled: int = 0
    repeated: int = 0
    stored: int = 0
    passed_by: int = 0
    held: int = 0
    failed: int = 0
    fenced: int = 0
    drained: int = 0
    failures: int = 0


class Tally:
    """Counts what a consumer does.

    Attributes:
        counts: So far.
    """

    def __init__(self) -> None:
        self.counts = ConsumerCounts()

    def add(self, **more: int) -> None:
        """Count more of something."""
        self.counts = replace(self.counts, **{name: getattr(self.counts, name) + by for name, by in more.items()})
