"""Reads back how durable a cell really is, instead of trusting what it was asked for."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import create_engine, make_url

_LEVELS: Final = {
    "0": 0,
    "1": 1,
    "2": 2,
    "3": 3,
    "off": 0,
    "local": 2,
    "on": 2,
    "remote_write": 2,
    "remote_apply": 2,
}


@dataclass(frozen=True, slots=True)
class Durability:
    """What the database says about its commits.

    Attributes:
        journal: SQLite's journal mode, `wal` on PostgreSQL, or what a Temporal server keeps its histories in.
        synchronous: SQLite's `synchronous` or PostgreSQL's `synchronous_commit`; the
            weakest of all connections. `fsync=off` if PostgreSQL never flushes, `the server's`
            where Temporal decides it, for everybody alike.
    """

    journal: str
    synchronous: str

    @property
    def level(self) -> int:
        """0 to 3; 2 is a flush per commit."""
        return _LEVELS.get(self.synchronous, 0)

    @property
    def words(self) -> str:
        """How a report shows it."""
        names = {"0": "OFF", "1": "NORMAL", "2": "FULL", "3": "EXTRA"}
        return f"{self.journal}, synchronous={names.get(self.synchronous, self.synchronous)}"


def of_sqlite(connections: Iterable[sqlite3.Connection]) -> Durability:
    """Ask every connection that is still open; the weakest answer holds.

    Raises:
        RuntimeError: if no connection can be asked from this thread.
    """
    answers: list[tuple[str, str]] = []
    for connection in connections:
        try:
            journal = connection.execute("PRAGMA journal_mode").fetchone()[0]
            answers.append((str(connection.execute("PRAGMA synchronous").fetchone()[0]), str(journal)))
        except sqlite3.ProgrammingError:  # closed, or bound to its thread
            continue
    if not answers:
        raise RuntimeError("no open SQLite connection tells its pragmas")
    synchronous, journal = min(answers)
    return Durability(journal, synchronous)


def of_postgres(url: str) -> Durability:
    """Ask the server; no engine measured here changes it for its own connections."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        fsync = str(connection.exec_driver_sql("SHOW fsync").scalar_one())
        commit = str(connection.exec_driver_sql("SHOW synchronous_commit").scalar_one())
    engine.dispose()
    return Durability("wal", commit if fsync == "on" else "fsync=off")
