"""The semantic lock: keeps other sagas from what a saga has begun to change, until that saga ends.

    def reserve(self, request: Reserve) -> Reservation:
        with Session(self.engine) as session, session.begin():
            semantic_lock.acquire(session, f"account/{request.account}")
            return barrier.once(session, self._reserve, request)

    def release(self, effect: Effect[Reserve, Reservation]) -> None:     # its compensation
        with Session(self.engine) as session, session.begin():
            barrier.once(session, self._release, effect)
            semantic_lock.release(session, f"account/{effect.input.account}")

A database's own lock ends with its transaction; this one is a row, and lasts over all steps of a saga. Whoever finds
a key locked keeps a place in the queue and tries again, as the retries of a step do.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, overload

from sqlalchemy import delete, func, insert, select, update

from saga.errors import InvalidIdError, KeyLockedError, KeyReleasedError, OutboxError, OutsideSagaError
from saga.kernel import maybe_current_step
from saga.participant._connection import is_asynchronous, open_connection
from saga.participant._outbox_rows import lock_key
from saga.participant._tables import lock as table
from saga.participant._tables import tables_expected

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from datetime import timedelta

    from sqlalchemy.engine import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
    from sqlalchemy.orm import Session

__all__ = ("Place", "acquire", "list_places", "purge", "release")

HELD: Final = "held"
WAITING: Final = "waiting"
RELEASED: Final = "released"  # kept, so that an attempt that comes late does not take the lock for ever
LENGTH: Final = 1000


@dataclass(frozen=True, slots=True)
class Place:
    """A saga's place at a key.

    Attributes:
        key: What is locked.
        owner: Id of the saga.
        holds: Whether it holds the lock; else it waits.
        since: Since when, in UTC.
    """

    key: str
    owner: str
    holds: bool
    since: datetime


@overload
def acquire(transaction: Connection | Session, key: str, *, owner: str | None = None) -> None: ...
@overload
def acquire(
    transaction: AsyncConnection | AsyncSession, key: str, *, owner: str | None = None
) -> Coroutine[Any, Any, None]: ...
def acquire(
    transaction: Any,  # as the overloads say
    key: str,
    *,
    owner: str | None = None,
) -> Any:  # as above
    """Lock a key for the running saga, first come, first served.

    Locked by another saga: the place in the queue is written, **the transaction committed**, and
    `KeyLockedError` raised. So call it first, before anything that must not be committed alone. The saga keeps
    its place until `release`, whether it comes back or not: let the compensation of the step release it.
    Calling it again is harmless.

    Args:
        transaction: The transaction of the step.
        key: What to lock, such as `account/NL-1`, at most 1,000 characters.
        owner: Id of the saga, where no step is running.

    Raises:
        KeyLockedError: if another saga holds it, or waits before this one; the step's retries try again.
        KeyReleasedError: if this saga has released it: this is a late attempt.
        OutsideSagaError: if no step is running and no owner was given.
        InvalidIdError: if the key is empty, too long, or holds a control character.
    """
    return _run(transaction, partial(_acquire, key=_checked(key), owner=_owner(owner)))


@overload
def release(transaction: Connection | Session, *keys: str, owner: str | None = None) -> None: ...
@overload
def release(
    transaction: AsyncConnection | AsyncSession, *keys: str, owner: str | None = None
) -> Coroutine[Any, Any, None]: ...
def release(
    transaction: Any,  # as the overloads say
    *keys: str,
    owner: str | None = None,
) -> Any:  # as above
    """Give keys, or places in their queues, back for good; the caller commits.

    From then on this saga cannot lock them any more, so that an attempt that comes late changes nothing.

    Args:
        transaction: The transaction of the step that ends what was locked: a compensation, or a retriable step.
        keys: What to give back; by default all that the saga has.
        owner: Id of the saga, where no step is running.

    Raises:
        OutsideSagaError: if no step is running and no owner was given.
        InvalidIdError: if a key is empty, too long, or holds a control character.
    """
    return _run(transaction, partial(_release, keys=[_checked(key) for key in keys], owner=_owner(owner)))


@overload
def list_places(transaction: Connection | Session, key: str | None = None) -> list[Place]: ...
@overload
def list_places(
    transaction: AsyncConnection | AsyncSession, key: str | None = None
) -> Coroutine[Any, Any, list[Place]]: ...
def list_places(
    transaction: Any,  # as the overloads say
    key: str | None = None,
) -> Any:  # as above
    """List who holds keys and who waits for them, in the order in which they came.

    Args:
        transaction: A transaction of the participant's database.
        key: One key; by default all that are locked.

    Returns:
        The places. For an asynchronous transaction: to be awaited.
    """
    return _run(transaction, partial(_list_places, key=key))


@overload
def purge(transaction: Connection | Session, *, older_than: timedelta) -> int: ...
@overload
def purge(transaction: AsyncConnection | AsyncSession, *, older_than: timedelta) -> Coroutine[Any, Any, int]: ...
def purge(
    transaction: Any,  # as the overloads say
    *,
    older_than: timedelta,
) -> Any:  # as above
    """Forget what was released long ago; the caller commits.

    Args:
        transaction: A transaction of the participant's database.
        older_than: How long ago at least; longer than any attempt may be on its way.

    Returns:
        How many were forgotten. For an asynchronous transaction: to be awaited.

    Raises:
        ValueError: if `older_than` is not above zero.
    """
    if older_than.total_seconds() <= 0:
        msg = f"purge needs an age above zero, not {older_than}"
        raise ValueError(msg)
    return _run(transaction, partial(_purge, before=datetime.now(UTC) - older_than))


def _run(transaction: Any, work: Callable[[Any, Connection], Any]) -> Any:  # a transaction, the work's result
    def within(inner: Connection | Session) -> Any:
        with tables_expected(OutboxError):
            return work(inner, open_connection(inner, "the semantic lock", OutboxError))

    return transaction.run_sync(within) if is_asynchronous(transaction) else within(transaction)


def _owner(given: str | None) -> str:
    step = maybe_current_step()
    owner = given if given is not None else step and step.id
    if not owner:
        raise OutsideSagaError("the lock has no owner: no saga step is running here. Give owner=..., a saga's id.")
    return owner


def _checked(key: str) -> str:
    if not key.strip() or not key.isprintable() or len(key) > LENGTH:
        raise InvalidIdError(f"a lock's key has 1 to {LENGTH} printable characters, not {key[:60]!r}")
    return key


def _acquire(transaction: Connection | Session, connection: Connection, key: str, owner: str) -> None:
    _take_turn(connection, key)
    mine = (table.c.key == key, table.c.owner == owner)
    state = connection.scalar(select(table.c.state).where(*mine))
    if state == HELD:
        return
    if state == RELEASED:
        raise KeyReleasedError(f"saga {owner} has released {key!r}: this attempt comes late and must change nothing")
    if state is None:
        row = {"key": key, "owner": owner, "state": WAITING, "since": datetime.now(UTC)}
        connection.execute(insert(table).values(row))
    before = _queue(connection, key)
    position = [place.owner for place in before].index(owner)
    if position == 0:
        connection.execute(update(table).where(*mine).values(state=HELD, since=datetime.now(UTC)))
        return
    transaction.commit()
    holder = before[0].owner
    raise KeyLockedError(
        f"{key!r} is locked by saga {holder}; saga {owner} is number {position} of those that wait. Try again.",
        key=key,
        owner=holder,
        position=position,
    )


def _release(transaction: Connection | Session, connection: Connection, keys: list[str], owner: str) -> None:
    _ = transaction
    if not keys:
        mine = (table.c.owner == owner, table.c.state != RELEASED)
        keys = list(connection.scalars(select(table.c.key).where(*mine)))
    for key in sorted(keys):
        _take_turn(connection, key)
        row = {"state": RELEASED, "since": datetime.now(UTC)}
        if not connection.execute(update(table).where(table.c.key == key, table.c.owner == owner).values(row)).rowcount:
            connection.execute(insert(table).values(row | {"key": key, "owner": owner}))


def _take_turn(connection: Connection, key: str) -> None:
    """Wait for whoever is at this key now: else one who came later could be seen to be first."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(lock_key("saga_lock", key))))
    else:  # SQLite: the first write waits for every other
        connection.execute(update(table).where(table.c.key == key, table.c.state == WAITING).values(state=WAITING))


def _queue(connection: Connection, key: str) -> list[Place]:
    found = (
        select(table.c.key, table.c.owner, table.c.state, table.c.since)
        .where(table.c.key == key, table.c.state != RELEASED)
        .order_by(table.c.ticket)
    )
    return [_place(*row) for row in connection.execute(found)]


def _list_places(transaction: Connection | Session, connection: Connection, key: str | None) -> list[Place]:
    _ = transaction
    if key is not None:
        return _queue(connection, key)
    keys = select(table.c.key).where(table.c.state != RELEASED).group_by(table.c.key).order_by(table.c.key)
    return [place for each in list(connection.scalars(keys)) for place in _queue(connection, each)]


def _place(key: str, owner: str, state: str, since: datetime) -> Place:
    return Place(key, owner, state == HELD, since if since.tzinfo else since.replace(tzinfo=UTC))


def _purge(transaction: Connection | Session, connection: Connection, before: datetime) -> int:
    _ = transaction
    return connection.execute(delete(table).where(table.c.state == RELEASED, table.c.since < before)).rowcount
