"""A flush that fails or whose outcome nobody knows: nothing acknowledged is lost, nothing lost was acknowledged."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from sqlalchemy import event

from saga.embedded._append import Appender, Batch, DuplicateInstanceError
from saga.embedded._database import Point, Seam, Write
from saga.embedded._store import Store
from saga.errors import JournalWriteError
from tests.embedded.store.conftest import Opener, Pens
from tests.embedded.store.journals import Gate, Pen, Sabotage, first, more, written
from tests.embedded.store.proxy import proxied

PenOn = Callable[[Store], Pen]


class Died(BaseException):
    """Stands for the death of the process."""


FAILURES: dict[str, Callable[[], BaseException]] = {
    "EIO": lambda: OSError(errno.EIO, os.strerror(errno.EIO)),
    "ENOSPC": lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    "BUSY": lambda: sqlite3.OperationalError("database is locked"),
    "disconnect": lambda: psycopg.OperationalError("server closed the connection unexpectedly"),
    "memory": MemoryError,
    "death": Died,
}


# What is raised makes no difference to how a database is left, so one kind is enough on the slower one.
@pytest.mark.peer("NEW-02")
@pytest.mark.parametrize(
    ("url", "failure"), [("sqlite", kind) for kind in FAILURES] + [("postgres", "disconnect")], indirect=["url"]
)
@pytest.mark.parametrize("point", Point)
@pytest.mark.parametrize("flush", range(3))
async def test_a_flush_that_breaks_anywhere_is_all_or_nothing(
    pens: Pens, store: Store, point: Point, failure: str, flush: int
) -> None:
    """At each point of each flush, by each kind of failure (C0, C1, C4, C9, C10, C11).

    Whoever was told that a batch is durable finds it. Nobody else was told so. What the broken flush held is
    there as a whole if it broke after its commit, and not at all if before. The writer does nothing more, and
    a new one goes on from what the journal holds.
    """
    gate = Gate()
    broken = Sabotage(Write.FLUSH, point, FAILURES[failure], passes=2 * flush + 1)
    pen = pens(seam=both(gate, broken))
    batches = [[first("a"), first("b")], [more("a", 2), more("b", 2)], [more("a", 3), more("b", 3)]]
    acknowledged = [await together(pen, gate, *pair) for pair in batches]
    assert broken.struck == 1
    for number, said in enumerate(acknowledged):
        assert [error is None for error in said] == [number < flush] * 2
        assert all(error is None or isinstance(error, JournalWriteError) for error in said)
    kept = flush + (point is Point.AFTER_COMMIT)
    there = [0, 1, 2, 3][: kept + 1] if kept else []
    assert written(store, "a") == there
    assert written(store, "b") == there
    next_pen = pens()
    seq = len(there)
    await next_pen.write(*(more(name, seq) if kept else first(name) for name in "ab"))
    assert written(store, "a")[-1] == (seq or 1)


def both(gate: Gate, broken: Sabotage) -> Seam:
    """Wait at the gate first, then break."""

    def seam(write: Write, point: Point) -> None:
        gate(write, point)
        broken(write, point)

    return seam


async def together(pen: Pen, gate: Gate, *batches: Batch) -> list[Exception | None]:
    """Submit batches while another one is being flushed, so that they share the flush after it."""
    if pen.writer.failure is not None:
        return await pen.tried(*batches)
    gate.shut()
    filler = pen.submitted(first(f"filler-{pen.store.flushes}"))
    await gate.occupied()
    said = [pen.submitted(batch) for batch in batches]
    gate.open()
    assert await filler is None
    return await asyncio.gather(*said)


async def test_a_broken_writer_names_the_cause_and_refuses_all_that_follows(pens: Pens) -> None:
    """Whoever submits later is told the same, on the loop, and nothing is written."""
    broken = Sabotage(Write.FLUSH, Point.BEFORE_COMMIT, FAILURES["ENOSPC"])
    pen = pens(seam=broken)
    (error,) = await pen.tried(first("a"))
    assert isinstance(error, JournalWriteError)
    assert "No space left" in str(error)
    assert pen.store.place in str(error)
    assert str(pen.writer.failure) == str(error)
    flushes = pen.store.flushes
    said = await pen.tried(first("b"), first("c"))
    assert [str(later) for later in said] == [str(error)] * 2
    assert pen.store.flushes == flushes


async def test_each_waiting_caller_gets_an_error_of_its_own(pens: Pens) -> None:
    """Tracebacks are written into errors, so two callers never share one."""
    pen = pens(seam=Sabotage(Write.FLUSH, Point.BEFORE_COMMIT, FAILURES["EIO"]))
    one, other = await pen.tried(first("a"), first("b"))
    assert one is not other


async def test_batches_that_wait_behind_a_broken_flush_fail_with_it(pens: Pens, store: Store) -> None:
    """What had queued when the flush broke is refused, not written."""
    gate = Gate()
    pen = pens(seam=both(gate, Sabotage(Write.FLUSH, Point.BEFORE_COMMIT, FAILURES["EIO"])))
    gate.shut()
    early = pen.submitted(first("a"))
    await gate.occupied()
    late = [pen.submitted(first(f"i-{number}")) for number in range(5)]
    gate.open()
    said = await asyncio.gather(early, *late)
    assert all(isinstance(error, JournalWriteError) for error in said)
    assert store.count() == {}


async def test_one_by_one_what_was_written_before_the_break_stays_acknowledged(pens: Pens, store: Store) -> None:
    """While a bad batch is being singled out, a break splits the good ones into durable and refused."""
    gate = Gate()
    broken = Sabotage(Write.FLUSH, Point.BEFORE_COMMIT, FAILURES["EIO"], passes=2)
    pen = pens(seam=both(gate, broken))
    said = await together(pen, gate, first("a"), more("stale", 2, epoch=9), first("b"), first("c"))
    assert said[0] is None
    assert all(error is not None for error in said[1:])
    assert [written(store, name) for name in "abc"] == [[0, 1], [], []]


# -- the real thing --------------------------------------------------------------------


def limit_size(connection: sqlite3.Connection, _: object) -> None:
    """Let SQLite believe that the disk has thirty pages."""
    connection.execute("PRAGMA max_page_count = 30")


@pytest.mark.peer("NEW-03")
async def test_a_full_disk_loses_nothing_that_was_acknowledged(opened: Opener, pen_on: PenOn, sqlite_url: str) -> None:
    """SQLite itself says that the disk is full; what it said yes to before stays."""
    store = opened(sqlite_url)
    event.listen(store._database.engine, "connect", limit_size)
    store.discard()
    pen = pen_on(store)
    kept: list[str] = []
    error: Exception | None = None
    while error is None:
        name = f"i-{len(kept)}"
        (error,) = await pen.tried(Batch(name, 1, 0, [("{}", "x" * 2000)], new=first(name).new))
        kept += [name] if error is None else []
    assert isinstance(error, JournalWriteError)
    assert "full" in str(error)
    assert kept
    other = opened(sqlite_url)
    assert other.count() == {"RUNNING": len(kept)}
    await pen_on(other).write(first("after"))


async def test_a_server_that_ends_the_connection_before_commit_keeps_nothing(
    opened: Opener, pen_on: PenOn, postgres_url: str
) -> None:
    """The backend is terminated between the inserts and COMMIT."""

    def terminate(write: Write, point: Point) -> None:
        if (write, point) == (Write.FLUSH, Point.BEFORE_COMMIT):
            with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND state = 'idle in transaction'"
                )

    (error,) = await pen_on(opened(postgres_url, seam=terminate)).tried(first("a"))
    assert isinstance(error, JournalWriteError)
    assert written(opened(postgres_url), "a") == []


async def test_an_answer_to_commit_that_never_arrives_leaves_the_facts_there(
    opened: Opener, pen_on: PenOn, postgres_url: str
) -> None:
    """The commit happened and its answer was lost (C11): the caller is refused, and a re-read decides."""
    with proxied(postgres_url) as (proxy, through):

        def swallow(write: Write, point: Point) -> None:
            if (write, point) == (Write.FLUSH, Point.BEFORE_COMMIT):
                proxy.swallow_next_answer()

        (error,) = await pen_on(opened(through, seam=swallow)).tried(first("a"))
        assert proxy.swallowed.is_set()
    assert isinstance(error, JournalWriteError)
    store = opened(postgres_url)
    assert written(store, "a") == [0, 1]
    again = pen_on(store)
    (twice,) = await again.tried(first("a"))
    assert isinstance(twice, DuplicateInstanceError)
    await again.write(more("a", 2))
    assert written(store, "a") == [0, 1, 2]


def test_a_broken_connection_is_thrown_away(store: Store) -> None:
    """After a failure the writer's connection does not go back to where the next one is taken from."""
    appender = Appender(store._database)
    used: Any = appender._connection.driver_connection
    appender.discard()
    fresh = Appender(store._database)
    assert fresh._connection.driver_connection is not used
    fresh.close()
