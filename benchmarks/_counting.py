"""Counts what reaches SQLite, from below every engine and without asking any of them.

`sqlite3.connect` is replaced for the process, so whoever opens a database, through
SQLAlchemy or not, gets a connection that counts.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from threading import Lock
from typing import Any, Final

_CONTROL: Final = ("BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE", "PRAGMA")


@dataclass(slots=True)
class Counts:
    """What the process asked of SQLite so far.

    Attributes:
        flushes: commits that changed a row, so that reached the disk.
        statements: `execute` calls, with `executemany` as one and transaction control
            and pragmas as none.
    """

    flushes: int = 0
    statements: int = 0
    lock: Lock = field(default_factory=Lock, repr=False)

    def add(self, *, flushes: int = 0, statements: int = 0) -> None:
        """Count, from whatever thread."""
        with self.lock:
            self.flushes += flushes
            self.statements += statements


class CountingCursor(sqlite3.Cursor):
    """A cursor that tells its connection what it executed."""

    def execute(self, sql: str, parameters: Any = (), /) -> CountingCursor:
        """Count one statement."""
        super().execute(sql, parameters)
        self._note(sql)
        return self

    def executemany(self, sql: str, parameters: Any, /) -> CountingCursor:
        """Count one statement, however many rows it takes."""
        super().executemany(sql, parameters)
        self._note(sql)
        return self

    def _note(self, sql: str) -> None:
        connection = self.connection
        if isinstance(connection, CountingConnection):
            connection.note_statement(sql)


class CountingConnection(sqlite3.Connection):
    """A connection that counts statements, and commits that changed a row."""

    counts: Counts
    changes_flushed = 0

    def cursor(self, factory: Any = CountingCursor, /) -> Any:  # whatever the caller's factory makes
        """Return a counting cursor, unless another kind is asked for."""
        return super().cursor(factory)

    # sqlite3's own shortcuts make their cursor without asking the method above.
    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        """Count one statement."""
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> Any:
        """Count one statement, however many rows it takes."""
        return self.cursor().executemany(sql, parameters)

    def commit(self) -> None:
        """Commit, and count it if it had something to write."""
        super().commit()
        self.note_flush()

    def __exit__(self, *raised: Any) -> Any:  # noqa: PYI036 - passed on as they are
        """Commit or roll back as SQLite's own connection does, and count."""
        result = super().__exit__(*raised)
        self.note_flush()
        return result

    def rollback(self) -> None:
        """Roll back; what was changed meanwhile never reaches the disk."""
        super().rollback()
        self.changes_flushed = self.total_changes

    def note_statement(self, sql: str) -> None:
        """Count a statement and, if it ended a transaction, its flush."""
        word = sql.lstrip().split(None, 1)[0].upper() if sql.strip() else ""
        if word == "ROLLBACK" and not self.in_transaction:
            self.changes_flushed = self.total_changes
        control = word in _CONTROL
        self.counts.add(statements=0 if control else 1)
        self.note_flush(alone=not control)

    def note_flush(self, *, alone: bool = False) -> None:
        """Count a flush if rows changed and no transaction is open any more."""
        if self.in_transaction or self.total_changes == self.changes_flushed:
            return
        # Outside a transaction `executemany` commits every row by itself.
        commits = self.total_changes - self.changes_flushed if self.isolation_level is None and alone else 1
        self.changes_flushed = self.total_changes
        self.counts.add(flushes=commits)


@contextmanager
def counting() -> Generator[Counts]:
    """Count everything on connections that are opened inside the block."""
    counts = Counts()

    def connect(*args: Any, **options: Any) -> sqlite3.Connection:
        connection: CountingConnection = original(*args, **{"factory": CountingConnection, **options})
        connection.counts = counts
        connection.changes_flushed = connection.total_changes
        return connection

    with _connecting_by(connect) as original:
        yield counts


@contextmanager
def recording() -> Generator[list[sqlite3.Connection]]:
    """Yield a list that takes up every connection which is opened inside the block."""
    connections: list[sqlite3.Connection] = []

    def connect(*args: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = original(*args, **options)
        connections.append(connection)
        return connection

    with _connecting_by(connect) as original:
        yield connections


@contextmanager
def _connecting_by(connect: Callable[..., sqlite3.Connection]) -> Generator[Callable[..., Any]]:
    """Put `connect` where drivers look for it, and yield what stood there."""
    original = sqlite3.connect
    # A driver may come in by either door.
    doors: tuple[Any, ...] = (sqlite3, import_module("sqlite3.dbapi2"))
    for door in doors:
        door.connect = connect
    try:
        yield original
    finally:
        for door in doors:
            door.connect = original
