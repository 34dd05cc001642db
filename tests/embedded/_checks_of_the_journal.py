"""Checks of what protects a journal from the engines that share it, from crashes, and from being purged."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Container
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

from saga import SagaHandle, SagaStuckError
from saga.embedded._append import Batch, NewInstance
from saga.embedded._database import Point, Seam, Write, undisturbed
from saga.embedded._requests import Request, Requests
from saga.embedded._store import Store
from saga.errors import SagaError
from saga.kernel import RESUME_LIMIT
from saga.kernel import _facts as f
from tests.embedded._checks import Doubtful, engine_on, facts_in, must
from tests.embedded._machine import Machine, running_on
from tests.embedded._shop import Booking, Shop, hangs, until_delivered, waits_for
from tests.embedded.store.journals import NOW, Pen, first, last, more, pages, written

LATER = NOW + timedelta(seconds=1)
QUICK = timedelta(seconds=0.4)


@asynccontextmanager
async def _pen(folder: Path, *, seam: Seam = undisturbed) -> AsyncIterator[Pen]:
    """A journal to write to without an engine."""
    store = Store.open(f"sqlite:///{folder}/journal.db", seam=seam)
    writer = store.writer(asyncio.get_running_loop())
    try:
        yield Pen(store, writer)
    finally:
        await asyncio.to_thread(writer.close)
        store.close()


async def open_instances_kept(folder: Path) -> None:
    """Purging removes nothing that has not ended."""
    async with _pen(folder) as pen:
        await pen.write(first("open"), first("ended"), last("ended", 2))
        pen.store.purge(ended_before=LATER)
        must(pen.store.get("ended") is None, "nothing was purged")
        must(written(pen.store, "open") == [0, 1], "an open instance was purged")


async def children_of_open_parents_kept(folder: Path) -> None:
    """What a child recorded may be needed to compensate it."""
    async with _pen(folder) as pen:
        await pen.write(first("p"), first("p~x.1", parent="p"), last("p~x.1", 2))
        pen.store.purge(ended_before=LATER)
        must(pen.store.get("p~x.1") is not None, "a child of an open parent was purged")


async def children_go_with_their_parent(folder: Path) -> None:
    """Whoever gets the parent's id later never meets an old child."""
    async with _pen(folder) as pen:
        await pen.write(first("p"), first("p~x.1", parent="p", saga="Child"), last("p~x.1", 2), last("p", 2))
        pen.store.purge(ended_before=LATER, sagas=["MoneyTransfer"])
        must(pen.store.get("p") is None, "nothing was purged")
        must(pen.store.get("p~x.1") is None, "a child was left behind")


async def requests_numbered_once(folder: Path) -> None:
    """Nobody reads the answer to another request, although all were purged meanwhile."""
    async with _pen(folder) as pen:
        await pen.write(first("a", "me"), first("b", "me"))
        number = pen.store.requests.put("a", "cancel")
        await pen.write(last("a", 2))
        pen.store.purge(ended_before=LATER)
        must(pen.store.requests.put("b", "cancel") != number, "two requests had one number")


async def no_gap_behind_a_failure(folder: Path) -> None:
    """What was queued behind a batch that failed is not written either."""
    async with _pen(folder) as pen:
        await pen.write(first("a"))
        await pen.tried(more("a", 2, epoch=9), more("a", 3))
        found = [seq for seq, _, _ in pen.store.load("a")]
        must(found == [0, 1], f"a journal has a gap: {found}")


async def flushed_to_the_disk(folder: Path) -> None:
    """SQLite says that a transaction is committed when it lies on the disk, in a log of its own."""
    async with _pen(folder) as pen:
        with pen.store._database.read() as connection:
            mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
            level = connection.exec_driver_sql("PRAGMA synchronous").scalar()
        must((mode, level) == ("wal", 2), f"journal_mode={mode}, synchronous={level}")


