"""A PostgreSQL server that ends connections: while they are idle, in the middle of a flush, and at its commit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest

from saga.embedded._append import Appender
from saga.embedded._database import Point, Write
from saga.embedded._store import Store
from saga.errors import JournalError, JournalWriteError
from tests.embedded.store.conftest import Opener
from tests.embedded.store.journals import Pen, first, more, written

PenOn = Callable[[Store], Pen]


def cut_all(url: str) -> int:
    """End every connection to a database but one's own, as a server does that is started anew."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        rows = connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchall()
    return len(rows)


async def test_a_connection_that_was_cut_while_idle_is_replaced(
    opened: Opener, pen_on: PenOn, postgres_url: str
) -> None:
    """The flush that finds out is made on another one; nobody is told of it."""
    pen = pen_on(opened(postgres_url))
    await pen.write(first("a"))
    assert cut_all(postgres_url) >= 1
    await pen.write(more("a", 2), first("b"))
    assert pen.writer.failure is None
    assert (written(pen.store, "a"), written(pen.store, "b")) == ([0, 1, 2], [0, 1])


async def test_a_connection_that_was_cut_within_a_flush_is_replaced(
    opened: Opener, pen_on: PenOn, postgres_url: str
) -> None:
    """Nothing of it was committed, for COMMIT was not sent: everything is there once."""
    cuts: list[int] = []
    inserts: list[Point] = []

    def cut(write: Write, point: Point) -> None:
        if write is Write.FLUSH and point is Point.BEFORE_INSERT:
            inserts.append(point)
            if len(inserts) == 2:
                cuts.append(cut_all(postgres_url))

    pen = pen_on(opened(postgres_url, seam=cut))
    await pen.write(first("a"))
    await pen.write(more("a", 2), first("b"))
    assert len(cuts) == 1
    assert len(inserts) == 3
    assert (written(pen.store, "a"), written(pen.store, "b")) == ([0, 1, 2], [0, 1])


async def test_a_connection_that_is_cut_again_and_again_ends_the_writer(
    opened: Opener, pen_on: PenOn, postgres_url: str
) -> None:
    """It is tried once more, not for ever; the error says what to do."""

    def cut(write: Write, point: Point) -> None:
        if write is Write.FLUSH and point is Point.BEFORE_INSERT:
            cut_all(postgres_url)

    pen = pen_on(opened(postgres_url, seam=cut))
    (error,) = await pen.tried(first("a"))
    assert isinstance(error, JournalWriteError)
    assert "must be opened again" in str(error)
    assert written(opened(postgres_url), "a") == []


@pytest.mark.parametrize("away", [2, 1000])
async def test_a_server_that_starts_anew_is_waited_for(
    opened: Opener, pen_on: PenOn, postgres_url: str, monkeypatch: pytest.MonkeyPatch, away: int
) -> None:
    """It refuses connections for a while; it has as long as any statement has."""
    store = opened(postgres_url, patience=timedelta(seconds=1))
    pen = pen_on(store)
    await pen.write(first("a"))
    connect, refused = store._database.connect, [0]

    def refuses() -> object:
        refused[0] += 1
        if refused[0] <= away:
            raise JournalError("the server is starting up")
        return connect()

    monkeypatch.setattr(store._database, "connect", refuses)
    cut_all(postgres_url)
    (error,) = await pen.tried(more("a", 2))
    if away == 2:
        assert error is None
        assert written(store, "a") == [0, 1, 2]
    else:
        assert isinstance(error, JournalWriteError)
        assert "starting up" in str(error)


def test_another_connection_is_taken_only_where_the_first_is_gone(store: Store) -> None:
    """An error of a connection that lives is no reason to append anything twice."""
    appender = Appender(store._database)
    used = appender._connection.driver_connection
    error = store._database.driver.OperationalError("no")

    def fails(*_: object) -> None:
        raise error

    appender._append = fails  # type: ignore[method-assign]
    with pytest.raises(type(error)):
        appender.append([first("a")])
    assert appender._connection.driver_connection is used
    appender.discard()
