"""What the writer relies on: a driver tells how many rows `executemany` wrote."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from saga.embedded._append import Appender, BatchAtFaultError
from saga.embedded._database import Database
from saga.embedded._store import Store
from tests.embedded.store.journals import first, more, written


@pytest.fixture
def database(store: Store) -> Database:
    """The database of a new journal."""
    return store._database


@pytest.fixture
def cursor(database: Database) -> Any:
    """A driver's cursor on a journal that holds the instances a and b under epoch 1."""
    appender = Appender(database)
    appender.append([first("a"), first("b")])
    return appender._cursor


@pytest.mark.parametrize(
    ("epochs", "written"),
    [([1], 1), ([1, 1, 1, 1], 4), ([1, 9, 1, 1], 3), ([9, 1], 1), ([1, 9], 1), ([9, 9], 0), ([9], 0)],
)
def test_inserts_count_the_rows_that_were_written(
    database: Database, cursor: Any, epochs: list[int], written: int
) -> None:
    """The count is that of all executions, wherever the one that wrote nothing stands."""
    sql = Appender(database)._sql
    rows = [(2 + number, "{}", None, "a", epoch) for number, epoch in enumerate(epochs)]
    cursor.executemany(sql.append, rows)
    assert cursor.rowcount == written


@pytest.mark.parametrize(("epochs", "changed"), [((1, 1), 2), ((1, 9), 1), ((9, 1), 1), ((9, 9), 0)])
def test_updates_count_the_rows_that_were_changed(
    database: Database, cursor: Any, epochs: tuple[int, int], changed: int
) -> None:
    """The same holds for changes of state."""
    sql = Appender(database)._sql
    cursor.executemany(sql.change, [("STUCK", 1, name, epoch) for name, epoch in zip("ab", epochs, strict=True)])
    assert cursor.rowcount == changed


def test_psycopg_counts_in_pipeline_mode() -> None:
    """The counts above were taken in pipeline mode, which spares a round trip per row."""
    assert psycopg.Pipeline.is_supported()


def test_too_few_rows_roll_everything_back(store: Store, database: Database) -> None:
    """A flush in which one epoch has moved on leaves nothing of the others either."""
    appender = Appender(database)
    appender.append([first("a"), first("b")])
    with pytest.raises(BatchAtFaultError, match="1 of 2 rows"):
        appender.append([more("a", 2), more("b", 2, epoch=2)])
    appender.close()
    assert written(store, "a") == [0, 1]
    assert written(store, "b") == [0, 1]
