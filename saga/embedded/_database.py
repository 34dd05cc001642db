"""The journal's database: connections that flush before they say so, and the one door for every write."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from enum import StrEnum
from threading import Lock
from typing import Any, TypeAlias

from sqlalchemy import BigInteger, ColumnElement, Connection, Engine, create_engine, event, literal_column
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from saga.errors import JournalError, JournalWriteError

from ._address import Address
from ._faults import explained

__all__ = ("Database", "Point", "Seam", "Write", "undisturbed")

_NOW = {
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)",
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)",
}
_SETTINGS = """
SELECT set_config('lock_timeout', %s, false), set_config('statement_timeout', %s, false),
       set_config('idle_in_transaction_session_timeout', %s, false)"""
_RETRY_SECONDS = 0.01


class Write(StrEnum):
    """What is written to a journal."""

    FLUSH = "flush"
    TABLES = "tables"
    HEARTBEAT = "heartbeat"
    CLAIM = "claim"
    REQUEST = "request"
    PURGE = "purge"


class Point(StrEnum):
    """Where a write can be cut short: the process dies, the disk fails, the connection breaks."""

    BEFORE_BEGIN = "before begin"
    BEFORE_INSERT = "before insert"
    BEFORE_COMMIT = "before commit"
    AFTER_COMMIT = "after commit"


Seam: TypeAlias = Callable[[Write, Point], None]
"""Every write calls it at each point; whatever it raises, the write fails with."""


def undisturbed(write: Write, point: Point) -> None:
    """Let every write pass: the seam of a journal in use."""


class Database:
    """Connections to one journal.

    Attributes:
        address: Where it lies.
        patience: How long a statement waits for another process that holds what it needs.
        engine: SQLAlchemy's engine, for statements that write.
        now: The time by the database's own clock, in microseconds, for use in a statement.
        flushes: Transactions that were committed through it.
    """

    def __init__(self, address: Address, *, patience: timedelta, seam: Seam = undisturbed) -> None:
        self.address = address
        self.patience = patience
        self.seam = seam
        self.flushes = 0
        self._closed = False
        self._lock = Lock()
        self.is_sqlite = address.file is not None
        self.engine = _sqlite(address, patience) if self.is_sqlite else _postgres(address, patience)
        # A read on PostgreSQL needs neither BEGIN nor ROLLBACK around it; on SQLite there is none anyway.
        level = {} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"}
        self._reading = self.engine.execution_options(**level)
        self.now: ColumnElement[int] = literal_column(_NOW[self.engine.dialect.name], BigInteger)

    @property
    def driver(self) -> Any:  # a PEP 249 module, which has no type of its own
        """The database driver's module."""
        return self.engine.dialect.dbapi

    @contextmanager
    def read(self) -> Generator[Connection]:
        """Open a connection that reads.

        Raises:
            JournalError: if the database does not answer as it should.
        """
        with self._explaining(JournalError), self._reading.connect() as connection:
            yield connection

    @contextmanager
    def transaction(self, write: Write) -> Generator[Connection]:
        """Open a transaction that is committed if the block ends well.

        Raises:
            JournalError: if it failed, or nobody knows whether it did.
        """
        with self._explaining(JournalWriteError), self.engine.connect() as connection:
            self.seam(write, Point.BEFORE_BEGIN)
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            self.seam(write, Point.BEFORE_INSERT)
            yield connection
            self.seam(write, Point.BEFORE_COMMIT)
            connection.commit()
            self.count_flush()
            self.seam(write, Point.AFTER_COMMIT)

    def connect(self) -> PoolProxiedConnection:
        """Return a driver's connection of one's own.

        Raises:
            JournalError: if the database does not answer as it should.
        """
        with self._explaining(JournalError):
            return self.engine.raw_connection()

    def count_flush(self) -> None:
        """Count a committed transaction, from whatever thread."""
        with self._lock:
            self.flushes += 1

    def discard(self) -> None:
        """Close every connection that is not in use; the next one is a new one."""
        self.engine.dispose()

    def close(self) -> None:
        """Close every connection, as soon as nobody uses it: what comes later closes its own.

        Blocks while others read, but no longer than a statement waits. SQLite moves its log into the file, and
        removes it, when the last connection of all processes is closed.
        """
        if not self._closed:
            self._closed = True
            event.listen(self.engine, "checkin", _close_returned)
        pool: Any = self.engine.pool  # the base of all pools does not say how many of its connections are in use
        latest = time.monotonic() + self.patience.total_seconds()
        while pool.checkedout() and time.monotonic() < latest:
            time.sleep(_RETRY_SECONDS)
        self.discard()

    @contextmanager
    def _explaining(self, otherwise: type[JournalError]) -> Generator[None]:
        try:
            yield
        except (DBAPIError, PoolTimeoutError, OSError, self.driver.Error) as error:
            address = self.address
            raise explained(error, str(address), otherwise, why_read_only=address.why_read_only) from error


def _close_returned(_: object, record: ConnectionPoolEntry) -> None:
    record.invalidate()


def _sqlite(address: Address, patience: timedelta) -> Engine:
    seconds = patience.total_seconds()
    engine = create_engine(address.url, connect_args={"timeout": seconds}, hide_parameters=True, pool_timeout=seconds)

    def prepare(connection: Any, _: object) -> None:  # a driver's connection has no common type
        connection.isolation_level = None  # BEGIN is ours
        _use_wal(connection, time.monotonic() + seconds)
        connection.execute("PRAGMA synchronous=FULL")

    event.listen(engine, "connect", prepare)
    return engine


def _use_wal(connection: Any, latest: float) -> None:
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        except connection.OperationalError as error:
            # While two processes open a new file, SQLite refuses this at once instead of waiting.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > latest:
                raise
            time.sleep(_RETRY_SECONDS)
        else:
            if mode != "wal":
                raise JournalError(f"SQLite keeps no write-ahead log there, only {mode!r}; use a local disk")


def _postgres(address: Address, patience: timedelta) -> Engine:
    milliseconds = int(patience / timedelta(milliseconds=1))
    # A server that vanished is noticed, and a process that stopped in a transaction lets go of its rows.
    wanted: dict[str, int | str] = {
        "connect_timeout": max(2, milliseconds // 1000),
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 3 * milliseconds,
        "application_name": "saga",
    }
    engine = create_engine(
        address.url,
        connect_args={name: value for name, value in wanted.items() if name not in address.url.query},
        hide_parameters=True,
        isolation_level="READ COMMITTED",  # stricter, a take-over would fail the flush of all that share it
        paramstyle="format",
        pool_pre_ping=True,
        pool_timeout=patience.total_seconds(),
        use_native_hstore=False,
    )

    def prepare(connection: Any, _: object) -> None:  # a driver's connection has no common type
        connection.autocommit = True  # a setting inside a transaction would end with it
        connection.execute(_SETTINGS, [str(milliseconds), str(6 * milliseconds), str(milliseconds)])
        connection.autocommit = False

    event.listen(engine, "connect", prepare)
    return engine
