"""The inbox: which messages a consumer has seen, and which keys it holds because one of them failed.

    for held in inbox.list_held(session):
        print(held.consumer, held.key, held.reason)
    inbox.retry(session, "request-splitter", "EX-1")        # the cause is mended: handle all of it, in order
    inbox.drop(session, "request-splitter", "EX-1")         # leave the first message out, handle the rest

A running `Consumer` of that name notices within a second.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, overload

from sqlalchemy import delete, func, select, tuple_, update

from saga.errors import ActRefusedError, InboxError
from saga.participant._connection import is_asynchronous, open_connection
from saga.participant._inbox_rows import DRAINING, HELD
from saga.participant._tables import held_key, held_message, tables_expected
from saga.participant._tables import inbox as table

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from datetime import timedelta

    from sqlalchemy.engine import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
    from sqlalchemy.orm import Session

__all__ = ("HeldKey", "drop", "list_held", "purge", "retry")


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A key whose messages are stored rather than handled.

    Attributes:
        consumer: Name of the consumer.
        key: The key, as `Message.key` names it.
        reason: Why its first message could not be handled.
        since: Since when, in UTC.
        messages: How many are stored.
        draining: Whether it was told to go on, and has not come to its end.
        first: Topic, partition and offset of the first stored message.
    """

    consumer: str
    key: str
    reason: str
    since: datetime
    messages: int
    draining: bool
    first: str


@overload
def list_held(transaction: Connection | Session, consumer: str | None = None) -> list[HeldKey]: ...
@overload
def list_held(
    transaction: AsyncConnection | AsyncSession, consumer: str | None = None
) -> Coroutine[Any, Any, list[HeldKey]]: ...
def list_held(
    transaction: Any,  # as the overloads say
    consumer: str | None = None,
) -> Any:  # as above
    """List the keys that are held, the oldest first.

    Args:
        transaction: A transaction of the participant's database.
        consumer: Name of a consumer; by default those of all.

    Returns:
        The keys. For an asynchronous transaction: to be awaited.
    """
    return _run(transaction, partial(_list_held, consumer=consumer))


@overload
def retry(transaction: Connection | Session, consumer: str, key: str) -> None: ...
@overload
def retry(transaction: AsyncConnection | AsyncSession, consumer: str, key: str) -> Coroutine[Any, Any, None]: ...
def retry(transaction: Any, consumer: str, key: str) -> Any:  # as the overloads say
    """Have the stored messages of a key handled in order; the caller commits.

    If the first fails again, the key is held again.

    Args:
        transaction: A transaction of the participant's database.
        consumer: Name of the consumer.
        key: The key, as `list_held` names it.

    Raises:
        ActRefusedError: if that key is not held.
    """
    return _run(transaction, partial(_go_on, consumer=consumer, key=key))


@overload
def drop(transaction: Connection | Session, consumer: str, key: str) -> None: ...
@overload
def drop(transaction: AsyncConnection | AsyncSession, consumer: str, key: str) -> Coroutine[Any, Any, None]: ...
def drop(transaction: Any, consumer: str, key: str) -> Any:  # as the overloads say
    """Delete the first stored message of a key for good, and have the rest handled; the caller commits.

    Args:
        transaction: A transaction of the participant's database.
        consumer: Name of the consumer.
        key: The key, as `list_held` names it.

    Raises:
        ActRefusedError: if that key is not held, or goes on already.
    """
    return _run(transaction, partial(_drop, consumer=consumer, key=key))


