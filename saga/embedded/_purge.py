"""Removes ended instances from a journal, a few at a time so that nobody waits long."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import CTE, Connection, Select, delete, select

from ._database import Database, Write
from ._tables import facts, instances, micros, requests

__all__ = ("PURGED_AT_ONCE", "Purged", "purge")

PURGED_AT_ONCE = 100
"""Instances that one transaction removes: while it lasts, no flush can begin on SQLite."""

_READ_AT_ONCE = 10_000


class Purged(NamedTuple):
    """How much was removed: instances, facts and requests."""

    instances: int = 0
    facts: int = 0
    requests: int = 0

    def plus(self, other: Purged) -> Purged:
        """Return the sum of both."""
        return Purged(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


def purge(
    database: Database,
    *,
    ended_before: datetime,
    sagas: Collection[str] | None = None,
    at_once: int = PURGED_AT_ONCE,
) -> Purged:
    """Remove every instance that ended before a point in time, with its facts and requests.

    What is nested in an instance goes with it, whatever its class. What is nested in an open one stays,
    at any depth: a compensation may need what it recorded.

    Args:
        database: Where.
        ended_before: An aware `datetime`.
        sagas: Names of the saga classes whose instances may go; None means all.
        at_once: Instances per transaction.

    Raises:
        JournalError: if the journal cannot be written; what was removed until then stays removed.
    """
    total = Purged()
    for numbers in _due(database, ended_before, sagas, at_once):
        with database.transaction(Write.PURGE) as connection:
            removed = _remove(connection, numbers)
        total = total.plus(removed)
    return total


def _due(
    database: Database, ended_before: datetime, sagas: Collection[str] | None, at_once: int
) -> Iterator[list[int]]:
    """Yield the numbers of instances that may go, so many at once."""
    # Read apart from the transaction that removes them: what may go now may go for ever.
    query, after = _ended(ended_before, sagas).limit(_READ_AT_ONCE), 0
    while True:
        with database.read() as connection:
            numbers = list(connection.scalars(query.where(instances.c.number > after)).all())
        for start in range(0, len(numbers), at_once):
            yield numbers[start : start + at_once]
        if len(numbers) < _READ_AT_ONCE:
            return
        after = numbers[-1]


def _ended(ended_before: datetime, sagas: Collection[str] | None) -> Select[int]:
    query = (
        select(instances.c.number)
        .where(instances.c.ended_at < micros(ended_before), instances.c.id.not_in(_kept()))
        .order_by(instances.c.number)
    )
    return query if sagas is None else query.where(instances.c.saga.in_(sagas))


def _kept() -> Select[str]:
    """Select the open instances and all that is nested in them."""
    kept: CTE = select(instances.c.id).where(instances.c.ended_at.is_(None)).cte("kept", recursive=True)
    kept = kept.union(select(instances.c.id).join(kept, instances.c.parent == kept.c.id))
    return select(kept.c.id)


def _remove(connection: Connection, numbers: list[int]) -> Purged:
    total = Purged()
    family = _with_children(connection, numbers)
    for start in range(0, len(family), PURGED_AT_ONCE):
        some = family[start : start + PURGED_AT_ONCE]
        removed = (
            connection.execute(delete(table).where(table.c.number.in_(some))).rowcount
            for table in (instances, facts, requests)
        )
        total = total.plus(Purged(*removed))
    return total


def _with_children(connection: Connection, numbers: list[int]) -> list[int]:
    """Add all that is nested in these instances: left behind, it would be taken for a later namesake's."""
    of_these = select(instances.c.number, instances.c.id).where(instances.c.number.in_(numbers))
    family: CTE = of_these.cte("family", recursive=True)
    nested = select(instances.c.number, instances.c.id).join(family, instances.c.parent == family.c.id)
    family = family.union(nested.where(instances.c.ended_at.is_not(None)))
    return list(connection.scalars(select(family.c.number)).all())
