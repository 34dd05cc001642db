"""Weighs what a journal keeps: the bytes of its rows' contents, without pages and indexes."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Final

_NOT_JOURNAL: Final = ("alembic_version", "dbos_migrations")
_BYTES_OF_COLUMN: Final = """
CASE typeof({column})
  WHEN 'null' THEN 0
  WHEN 'real' THEN 8
  WHEN 'integer' THEN CASE
    WHEN {column} IN (0, 1) THEN 0
    WHEN {column} BETWEEN -128 AND 127 THEN 1
    WHEN {column} BETWEEN -32768 AND 32767 THEN 2
    WHEN {column} BETWEEN -8388608 AND 8388607 THEN 3
    WHEN {column} BETWEEN -2147483648 AND 2147483647 THEN 4
    WHEN {column} BETWEEN -140737488355328 AND 140737488355327 THEN 6
    ELSE 8 END
  ELSE length(CAST({column} AS BLOB)) END"""


def content_bytes(path: str) -> int:
    """Return the bytes of every column of every row, as SQLite's record format stores them."""
    # The class, not `sqlite3.connect`: this must not be counted among what an engine does.
    with closing(sqlite3.Connection(path)) as connection:
        return content_bytes_of(connection)


def content_bytes_of(connection: sqlite3.Connection) -> int:
    """Do the same on an open connection."""
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    tables = [name for (name,) in names if not name.startswith("sqlite_") and name not in _NOT_JOURNAL]
    return sum(_table_bytes(connection, table) for table in tables)


def _table_bytes(connection: sqlite3.Connection, table: str) -> int:
    columns = connection.execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchall()
    terms = " + ".join(_BYTES_OF_COLUMN.format(column=_quoted(name)) for (name,) in columns)
    # The names come from the database's own catalogue; SQL binds values, never names.
    query = f"SELECT coalesce(sum({terms}), 0) FROM {_quoted(table)}"  # noqa: S608
    total: int = connection.execute(query).fetchone()[0]
    return total


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