@overload
def purge(transaction: Connection | Session, *, older_than: timedelta, limit: int = 10_000) -> int: ...
@overload
def purge(
    transaction: AsyncConnection | AsyncSession, *, older_than: timedelta, limit: int = 10_000
) -> Coroutine[Any, Any, int]: ...
def purge(
    transaction: Any,  # as the overloads say
    *,
    older_than: timedelta,
    limit: int = 10_000,
) -> Any:  # as above
    """Forget messages that were received long ago; the caller commits.

    One that comes once more after that is handled as if it were the first time. So `older_than` must be longer
    than messages stay in their topics, and than anybody may publish one again.

    Args:
        transaction: A transaction of the participant's database.
        older_than: Age of the youngest that is forgotten; more than nothing.
        limit: How many at most, the oldest first.

    Returns:
        How many were forgotten; call again while that is `limit`. For an asynchronous transaction: to be awaited.

    Raises:
        ValueError: if `older_than` or `limit` is not above zero.
    """
    if older_than.total_seconds() <= 0 or limit < 1:
        msg = f"purge needs an age and a limit above zero, not older_than={older_than} and limit={limit}"
        raise ValueError(msg)
    return _run(transaction, partial(_purge, before=datetime.now(UTC) - older_than, limit=limit))


def _run(transaction: Any, work: Callable[[Connection], Any]) -> Any:  # a transaction of any kind, the work's result
    def within(inner: Connection | Session) -> Any:
        with tables_expected(InboxError):
            return work(open_connection(inner, "the inbox", InboxError))

    return transaction.run_sync(within) if is_asynchronous(transaction) else within(transaction)


def _list_held(connection: Connection, consumer: str | None) -> list[HeldKey]:
    stored = (held_message.c.consumer == held_key.c.consumer) & (held_message.c.key == held_key.c.key)
    count = select(func.count()).where(stored).correlate(held_key).scalar_subquery()
    place = (held_message.c.topic, held_message.c.partition, held_message.c.offset)
    statement = select(held_key, count.label("messages")).order_by(held_key.c.since, held_key.c.key)
    if consumer is not None:
        statement = statement.where(held_key.c.consumer == consumer)
    found: list[HeldKey] = []
    for row in connection.execute(statement).mappings().all():
        mine = (held_message.c.consumer == row["consumer"]) & (held_message.c.key == row["key"])
        first = connection.execute(select(*place).where(mine).order_by(held_message.c.seq).limit(1)).one_or_none()
        found.append(_held(row, first))
    return found


def _held(row: Any, first: Any) -> HeldKey:  # rows of the two tables
    since: datetime = row["since"]
    return HeldKey(
        consumer=row["consumer"],
        key=row["key"],
        reason=row["reason"],
        since=since if since.tzinfo else since.replace(tzinfo=UTC),
        messages=row["messages"],
        draining=row["state"] == DRAINING,
        first="/".join(str(part) for part in first or ()),
    )


def _go_on(connection: Connection, consumer: str, key: str) -> None:
    at = (held_key.c.consumer == consumer, held_key.c.key == key)
    if not connection.execute(update(held_key).where(*at).values(state=DRAINING)).rowcount:
        raise ActRefusedError(_refusal("no key", consumer, key))


def _drop(connection: Connection, consumer: str, key: str) -> None:
    at = (held_key.c.consumer == consumer, held_key.c.key == key, held_key.c.state == HELD)
    if not connection.execute(update(held_key).where(*at).values(state=DRAINING)).rowcount:
        raise ActRefusedError(_refusal("no key at rest", consumer, key))
    mine = (held_message.c.consumer == consumer, held_message.c.key == key)
    first = select(func.min(held_message.c.seq)).where(*mine).scalar_subquery()
    connection.execute(delete(held_message).where(held_message.c.seq == first))


def _refusal(what: str, consumer: str, key: str) -> str:
    return f"{what} {json.dumps(key)} is held for the consumer {json.dumps(consumer)}; inbox.list_held shows them"


def _purge(connection: Connection, before: datetime, limit: int) -> int:
    place = tuple_(table.c.consumer, table.c.message_id)
    old = select(table.c.consumer, table.c.message_id).where(table.c.received_at < before)
    return connection.execute(delete(table).where(place.in_(old.order_by(table.c.received_at).limit(limit)))).rowcount
