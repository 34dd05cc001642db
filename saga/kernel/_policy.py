"""Policies: how often and how long an activity is tried, and when its action counts as settled."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import cast

__all__ = ("FOREVER", "NEVER", "ONCE", "TIMEOUT", "Policy", "Retry", "is_noted", "time_faults")


@dataclass(frozen=True, slots=True)
class Retry:
    """When an attempt that failed is followed by another.

    Waiting times grow as `first * factor ** n`, up to `cap`, each shortened by up to a tenth at random so
    that callers do not come back in step. With the defaults: 0.2, 0.4, 0.8, ... 60 seconds.

    Attributes:
        attempts: How many attempts at most, 1 or more; None for no limit.
        first: Waiting time before the second attempt.
        factor: Growth from one waiting time to the next, 1.0 or more; 1.0 waits evenly.
        cap: Longest waiting time.
        never: Exception types that another attempt cannot cure.

    Example:
        >>> Retry(attempts=3, first=timedelta(seconds=1)).wait(2)
        datetime.timedelta(seconds=2)
    """

    attempts: int | None = 3
    first: timedelta = timedelta(milliseconds=200)
    factor: float = 2.0
    cap: timedelta = timedelta(seconds=60)
    never: tuple[type[Exception], ...] = ()

    def wait(self, failed: int) -> timedelta:
        """Return the waiting time, before jitter, after `failed` failed attempts (1 or more)."""
        try:
            growth = self.factor ** (failed - 1)
        except OverflowError:
            return self.cap
        # Compared in seconds: far past the cap the product is no timedelta any more.
        return self.cap if self.first.total_seconds() * growth >= self.cap.total_seconds() else self.first * growth

    def faults(self) -> list[str]:
        """Say what is wrong with these values."""
        found = [*time_faults("retry's first", self.first), *time_faults("retry's cap", self.cap)]
        if self.attempts is not None and not (_is_number(self.attempts, int) and self.attempts >= 1):
            found.append(f"retry allows {self.attempts!r} attempts; give 1 or more, or None for no limit")
        if not (_is_number(self.factor, int, float) and self.factor >= 1.0):
            found.append(f"retry's factor is {self.factor!r}; give 1.0 or more")
        if not _are_errors(self.never):
            found.append(f"retry's never is {self.never!r}; give a tuple of exception types")
        return found


def _is_number(value: object, *kinds: type) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _are_errors(value: object) -> bool:
    kinds = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
    return isinstance(value, tuple) and all(isinstance(one, type) and issubclass(one, BaseException) for one in kinds)


ONCE = Retry(attempts=1)
FOREVER = Retry(attempts=None)
TIMEOUT = timedelta(seconds=30)
"""Time limit of one attempt where a step names none."""

LONGEST = timedelta(days=36_525)
"""Longest time that a class may name: more than a hundred years added to today is soon no date any more."""

NEVER = timedelta.max
"""A settle time that never passes."""


def is_noted(attempt: int) -> bool:
    """Tell whether the failure of an attempt is written down: the first eight, then four for each doubling.

    What is retried for a week takes some fifty facts then, and not ten thousand. Nothing depends on those that are
    missing: whoever takes a call over counts it as unanswered anyway.

    Example:
        >>> [attempt for attempt in range(1, 33) if is_noted(attempt)]
        [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32]
    """
    return attempt % (1 << max(0, attempt.bit_length() - 3)) == 0


@dataclass(frozen=True, slots=True)
class Policy:
    """How one activity of a step is tried, and when it counts as settled.

    Attributes:
        timeout: Time limit of one attempt.
        retry: When another attempt follows.
        barrier: Whether the participant is behind a barrier, so that a late action does nothing.
        safe_to_overtake: Whether a compensation may run while an attempt whose time limit passed still acts.
        settle_time: How long after such an attempt's time limit it can still act at most.
    """

    timeout: timedelta = TIMEOUT
    retry: Retry = field(default_factory=Retry)
    barrier: bool = False
    safe_to_overtake: bool = False
    settle_time: timedelta | None = None

    @property
    def settles_after(self) -> timedelta:
        """How long after a passed time limit the action counts as settled; `NEVER` if nothing says so."""
        if self.barrier or self.safe_to_overtake:
            return timedelta(0)
        return NEVER if self.settle_time is None else self.settle_time

    def faults(self) -> list[str]:
        """Say what is wrong with these values."""
        found = [*_retry_faults(self.retry), *time_faults("timeout", self.timeout, positive=True)]
        if self.settle_time is not None:
            found += time_faults("settle_time", self.settle_time)
        for name in ("barrier", "safe_to_overtake"):
            value = getattr(self, name)
            if not isinstance(value, bool):
                found.append(f"{name} is {value!r}; give True or False")
        return found


def time_faults(name: str, value: object, *, positive: bool = False) -> list[str]:
    """Say what is wrong with a duration, whatever its author wrote there."""
    if not isinstance(value, timedelta):
        return [f"{name} is {value!r}; give a timedelta"]
    if value > LONGEST:
        return [f"{name} is {value}; give a hundred years at most"]
    if value < timedelta(0) or (positive and not value):
        return [f"{name} is {value}; give {'a positive time' if positive else 'zero or more'}"]
    return []


def _retry_faults(retry: object) -> list[str]:
    return retry.faults() if isinstance(retry, Retry) else [f"retry is {retry!r}; give a Retry"]
