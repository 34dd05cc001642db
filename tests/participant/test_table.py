from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from sqlalchemy import Engine, MetaData, inspect, text
from sqlalchemy.orm import Session

from saga.participant import barrier, barrier_metadata, create_barrier_tables
from tests.participant.banks import Books, Debit, face, step
from tests.participant.bodies import take
from tests.participant.conftest import async_engine

Engines = Callable[..., Engine]


def age(engine: Engine, key: str, days: int) -> None:
    """Make a row older than it is."""
    (table,) = barrier_metadata.sorted_tables
    made = datetime.now(UTC) - timedelta(days=days)
    with engine.begin() as connection:
        connection.execute(table.update().where(table.c.key == key).values(created_at=made))


def fill(engine: Engine) -> None:
    """Record a use that is ten days old, one that is five days old and one of today."""
    for id, days in [("old", 10), ("older", 5), ("new", 0)]:
        with step(id=id), engine.begin() as connection:
            barrier.once(connection, take, Debit())
        age(engine, f"{id}/debit.1", days)


def test_purge_deletes_what_is_older(url: str, engines: Engines) -> None:
    """It tells how many rows went, and leaves the younger ones."""
    engine = engines(url)
    fill(engine)
    with Session(engine) as session, session.begin():
        assert barrier.purge(session, older_than=timedelta(days=7)) == 1
    assert [key for key, _, _ in Books(engine).records()] == ["new/debit.1", "older/debit.1"]


def test_purge_begins_with_the_oldest(url: str, engines: Engines) -> None:
    """A limit bounds one transaction; the next call goes on."""
    engine = engines(url)
    fill(engine)
    with engine.begin() as connection:
        assert barrier.purge(connection, older_than=timedelta(days=1), limit=1) == 1
        assert "old/debit.1" not in str(connection.execute(text("SELECT key FROM saga_barrier")).all())
        assert barrier.purge(connection, older_than=timedelta(days=1), limit=1) == 1
        assert barrier.purge(connection, older_than=timedelta(days=1), limit=1) == 0


async def test_purge_works_asynchronously(url: str, engines: Engines) -> None:
    """As with a synchronous transaction."""
    books = Books(engines(url))
    fill(books.engine)
    engine = async_engine(url)
    async with engine.begin() as connection:
        assert await barrier.purge(connection, older_than=timedelta(days=7)) == 1
    await engine.dispose()
    assert len(books.records()) == 2


@pytest.mark.parametrize(("older_than", "limit"), [(timedelta(0), 1), (timedelta(days=-1), 1), (timedelta(days=1), 0)])
def test_purge_of_everything_is_refused(sqlite_url: str, engines: Engines, older_than: timedelta, limit: int) -> None:
    """An age of nothing would forget what is being done just now."""
    with engines(sqlite_url).begin() as connection, pytest.raises(ValueError, match="above zero"):
        barrier.purge(connection, older_than=older_than, limit=limit)


def test_tables_may_be_created_by_several_at_once(fresh_url: str, engines: Engines) -> None:
    """Processes that start together do not fail, and what is there stays."""
    engine = engines(fresh_url, tables=False, connect_args={"timeout": 60} if fresh_url.startswith("sqlite") else {})
    start = Barrier(4)

    def create() -> None:
        start.wait(60)
        create_barrier_tables(engine)

    with ThreadPoolExecutor(4) as pool:
        for creating in [pool.submit(create) for _ in range(4)]:
            creating.result(60)
    assert inspect(engine).get_table_names() == ["saga_barrier"]


async def test_tables_are_created_through_an_asynchronous_engine(fresh_url: str) -> None:
    """The way that the docstring shows."""
    engine = async_engine(fresh_url)
    async with engine.begin() as connection:
        await connection.run_sync(create_barrier_tables)
        assert await connection.run_sync(lambda inner: inspect(inner).get_table_names()) == ["saga_barrier"]
    await engine.dispose()


def test_table_may_lie_in_a_schema(postgres_url: str, engines: Engines) -> None:
    """`schema_translate_map` puts it there."""
    engine = engines(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA bank"))
    moved = engine.execution_options(schema_translate_map={None: "bank"})
    with moved.begin() as connection:
        create_barrier_tables(connection)
        barrier.once(connection, nothing, 7, key="a/b.1")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT key FROM bank.saga_barrier")).scalar_one() == "a/b.1"
    assert Books(engine).records() == []


def nothing(_: object, __: int) -> None:
    """A body that changes nothing."""


def test_metadata_describes_the_table_that_is_created(fresh_url: str, engines: Engines) -> None:
    """So a migration made from it fits."""
    engine = engines(fresh_url, tables=False)
    create_barrier_tables(engine)
    found = MetaData()
    found.reflect(engine)
    (declared,), (created,) = barrier_metadata.sorted_tables, found.sorted_tables
    assert created.name == declared.name
    assert created.columns.keys() == declared.columns.keys()
    assert created.primary_key.columns.keys() == ["key", "part"]


async def test_faces_share_one_table(url: str, engines: Engines) -> None:
    """What one kind of transaction records, another finds."""
    books = Books(engines(url))
    engine = async_engine(url)
    with step():
        first = await face(books.engine, "orm").debit(Debit())
        assert await face(engine, "core").debit(Debit()) == first
    await engine.dispose()
    assert books.balance() == 90
