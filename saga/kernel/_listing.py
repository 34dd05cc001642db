"""The edge of a list: which instances are asked for is checked before anything is read."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Final, cast

from saga.errors import InvalidRequestError
from saga.kernel._values import SagaState

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("check_list",)

_NAMES: Final = ", ".join(SagaState)


def check_list(
    states: Iterable[SagaState],
    *,
    started_after: datetime | None = None,
    started_before: datetime | None = None,
    limit: int | None = None,
) -> tuple[SagaState, ...]:
    """Return the states that a list is asked for, once everything that it is asked for makes sense.

    Args:
        states: Only these; a state may be given by its name.
        started_after: Started then or later; aware, or None.
        started_before: Started earlier than that; aware, or None.
        limit: At most so many, 1 or more; None means all.

    Raises:
        InvalidRequestError: if something makes none; all of it is named.

    Example:
        >>> check_list(["STUCK"], limit=10)
        (<SagaState.STUCK: 'STUCK'>,)
        >>> check_list(["STUK"], limit=0)
        Traceback (most recent call last):
        saga.errors.InvalidRequestError: nothing was listed:
          states holds 'STUK'; give RUNNING, COMPENSATING, COMPLETED, COMPENSATED, STUCK
          limit is 0; give 1 or more, or None for all
    """
    wanted = _all(states)  # once: what gives them may give them once only
    faults = [
        *([f"states is {states!s}; give a list of states, even of one"] if wanted is None else []),
        *(f"states holds {one!r}; give {_NAMES}" for one in wanted or () if not _is_state(one)),
        *_time_faults("started_after", started_after),
        *_time_faults("started_before", started_before),
        *_limit_faults(limit),
    ]
    if faults:
        raise InvalidRequestError("\n".join(["nothing was listed:", *(f"  {one}" for one in faults)]))
    return tuple(SagaState(one) for one in wanted or ())


def _all(states: object) -> list[SagaState] | None:
    """Return what is given as states, whatever it is; None if it is one text, or nothing that gives any."""
    some = isinstance(states, Iterable) and not isinstance(states, str)
    return list(cast("Iterable[SagaState]", states)) if some else None


def _is_state(one: object) -> bool:
    return isinstance(one, str) and one in SagaState.__members__


def _time_faults(name: str, at: object) -> Iterator[str]:
    if at is None:
        return
    if not isinstance(at, datetime):
        yield f"{name} is {at!r}; give a datetime with a time zone, or None"
    elif at.utcoffset() is None:
        yield f"{name} is {at.isoformat()} and has no time zone; give an aware datetime such as datetime.now(UTC)"


def _limit_faults(limit: object) -> Iterator[str]:
    if limit is None:
        return
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        yield f"limit is {limit!r}; give 1 or more, or None for all"
