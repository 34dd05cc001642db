"""Counting what reaches SQLite, with real connections."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Literal, TypeAlias

import pytest
from sqlalchemy import create_engine

from benchmarks._counting import Counts, counting, recording
from benchmarks._durability import of_sqlite
from benchmarks._flush_calls import flush_calls
from benchmarks._journal_bytes import content_bytes

Isolation: TypeAlias = Literal["DEFERRED"] | None
INSERT = "INSERT INTO facts VALUES (?)"


def counted(path: Path, act: Callable[[sqlite3.Connection], object], isolation_level: Isolation = "DEFERRED") -> Counts:
    """Return what `act` costs on a connection to a file with one table."""
    with (
        counting() as counts,
        closing(sqlite3.connect(path / "t.db", isolation_level=isolation_level)) as connection,
    ):
        connection.execute("CREATE TABLE IF NOT EXISTS facts (body TEXT)")
        connection.commit()
        before = (counts.flushes, counts.statements)
        act(connection)
        return Counts(counts.flushes - before[0], counts.statements - before[1])


def tally(counts: Counts) -> tuple[int, int]:
    """Return flushes and statements."""
    return counts.flushes, counts.statements


def committed(connection: sqlite3.Connection) -> None:
    """Write two batches and commit once, through cursors and through the connection."""
    connection.cursor().executemany(INSERT, [("a",), ("b",)])
    connection.executemany(INSERT, [("c",), ("d",)])
    connection.commit()


def test_a_commit_is_one_flush_and_executemany_one_statement(tmp_path: Path) -> None:
    """However many rows a batch has, and whichever way it is executed."""
    assert tally(counted(tmp_path, committed)) == (1, 2)


def explicit(connection: sqlite3.Connection) -> None:
    """Control the transaction by statements."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(INSERT, ("a",))
    connection.execute("COMMIT")


def test_transaction_control_is_no_statement_but_flushes(tmp_path: Path) -> None:
    """An engine that writes BEGIN and COMMIT itself is counted like one that does not."""
    assert tally(counted(tmp_path, explicit, isolation_level=None)) == (1, 1)


def test_every_write_outside_a_transaction_flushes(tmp_path: Path) -> None:
    """Three rows of an executemany in autocommit are three commits."""
    assert tally(counted(tmp_path, lambda c: c.executemany(INSERT, [("a",)] * 3), isolation_level=None)) == (
        3,
        1,
    )


def read_only(connection: sqlite3.Connection) -> None:
    """Commit what changed nothing."""
    connection.execute("SELECT * FROM facts").fetchall()
    connection.execute("UPDATE facts SET body = 'x' WHERE 0")
    connection.commit()


def test_a_commit_that_changed_nothing_is_no_flush(tmp_path: Path) -> None:
    """It never reaches the disk."""
    assert tally(counted(tmp_path, read_only)) == (0, 2)


def rolled_back(connection: sqlite3.Connection) -> None:
    """Write, roll back, then commit an empty transaction."""
    connection.execute(INSERT, ("a",))
    connection.rollback()
    connection.execute("SELECT 1")
    connection.commit()


def test_what_is_rolled_back_is_no_flush(tmp_path: Path) -> None:
    """Its rows were changed and never written."""
    assert tally(counted(tmp_path, rolled_back)) == (0, 2)


def within(connection: sqlite3.Connection) -> None:
    """Commit by leaving the connection's own block."""
    with connection:
        connection.execute(INSERT, ("a",))


def test_leaving_the_connections_block_is_a_flush(tmp_path: Path) -> None:
    """It commits without calling `commit`."""
    assert tally(counted(tmp_path, within)) == (1, 1)


def test_sqlalchemy_is_counted_without_knowing_it(tmp_path: Path) -> None:
    """An engine made inside the block gets counting connections."""
    with counting() as counts:
        engine = create_engine(f"sqlite:///{tmp_path / 's.db'}")
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE facts (body TEXT)")
        flushes, statements = counts.flushes, counts.statements
        with engine.begin() as connection:
            connection.exec_driver_sql(INSERT, [("a",), ("b",)])
        engine.dispose()
    assert (counts.flushes - flushes, counts.statements - statements) == (1, 1)


def test_connections_outside_the_block_are_left_alone() -> None:
    """The measuring process gets its own sqlite3 back."""
    original = sqlite3.connect
    with counting():
        assert sqlite3.connect is not original
    assert sqlite3.connect is original


@pytest.mark.parametrize(("pragma", "level"), [("NORMAL", 1), ("FULL", 2), ("EXTRA", 3)])
def test_durability_is_read_back_from_the_weakest_connection(tmp_path: Path, pragma: str, level: int) -> None:
    """One careless connection in a pool is enough to lose a saga."""
    with recording() as connections:
        strong, weak = (sqlite3.connect(tmp_path / "d.db") for _ in range(2))
    with closing(strong), closing(weak):
        strong.execute("PRAGMA synchronous=EXTRA")
        weak.execute(f"PRAGMA synchronous={pragma}")
        assert of_sqlite(connections).level == level


def test_durability_that_nobody_tells_is_an_error() -> None:
    """An assumption would be no measurement."""
    with pytest.raises(RuntimeError, match="pragmas"):
        of_sqlite([])


def test_journal_bytes_are_the_bytes_of_the_contents(tmp_path: Path) -> None:
    """Text counts in UTF-8, integers as SQLite stores them, null and the migrations not at all."""
    path = tmp_path / "b.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute('CREATE TABLE "odd ""name" (a, b)')
        connection.execute("CREATE TABLE alembic_version (a)")
        rows = [("né", 1), ("", 200), (b"123", None), (1.5, -(2**40))]
        connection.executemany('INSERT INTO "odd ""name" VALUES (?, ?)', rows)
        connection.execute("INSERT INTO alembic_version VALUES ('left out')")
        connection.commit()
    assert content_bytes(str(path)) == (3 + 0) + (0 + 2) + (3 + 0) + (8 + 6)


def test_kernel_flushes_are_counted_once_and_only_inside_the_window() -> None:
    """A call that was interrupted shows up twice in a trace and is one call."""
    lines = [
        "70 9.900000 fdatasync(5) = 0",
        "70 10.100000 fdatasync(5 <unfinished ...>",
        "71 10.150000 fsync(4) = 0",
        "70 10.200000 <... fdatasync resumed>) = 0",
        "70 11.100000 fdatasync(5) = 0",
    ]
    assert flush_calls(lines, 10.0, 11.0) == 2
