"""What is left of a journal's connections when the engine is left: nothing, and so its file holds everything."""

from __future__ import annotations

import asyncio
import gc
import shutil
import threading
from collections.abc import AsyncIterator, Awaitable, Generator
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from saga import EmbeddedEngine, SagaError, SagaState
from saga.embedded import Journal
from saga.embedded._database import Point, Write
from saga.embedded._store import Store, StoredFact
from tests.embedded._shop import Booking, Purchase, Shop, hangs, until_delivered
from tests.embedded.store.journals import Sabotage

OPEN_FILES = Path("/proc/self/fd")  # where the system has it; elsewhere the log beside the file tells enough
ALL = [f"p-{number}" for number in range(5)]


@pytest.fixture
def uncollected() -> Generator[None]:
    """The test runs without a garbage collector: nothing is closed because somebody happened to look for it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file of a journal."""
    return tmp_path / "journal.db"


def engine_on(file: Path, shop: Shop, **options: Any) -> EmbeddedEngine:
    """An engine on a file."""
    settings: dict[str, Any] = {"sagas": [Purchase], "participants": {"shop": shop}, "grace": timedelta(0)}
    return EmbeddedEngine(f"sqlite:///{file}", **(settings | options))


async def bought(engine: EmbeddedEngine) -> None:
    """Run some sagas."""
    await asyncio.gather(*(engine.run(Purchase, 1, id=id) for id in ALL))


def in_a_copy(file: Path) -> dict[str, SagaState]:
    """Copy a journal's file, and nothing beside it, and return what can be read there."""
    copy = file.with_name("copy.db")
    shutil.copyfile(file, copy)
    with closing(Journal.open(f"sqlite:///{copy}")) as journal:
        return {one.id: journal.view(one.id).state for one in journal.list()}


def beside(file: Path) -> set[str]:
    """Return what is in the folder of a journal, and what this process has open there."""
    links = list(OPEN_FILES.iterdir()) if OPEN_FILES.is_dir() else []
    found = {str(link.readlink()) for link in links if link.is_symlink()}
    return {one.name for one in file.parent.iterdir()} | {f"open: {name}" for name in found if str(file) in name}


async def test_the_file_alone_is_the_journal_as_soon_as_the_engine_is_left(
    file: Path, shop: Shop, uncollected: None
) -> None:
    """No log stays beside it, nothing has it open, and a copy of it holds every saga."""
    async with engine_on(file, shop) as engine:
        await bought(engine)
        assert len([one async for one in engine.list()]) == len(ALL)
    assert beside(file) == {"journal.db"}
    assert in_a_copy(file) == dict.fromkeys(ALL, SagaState.COMPLETED)


@asynccontextmanager
async def listing(engine: EmbeddedEngine) -> AsyncIterator[None]:
    """A list that somebody reads the beginning of."""
    some = engine.list()
    await anext(some)
    yield


@asynccontextmanager
async def viewing(engine: EmbeddedEngine) -> AsyncIterator[None]:
    """Handles that somebody looked at, in several threads."""
    handles = [await engine.get(Purchase, id) for id in ALL]
    await asyncio.gather(*(handle.view() for handle in handles))
    yield


@asynccontextmanager
async def following(engine: EmbeddedEngine) -> AsyncIterator[None]:
    """Facts that somebody follows."""
    facts = (await engine.get(Purchase, ALL[0])).facts()
    await anext(facts)
    yield


@pytest.mark.parametrize("using", [listing, viewing, following])
async def test_whatever_was_read_does_not_keep_it_open(file: Path, shop: Shop, uncollected: None, using: Any) -> None:
    """Nor does what was only read in part."""
    async with engine_on(file, shop) as engine:
        await bought(engine)
        async with using(engine):
            pass
    assert beside(file) == {"journal.db"}
    assert in_a_copy(file) == dict.fromkeys(ALL, SagaState.COMPLETED)