async def living_owners_keep_what_they_own(folder: Path) -> None:
    """Nobody takes over from an engine that lives."""
    shop, gate = Shop(), asyncio.Event()
    shop.before["book.1"] = [waits_for(gate), waits_for(gate)]
    async with engine_on(folder, shop) as engine, engine_on(folder, shop) as other:
        handle = await engine.start(Booking, 1, id="s-1")
        await until_delivered(shop, "s-1/book.1")
        taken = await other._open._tending.claim()  # type: ignore[union-attr]
        gate.set()
        must(taken == 0, "an instance was taken over from an engine that lives")
        await handle.result()


async def signs_of_life_are_given(folder: Path) -> None:
    """As long as an engine lives the others see that it does, however long its activities last."""
    async with engine_on(folder, Shop(), lease=QUICK):
        first_seen, until = _seen(folder), time.monotonic() + 3
        while _seen(folder) == first_seen and time.monotonic() < until:
            await asyncio.sleep(0.01)
        must(_seen(folder) != first_seen, "an engine that lives gives no sign of it")


def _seen(folder: Path) -> list[tuple[object, ...]]:
    """Who gave a sign of life, and when."""
    with sqlite3.connect(folder / "journal.db") as connection:
        rows = connection.execute("SELECT owner, beat_at FROM saga_owners").fetchall()
    connection.close()
    return rows


async def lost_instances_dropped(folder: Path) -> None:
    """An engine that slept hears what the new owner did, although nothing happens in its own drive."""
    shop, gate = Shop(), asyncio.Event()
    shop.before["book.1"] = [waits_for(gate)]
    async with engine_on(folder, shop, lease=QUICK) as engine, engine_on(folder, shop, lease=QUICK) as other:
        handle: SagaHandle[list[str]] = await engine.start(Booking, 1, id="s-1")
        await until_delivered(shop, "s-1/book.1")
        while other._open.store.get("s-1").epoch == 1:  # type: ignore[union-attr]
            with sqlite3.connect(folder / "journal.db") as connection:
                name = engine._open._ownership.owner  # type: ignore[union-attr]
                connection.execute("UPDATE saga_owners SET beat_at = 0 WHERE owner = ?", (name,))
            connection.close()
            await other._open._tending.claim()  # type: ignore[union-attr]
        try:
            await asyncio.wait_for(handle.result(), 3)
        except TimeoutError:
            must(condition=False, text="a former owner did not notice that it lost an instance")
        finally:
            gate.set()


async def paused_engines_begin_nothing(folder: Path) -> None:
    """An engine that was paused longer than its lease begins no attempt before it knows what is left to it."""
    shop, gate = Shop(), asyncio.Event()
    shop.before["book.1"] = [waits_for(gate)]
    async with engine_on(folder, shop) as engine:
        opened = engine._open
        assert opened is not None
        await engine.start(Booking, 2, id="s-1")
        await until_delivered(shop, "s-1/book.1")
        drive = opened.stage.drives["s-1"]
        opened._performer._tenure._until = 0.0
        gate.set()
        while drive._written < drive._submitted or "book.2" not in drive.instance.calls:
            await asyncio.sleep(0.002)
        for _ in range(50):
            await asyncio.sleep(0)
        must(shop.deliveries == ["s-1/book.1"], "an engine that may have lost its instances began an attempt")


async def late_children_never_start(folder: Path) -> None:
    """Once a parent was taken over, its former owner starts no child of it."""
    async with _pen(folder) as pen:
        new = NewInstance("Child", "RUNNING", NOW, parent="p", parent_epoch=1)
        await pen.write(first("p"))
        await pen.write(Batch("p~x.1", 1, 0, pages(0, 1), new=new))
        must(pen.store.get("p~x.1") is not None, "a child of an owned parent did not start")
        claimed = pen.store.ownership().claim(["MoneyTransfer"])
        await pen.tried(Batch("p~x.2", 1, 0, pages(0, 1), new=new))
        must([claim.epoch for claim in claimed] == [2], "the parent was not taken over")
        must(pen.store.get("p~x.2") is None, "a child started although its parent was taken over")


