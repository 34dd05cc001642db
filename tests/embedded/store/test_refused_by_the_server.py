"""A PostgreSQL server that refuses a flush for the sake of another transaction: it is appended again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import psycopg
import pytest
from psycopg import errors

from saga.embedded import _append
from saga.embedded._append import Batch
from saga.embedded._database import Point, Seam, Write
from saga.embedded._store import Store
from saga.errors import JournalWriteError, OwnershipLostError
from tests.embedded.store.conftest import Opener
from tests.embedded.store.journals import Gate, Pen, Sabotage, first, last, more, written

PenOn = Callable[[Store], Pen]

PASSING = ["40P01", "40001", "55P03"]
NEW_ROW = """
INSERT INTO saga_instances
    (id, saga, state, started_at, changed_at, owner, epoch, request_hash, fingerprint, kernel)
VALUES (%s, '', '', 0, 0, '', 1, '', '', 1)
"""


class Counted:
    """A seam that counts how often flushes begin and are committed, and passes on to another."""

    def __init__(self, seam: Seam = lambda *_: None) -> None:
        """Begin with none."""
        self.points: list[Point] = []
        self._seam = seam

    def __call__(self, write: Write, point: Point) -> None:
        """Count."""
        if write is Write.FLUSH:
            self.points.append(point)
        self._seam(write, point)


def refused(sqlstate: str) -> Callable[[], psycopg.Error]:
    """Make the error with which a server refuses a statement."""
    return lambda: errors.lookup(sqlstate)("refused for the sake of another")


def refusing(sqlstate: str) -> Seam:
    """Return a seam at which every flush is refused before its commit."""

    def refuse(write: Write, point: Point) -> None:
        error = refused(sqlstate)()
        if (write, point) == (Write.FLUSH, Point.BEFORE_COMMIT):
            raise error

    return refuse


async def together(pen: Pen, gate: Gate, *batches: Batch) -> list[asyncio.Future[Exception | None]]:
    """Submit batches so that they share a flush, and let it begin."""
    gate.shut()
    filler = pen.submitted(first("filler"))
    await gate.occupied()
    said = [pen.submitted(batch) for batch in batches]
    gate.open()
    assert await filler is None
    return said


@asynccontextmanager
async def another(url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """Another program on the same database, in a transaction that is rolled back."""
    async with await psycopg.AsyncConnection.connect(url.replace("+psycopg", "")) as connection:
        yield connection
        await connection.rollback()


async def until_somebody_waits(url: str) -> None:
    """Wait until a statement waits for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with await psycopg.AsyncConnection.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        while (await (await connection.execute(waiting)).fetchone()) == (0,):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("point", [Point.BEFORE_BEGIN, Point.BEFORE_INSERT, Point.BEFORE_COMMIT])
@pytest.mark.parametrize("sqlstate", PASSING)
async def test_a_flush_that_was_refused_before_its_commit_is_appended_again(
    opened: Opener, pen_on: PenOn, postgres_url: str, sqlstate: str, point: Point
) -> None:
    """Nothing of it is there, for COMMIT was not sent; then everything is, once, and nobody is told."""
    seam = Counted(Sabotage(Write.FLUSH, point, refused(sqlstate), passes=1))
    pen = pen_on(opened(postgres_url, seam=seam))
    await pen.write(first("a"))
    await pen.write(more("a", 2), first("b"), last("a", 3))
    assert pen.writer.failure is None
    assert (written(pen.store, "a"), written(pen.store, "b")) == ([0, 1, 2, 3], [0, 1])
    assert (seam.points.count(Point.BEFORE_BEGIN), seam.points.count(Point.AFTER_COMMIT)) == (3, 2)