async def test_a_read_that_nobody_waits_for_any_more_ends_before_the_engine_is_left(
    file: Path, shop: Shop, uncollected: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread cannot be cancelled: its connection is closed as well, once it has given it back."""
    reading, goes_on = threading.Event(), threading.Event()

    def slow(store: Store, *_: object, **__: object) -> list[StoredFact]:
        with store._database.read():
            reading.set()
            assert goes_on.wait(10)
        return []

    async with engine_on(file, shop) as engine:
        await bought(engine)
        handle = await engine.get(Purchase, ALL[0])
        monkeypatch.setattr(Store, "load", slow)
        viewing = asyncio.create_task(handle.view())
        await asyncio.to_thread(reading.wait, 10)
        viewing.cancel()
        threading.Timer(0.1, goes_on.set).start()
    assert beside(file) == {"journal.db"}
    monkeypatch.undo()
    assert in_a_copy(file) == dict.fromkeys(ALL, SagaState.COMPLETED)


async def test_a_look_after_leaving_leaves_nothing_open_either(file: Path, shop: Shop, uncollected: None) -> None:
    """A handle can still be looked at; its connection lasts as long as the look."""
    async with engine_on(file, shop) as engine:
        await bought(engine)
        handle = await engine.get(Purchase, ALL[0])
    assert (await handle.view()).state is SagaState.COMPLETED
    assert beside(file) == {"journal.db"}


async def test_activities_that_were_given_up_do_not_keep_it_open(file: Path, shop: Shop, uncollected: None) -> None:
    """The open saga is in the copy too."""
    shop.before["book.1"] = [hangs]
    async with engine_on(file, shop) as engine:
        await engine.start(Purchase, 1, id="p-0")
        await until_delivered(shop, "p-0/book.1")
    assert beside(file) == {"journal.db"}
    assert in_a_copy(file) == {"p-0": SagaState.RUNNING}


@pytest.mark.parametrize("point", [Point.BEFORE_INSERT, Point.BEFORE_COMMIT, Point.AFTER_COMMIT])
async def test_an_engine_whose_flush_failed_leaves_nothing_open(
    file: Path, shop: Shop, uncollected: None, monkeypatch: pytest.MonkeyPatch, point: Point
) -> None:
    """Whatever was acknowledged is in the file."""
    seam = Sabotage(Write.FLUSH, point, lambda: OSError("the disk is gone"), passes=20)
    open_ = Store.open
    monkeypatch.setattr(Store, "open", lambda *args, **options: open_(*args, **options, seam=seam))
    said: dict[str, bool] = {}
    async with engine_on(file, shop) as engine:
        await bought(engine)
        while seam.struck == 0:
            id = f"q-{len(said)}"
            said[id] = await is_acknowledged(engine.run(Purchase, 1, id=id))
    assert beside(file) == {"journal.db"}
    ended = {id for id, state in in_a_copy(file).items() if state is SagaState.COMPLETED}
    assert ended >= {*ALL, *(id for id, acknowledged in said.items() if acknowledged)}


async def is_acknowledged(running: Awaitable[object]) -> bool:
    """Tell whether a saga's caller got its result."""
    try:
        await running
    except SagaError:
        return False
    return True


async def test_an_engine_that_cannot_begin_leaves_nothing_open(
    file: Path, shop: Shop, uncollected: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It failed after it had opened the journal."""
    monkeypatch.setattr("saga.embedded._tending.Tending.begin", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        async with engine_on(file, shop):
            pass
    assert beside(file) == {"journal.db"}


async def test_the_last_of_several_engines_closes_the_file(file: Path, shop: Shop, uncollected: None) -> None:
    """As long as another one has it open, its log is that one's."""
    async with engine_on(file, shop, sagas=[Booking]):
        async with engine_on(file, shop) as engine:
            await bought(engine)
        assert "journal.db-wal" in beside(file)
    assert beside(file) == {"journal.db"}
    assert in_a_copy(file) == dict.fromkeys(ALL, SagaState.COMPLETED)


async def test_no_connection_to_a_server_stays_open(postgres_url: str, shop: Shop, uncollected: None) -> None:
    """The server has nobody connected to that database once the engine is left."""
    plain = make_url(postgres_url).set(drivername="postgresql").render_as_string(hide_password=False)
    async with EmbeddedEngine(plain, sagas=[Purchase], participants={"shop": shop}) as engine:
        await bought(engine)
        assert len([one async for one in engine.list()]) == len(ALL)
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    async with await psycopg.AsyncConnection.connect(plain, autocommit=True) as server:
        async with asyncio.timeout(10):  # a backend ends a moment after its client has gone
            while (await (await server.execute(others)).fetchone()) != (0,):
                await asyncio.sleep(0.01)