async def crashes_have_an_end(folder: Path) -> None:
    """An instance that ends every engine that drives it is put aside."""
    shop = Shop()
    shop.before["book.1"] = [hangs] * (RESUME_LIMIT + 2)
    for life in range(1, RESUME_LIMIT + 1):
        await _crash(folder, shop, life)
    async with engine_on(folder, shop) as engine:
        handle = await engine.get(Booking, "s-1")
        resting = asyncio.create_task(handle.result())
        while not resting.done() and len(shop.deliveries) <= RESUME_LIMIT:
            await asyncio.sleep(0.002)
        must(len(shop.deliveries) == RESUME_LIMIT, "it was performed once more")
        with suppress(SagaStuckError):
            await resting


async def _crash(folder: Path, shop: Shop, life: int) -> None:
    """Perform the activity once more and lose the machine while it runs."""
    machine = Machine()
    with running_on(machine):
        async with engine_on(folder, shop) as engine:
            await engine.start(Booking, 1, id="s-1")
            await until_delivered(shop, "s-1/book.1", life)
            machine.dead = True
    with sqlite3.connect(folder / "journal.db") as connection:
        connection.execute("UPDATE saga_owners SET beat_at = 0")
    connection.close()


async def served_once(folder: Path) -> None:
    """A request that is being worked on is not taken a second time, however long its flush lasts."""
    shop, machine, looks = Shop(), Machine(), list[str]()
    shop.before["book.1"] = [hangs]
    machine.seam = _slow(machine, looks)  # type: ignore[method-assign]
    with running_on(machine):
        async with engine_on(folder, shop) as engine:
            handle = await engine.start(Booking, 1, id="s-1")
            await until_delivered(shop, "s-1/book.1")
            requests = engine._open.store.requests  # type: ignore[union-attr]
            requests.take = _counted(requests, looks)  # type: ignore[method-assign]
            await asyncio.to_thread(requests.put, "s-1", '{"request": "cancel", "by": "anna"}')
            with suppress(SagaError):
                await handle.result()
    cancels = [fact for fact in facts_in(folder) if isinstance(fact, f.CancelRequested)]
    must(len(cancels) == 1, f"one request was journaled {len(cancels)} times")


def _counted(requests: Requests, looks: list[str]) -> Callable[..., list[Request]]:
    """Note every look for requests that has ended."""
    take = requests.take

    def noted(owner: str, in_progress: Container[int] = ()) -> list[Request]:
        found = take(owner, in_progress)
        looks.append(owner)
        return found

    return noted


def _slow(machine: Machine, looks: list[str]) -> Callable[[Write, Point], None]:
    """Let the flush that carries the cancel last until somebody has looked for requests twice meanwhile."""
    seam = machine.seam

    def slow(write: Write, point: Point) -> None:
        if write is Write.FLUSH and point is Point.BEFORE_COMMIT and "CancelRequested" in machine._flushing:
            enough = len(looks) + 2
            while len(looks) < enough:
                time.sleep(0.01)
        seam(write, point)

    return slow


async def attempts_end_in_time(folder: Path) -> None:
    """An activity that never answers is in doubt when its time limit has passed."""
    shop = Shop()
    shop.before["book.1"] = [hangs]
    async with engine_on(folder, shop) as engine:
        try:
            with suppress(SagaError):
                await asyncio.wait_for(engine.run(Doubtful, 1, id="s-1"), 3)
        except TimeoutError:
            must(condition=False, text="an attempt outlived its time limit")


async def closed_to_the_end(folder: Path) -> None:
    """Whoever is cancelled while an engine is being closed finds it closed."""
    shop = Shop()
    shop.before["book.1"] = [hangs]
    engine = await engine_on(folder, shop, grace=timedelta(hours=1)).__aenter__()
    opened = engine._open
    assert opened is not None
    await engine.start(Booking, 1, id="s-1")
    await until_delivered(shop, "s-1/book.1")
    leaving = asyncio.create_task(engine.__aexit__(None, None, None))
    while not opened.stage.leaving:
        await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    closed = opened._writer.closed
    if not closed:
        await opened._leave(timedelta(0))
    must(closed, "an engine was left open")
