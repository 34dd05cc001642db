"""The caller's transaction as the barrier sees it: a savepoint in it, and whether it may be committed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, TypeGuard
from weakref import ReferenceType, ref

from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from saga.errors import KeyReusedError
from saga.participant._errors import BarrierError

if TYPE_CHECKING:
    from sqlalchemy.engine import NestedTransaction, Transaction
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
    from sqlalchemy.orm import SessionTransaction

    from saga.participant._keys import Place

__all__ = ("Scope", "connection_of", "is_asynchronous")

_USES: Final = "saga_barrier_uses"


def is_asynchronous(transaction: object) -> TypeGuard[AsyncConnection | AsyncSession]:
    """Tell whether a transaction is awaited."""
    # Importing that needs greenlet. Whoever has such a transaction has imported it.
    module: Any = sys.modules.get("sqlalchemy.ext.asyncio")
    return module is not None and isinstance(transaction, (module.AsyncConnection, module.AsyncSession))


def connection_of(transaction: object) -> Connection:
    """Return the connection behind a transaction, which has begun then.

    Raises:
        TypeError: if it is none of the things that the barrier takes.
        BarrierError: if the connection commits every statement by itself.
    """
    if not isinstance(transaction, Connection | Session):
        msg = (
            f"the barrier works inside a transaction of yours and got a {type(transaction).__name__}: "
            "give it a SQLAlchemy Connection, Session, AsyncConnection or AsyncSession"
        )
        raise TypeError(msg)
    connection = transaction.connection() if isinstance(transaction, Session) else transaction
    if not connection.in_transaction():
        connection.begin()
    if _commits_by_itself(connection):
        raise BarrierError(
            "this connection is in AUTOCOMMIT: what the barrier records and what the body changes could not "
            "be committed together. Use an engine or connection without that isolation level."
        )
    return connection


def _commits_by_itself(connection: Connection) -> bool:
    if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        return True
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "sqlite" and getattr(driver, "isolation_level", "") is None:
        # Either autocommit, or SQLAlchemy's recipe for SQLite, where an event has sent BEGIN by now.
        return not driver.in_transaction
    return getattr(driver, "autocommit", False) is True  # SQLite has -1 for its default


class _Uses:
    """The rows that one transaction has used, to notice a second use of one of them."""

    __slots__ = ("places", "transaction")

    def __init__(self, transaction: Transaction | None) -> None:
        self.transaction: ReferenceType[Transaction] | None = ref(transaction) if transaction else None
        self.places: set[Place] = set()

    def belong_to(self, transaction: Transaction | None) -> bool:
        return self.transaction is not None and self.transaction() is transaction


class Scope:
    """One use of the barrier within the caller's transaction.

    Attributes:
        connection: The connection, for the barrier's own statements.
    """

    __slots__ = ("_outer", "_place", "_root", "_savepoint", "_transaction", "_uses", "connection")

    def __init__(self, transaction: Connection | Session, place: Place) -> None:
        self.connection = connection_of(transaction)
        self._transaction = transaction
        self._place = place
        self._root = transaction.get_transaction()
        self._outer = transaction.get_nested_transaction()
        self._savepoint: NestedTransaction | SessionTransaction | None = None
        self._uses = self._claim()

    def _claim(self) -> _Uses:
        current = self.connection.get_transaction()
        uses = self.connection.info.get(_USES)
        if not isinstance(uses, _Uses) or not uses.belong_to(current):
            uses = self.connection.info[_USES] = _Uses(current)
        if self._place in uses.places:
            raise KeyReusedError(
                f"{self._place} is used twice in one transaction, so the second body would never run. "
                "Give each use of one call its own part=..."
            )
        uses.places.add(self._place)
        return uses

    @property
    def alone(self) -> bool:
        """Whether committing ends nothing but this use: no other use before it, no savepoint around it."""
        return self._outer is None and self._uses.places == {self._place}

    @property
    def intact(self) -> bool:
        """Whether the caller's transaction is still the one that the use began in."""
        return self._transaction.get_transaction() is self._root

    def open_savepoint(self) -> None:
        """Set the point that a rejection goes back to."""
        self._savepoint = self._transaction.begin_nested()
        if isinstance(self._transaction, Session):
            self._transaction.connection()  # a session sends SAVEPOINT with its next statement only

    def keep(self) -> None:
        """Keep what was done since the savepoint."""
        if self._savepoint is not None:
            self._savepoint.commit()
            self._savepoint = None

    def go_back(self) -> None:
        """Take back what was done since the savepoint."""
        if self._savepoint is not None:
            self._savepoint.rollback()
            self._savepoint = None

    def release(self) -> None:
        """Let the same row be used again in this transaction."""
        self._uses.places.discard(self._place)

    def commit(self) -> bool:
        """Commit the caller's transaction; False if it is part of a larger one that goes on."""
        self._transaction.commit()
        return self.connection.closed or not self.connection.in_transaction()
