"""The caller's transaction as the barrier sees it: a savepoint in it, and whether it may be committed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from weakref import ReferenceType, ref

from sqlalchemy.orm import Session

from saga.errors import KeyReusedError
from saga.participant._connection import is_asynchronous, open_connection
from saga.participant._errors import BarrierError

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, NestedTransaction, Transaction
    from sqlalchemy.orm import SessionTransaction

    from saga.participant._keys import Place, Use

__all__ = ("Scope", "connection_of", "is_asynchronous")

_USES: Final = "saga_barrier_uses"


def connection_of(transaction: object) -> Connection:
    """Return the connection behind a transaction, as the barrier needs it."""
    return open_connection(transaction, "the barrier", BarrierError)


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
        alone: Whether committing ends nothing but this use: no other use before it, no savepoint around it.
    """

    __slots__ = ("_before", "_root", "_savepoint", "_transaction", "_uses", "alone", "connection")

    def __init__(self, transaction: Connection | Session, use: Use) -> None:
        self.connection = connection_of(transaction)
        self._transaction = transaction
        self._root = transaction.get_transaction()
        self._savepoint: NestedTransaction | SessionTransaction | None = None
        self._uses = self._uses_so_far()
        self._before = frozenset(self._uses.places)
        self.alone = not self._before and transaction.get_nested_transaction() is None
        self._claim(use)

    def _uses_so_far(self) -> _Uses:
        current = self.connection.get_transaction()
        uses = self.connection.info.get(_USES)
        if not isinstance(uses, _Uses) or not uses.belong_to(current):
            uses = self.connection.info[_USES] = _Uses(current)
        return uses

    def _claim(self, use: Use) -> None:
        # Whoever gives a key may mean it: duplicates of a message in one transaction.
        if use.place in self._before and not use.given:
            raise KeyReusedError(
                f"{use} is used twice in one transaction, so the second body would never run. "
                "Give each use of one call its own part=..."
            )
        self._uses.places.add(use.place)

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
            self._savepoint = None  # not before: a flush that fails is still to be taken back

    def go_back(self) -> None:
        """Take back what was done since the savepoint."""
        if self._savepoint is not None:
            self._savepoint.rollback()
            self._savepoint = None

    def release(self) -> None:
        """Forget the use, and those within it: all may be tried again in this transaction."""
        self._uses.places.clear()
        self._uses.places.update(self._before)

    def commit(self) -> bool:
        """Commit the caller's transaction; False if it is part of a larger one that goes on."""
        self._transaction.commit()
        return self.connection.closed or not self.connection.in_transaction()