@pytest.mark.parametrize("sqlstate", PASSING)
async def test_a_flush_that_is_refused_again_and_again_ends_the_writer(
    opened: Opener, pen_on: PenOn, postgres_url: str, sqlstate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried so many times, with pauses between; then the error says what to do."""
    monkeypatch.setattr(_append, "PAUSES", (0.001, 0.001))

    seam = Counted(refusing(sqlstate))
    (error,) = await pen_on(opened(postgres_url, seam=seam)).tried(first("a"))
    assert isinstance(error, JournalWriteError)
    assert "must be opened again" in str(error)
    assert seam.points.count(Point.BEFORE_BEGIN) == 3
    assert written(opened(postgres_url), "a") == []


async def test_the_pauses_between_are_real(opened: Opener, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is in the way is given time to go."""
    slept: list[float] = []
    monkeypatch.setattr("saga.embedded._append.time.sleep", slept.append)
    appender = _append.Appender(opened(postgres_url, seam=refusing("40001"))._database)
    with pytest.raises(errors.SerializationFailure):
        appender.append([first("a")])
    appender.discard()
    assert slept == list(_append.PAUSES)
    assert slept == sorted(slept)
    assert 0 < sum(slept) < 10


@pytest.mark.parametrize("sqlstate", PASSING)
async def test_an_error_after_commit_was_sent_is_not_tried_again(
    opened: Opener, pen_on: PenOn, postgres_url: str, sqlstate: str
) -> None:
    """Whatever the server calls it, nobody knows what became of the commit: a re-read decides."""
    seam = Counted(Sabotage(Write.FLUSH, Point.AFTER_COMMIT, refused(sqlstate)))
    (error,) = await pen_on(opened(postgres_url, seam=seam)).tried(first("a"))
    assert isinstance(error, JournalWriteError)
    assert seam.points.count(Point.BEFORE_BEGIN) == 1
    assert written(opened(postgres_url), "a") == [0, 1]


@pytest.mark.parametrize("sqlstate", ["53100", "XX001", "42P01", "25006"])
async def test_any_other_refusal_ends_the_writer_at_once(
    opened: Opener, pen_on: PenOn, postgres_url: str, sqlstate: str
) -> None:
    """A full disk or a table that is gone are not better a moment later."""
    seam = Counted(Sabotage(Write.FLUSH, Point.BEFORE_COMMIT, refused(sqlstate)))
    (error,) = await pen_on(opened(postgres_url, seam=seam)).tried(first("a"))
    assert isinstance(error, JournalWriteError)
    assert seam.points.count(Point.BEFORE_BEGIN) == 1


async def test_a_real_deadlock_is_no_end(opened: Opener, pen_on: PenOn, postgres_url: str) -> None:
    """Another program holds what the flush needs, and then needs what the flush holds; the server ends the flush."""
    gate = Gate()
    seam = Counted(gate)
    pen = pen_on(opened(postgres_url, seam=seam))
    async with another(postgres_url) as program:
        await program.execute("SET deadlock_timeout = '1h'")  # so that it is the flush that notices
        await program.execute(NEW_ROW, ["b"])
        said = await together(pen, gate, first("a"), first("b"))
        await until_somebody_waits(postgres_url)
        await program.execute(NEW_ROW, ["a"])
        await program.rollback()
        assert await asyncio.gather(*said) == [None, None]
    assert pen.writer.failure is None
    assert (written(pen.store, "a"), written(pen.store, "b")) == ([0, 1], [0, 1])
    assert (seam.points.count(Point.BEFORE_BEGIN), seam.points.count(Point.AFTER_COMMIT)) == (3, 2)


async def test_a_real_lock_that_is_let_go_of_late_is_no_end(opened: Opener, pen_on: PenOn, postgres_url: str) -> None:
    """The flush waits as long as a statement may, is refused, and tries again."""
    seam = Counted()
    pen = pen_on(opened(postgres_url, patience=timedelta(milliseconds=100), seam=seam))
    await pen.write(first("a"))
    async with another(postgres_url) as program:
        await program.execute("LOCK TABLE saga_facts IN ACCESS EXCLUSIVE MODE")
        writing = pen.submitted(more("a", 2))
        while seam.points.count(Point.BEFORE_BEGIN) < 3:
            await asyncio.sleep(0.01)
        await program.rollback()
        assert await writing is None
    assert written(pen.store, "a") == [0, 1, 2]


async def test_a_batch_at_fault_behind_a_refusal_is_still_singled_out(
    opened: Opener, pen_on: PenOn, postgres_url: str
) -> None:
    """The flush is tried again as a whole, and then batch by batch."""
    gate = Gate()
    sabotage = Sabotage(Write.FLUSH, Point.BEFORE_INSERT, refused("40P01"), passes=1)

    def seam(write: Write, point: Point) -> None:
        gate(write, point)
        sabotage(write, point)

    pen = pen_on(opened(postgres_url, seam=seam))
    said = await together(pen, gate, first("a"), more("stale", 2, epoch=9), first("b"))
    good, stale, fine = await asyncio.gather(*said)
    assert sabotage.struck == 1
    assert (good, fine) == (None, None)
    assert isinstance(stale, OwnershipLostError)
    assert pen.writer.failure is None
