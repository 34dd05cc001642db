"""Instances as they are listed: filters, pages, counts."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, func, select

from ._tables import instances, instant, micros

__all__ = ("Filter", "Page", "StoredInstance", "count", "find", "page")


class StoredInstance(NamedTuple):
    """What the journal knows of an instance without its facts.

    Attributes:
        id: Its id.
        saga: Name of its saga class.
        state: Its state.
        started_at: When it started.
        changed_at: When its state changed last.
        ended_at: When it ended, or None.
        parent: Id of the saga that it is nested in, or None.
        owner: Name of the open engine that drives it; empty if nobody does.
        epoch: How many owners it has had.
        request_hash: Of its request, as it was given.
        fingerprint: Of the saga class that started it, as it was given.
        kernel: Version of the kernel's rules that it runs under.
    """

    id: str
    saga: str
    state: str
    started_at: datetime
    changed_at: datetime
    ended_at: datetime | None
    parent: str | None
    owner: str
    epoch: int
    request_hash: str
    fingerprint: str
    kernel: int


@dataclass(frozen=True, slots=True)
class Filter:
    """Which instances to list; every condition that is set must hold.

    Attributes:
        saga: Name of the saga class.
        states: Any of these.
        id_prefix: How the id begins, upper and lower case apart.
        started_from: Started then or later.
        started_before: Started earlier than that.
        open_only: Not ended.
    """

    saga: str | None = None
    states: Collection[str] = ()
    id_prefix: str = ""
    started_from: datetime | None = None
    started_before: datetime | None = None
    open_only: bool = False


class Page(NamedTuple):
    """Some of the instances, newest first, and where the next page begins; None if there is none."""

    instances: tuple[StoredInstance, ...]
    next: int | None


def find(connection: Connection, id: str) -> StoredInstance | None:
    """Return the instance with this id, or None."""
    row = connection.execute(select(instances).where(instances.c.id == id)).one_or_none()
    return None if row is None else _stored(row)


def page(connection: Connection, wanted: Filter, *, after: int | None, limit: int) -> Page:
    """Return a page; `after` is the `next` of the page before."""
    query = select(instances).where(*_conditions(wanted)).order_by(instances.c.number.desc()).limit(limit + 1)
    if after is not None:
        query = query.where(instances.c.number < after)
    rows = connection.execute(query).all()
    more = rows[limit - 1].number if len(rows) > limit else None
    return Page(tuple(_stored(row) for row in rows[:limit]), more)


def count(connection: Connection, saga: str | None) -> dict[str, int]:
    """Return how many instances are in each state that occurs."""
    query = select(instances.c.state, func.count().label("number")).group_by(instances.c.state)
    if saga is not None:
        query = query.where(instances.c.saga == saga)
    return {row.state: row.number for row in connection.execute(query)}


def _conditions(wanted: Filter) -> Iterator[ColumnElement[bool]]:
    if wanted.saga is not None:
        yield instances.c.saga == wanted.saga
    if wanted.states:
        yield instances.c.state.in_(wanted.states)
    if wanted.id_prefix:
        # Not LIKE: SQLite's ignores case, and it gives % and _ a meaning.
        yield func.substr(instances.c.id, 1, len(wanted.id_prefix)) == wanted.id_prefix
    if wanted.started_from is not None:
        yield instances.c.started_at >= micros(wanted.started_from)
    if wanted.started_before is not None:
        yield instances.c.started_at < micros(wanted.started_before)
    if wanted.open_only:
        yield instances.c.ended_at.is_(None)


def _stored(row: Row[tuple[object, ...]]) -> StoredInstance:
    return StoredInstance(
        id=row.id,
        saga=row.saga,
        state=row.state,
        started_at=instant(row.started_at),
        changed_at=instant(row.changed_at),
        ended_at=None if row.ended_at is None else instant(row.ended_at),
        parent=row.parent,
        owner=row.owner,
        epoch=row.epoch,
        request_hash=row.request_hash,
        fingerprint=row.fingerprint,
        kernel=row.kernel,
    )
