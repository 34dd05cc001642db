"""What the writer relies on: a driver tells how many rows were written, by one statement and by `executemany`."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from saga.embedded._append import Appender, BatchAtFaultError
from saga.embedded._database import Database
from saga.embedded._statements import SIZES
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


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("wrong", [(), (0,), (-1,), (0, -1), None], ids=str)
def test_inserts_count_the_rows_that_were_written(
    database: Database, cursor: Any, size: int, wrong: tuple[int, ...] | None
) -> None:
    """The count is that of the rows whose epoch holds, wherever those stand whose epoch does not."""
    sql = dict(Appender(database)._sql.append)[size]
    rows = [["a", 1, 2 + number, "{}", None] for number in range(size)]
    for number in range(size) if wrong is None else wrong:
        rows[number][1] = 9
    cursor.execute(sql, [value for row in rows for value in row])
    assert cursor.rowcount == sum(row[1] == 1 for row in rows)


@pytest.mark.parametrize("count", [1, 3, 4, 5, 63, 64, 65, 149])
def test_any_number_of_facts_is_written(store: Store, database: Database, count: int) -> None:
    """However many there are, they are all written, in order."""
    appender = Appender(database)
    appender.append([first("a")])
    appender.append([more("a", 2, facts=count)])
    appender.close()
    assert written(store, "a") == list(range(2 + count))


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
