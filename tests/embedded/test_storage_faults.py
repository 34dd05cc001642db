"""Disk full, I/O errors, lost connections: nothing acknowledged is lost, and nobody is left waiting (S20)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from saga import EmbeddedEngine, SagaHandle, SagaState
from saga.errors import EngineClosedError, JournalError, JournalWriteError
from saga.kernel import Decision
from tests.embedded._crash import check_order
from tests.embedded._machine import ERRORS, Machine, error_of, running_on
from tests.embedded._shop import Booking, Purchase, Shop, hangs, until_delivered, waits_for
from tests.embedded.conftest import MakeEngine

SOON = 5  # seconds; whoever waits longer than that hangs


class Waiting(Booking):
    """Waits for an answer, or for a time, or in an activity."""

    review = Decision(bool, within=timedelta(hours=1))

    async def run(self, bookings: int) -> list[str]:
        if bookings == 0:
            await self.review()
        elif bookings == 1:
            await self.sleep(timedelta(hours=1))
        return [await self.book(number) for number in range(bookings)]


class Armed(Machine):
    """Fails at the first point that a test arms it for."""

    def __init__(self) -> None:
        super().__init__()
        self.armed: Callable[[str, str], Exception | None] = lambda _write, _point: None

    def seam(self, write: Any, point: Any) -> None:
        """Fail once where the test says."""
        error = self.armed(write.value, point.value)
        if error is not None:
            self.armed = lambda _write, _point: None
            raise error


@pytest.mark.peer("NEW-03", "NEW-02")
@pytest.mark.parametrize("point", ["before begin", "before insert", "before commit", "after commit"])
@pytest.mark.parametrize("fault", list(ERRORS))
async def test_a_failed_flush_ends_the_engine_and_loses_nothing(
    tmp_path: Path, shop: Shop, point: str, fault: str
) -> None:
    """Everybody who waits is told, new work is refused with the reason, and a new engine goes on with all of it."""
    machine = Armed()
    url = f"sqlite:///{tmp_path}/journal.db"
    shop.before["book.2"] = [hangs]
    told: dict[str, BaseException | object] = {}
    with running_on(machine):
        async with EmbeddedEngine(url, sagas=[Waiting, Purchase], participants={"shop": shop}) as engine:
            handles = [await engine.start(Waiting, number, id=f"w-{number}") for number in range(3)]
            handles.append(await engine.start(Purchase, 0, id="ended"))
            await handles[-1].result()
            while "w-2/book.2" not in shop.deliveries:
                await asyncio.sleep(0.002)
            waiting = {
                **{f"result of {handle.id}": asyncio.create_task(handle.result()) for handle in handles[:3]},
                "facts of w-0": asyncio.create_task(_all(handles[0])),
                "run of w-1": asyncio.create_task(engine.run(Waiting, 1, id="w-1")),
            }
            await asyncio.sleep(0.01)
            machine.armed = lambda write, at: error_of(fault) if (write, at) == ("flush", point) else None
            waiting["start of new"] = asyncio.create_task(engine.start(Purchase, 1, id="new"))  # type: ignore[arg-type]
            _, pending = await asyncio.wait(waiting.values(), timeout=SOON)
            assert not pending, "somebody hangs"
            told = {name: task.exception() for name, task in waiting.items()}
            for refused in (
                engine.start(Purchase, 1, id="newer"),
                engine.run(Purchase, 1, id="newer"),
                handles[0].decide(Waiting.review, answer=True, by="rita"),
                handles[1].cancel(),
                handles[2].result(),
            ):
                with pytest.raises(JournalWriteError, match="must be opened again"):
                    await asyncio.wait_for(refused, SOON)
            assert (await handles[0].view()).state is SagaState.RUNNING  # reading goes on
            assert (await handles[-1].view()).state is SagaState.COMPLETED
    assert {type(error) for error in told.values()} == {JournalWriteError}, told
    check_order(_journals(tmp_path))

    async with EmbeddedEngine(url, sagas=[Waiting, Purchase], participants={"shop": shop}) as engine:
        assert ("new" in [one.id async for one in engine.list()]) == (point == "after commit")
        assert len(await engine.run(Purchase, 1, id="new")) == 3
        await (await engine.get(Waiting, "w-0")).decide(Waiting.review, answer=True, by="rita")
        assert await engine.run(Waiting, 0, id="w-0") == []
        assert len(await engine.run(Waiting, 2, id="w-2")) == 2
        assert (await (await engine.get(Waiting, "w-1")).view()).state is SagaState.RUNNING
    assert shop.repeated == {"w-2/book.2"}


async def test_a_flush_of_notes_that_fails_is_noticed_too(tmp_path: Path, shop: Shop) -> None:
    """Nobody awaits it; whoever waits for the instance is told all the same."""
    machine = Armed()
    shop.before["book.1"] = [ConnectionError("lost"), hangs]
    with running_on(machine):
        async with EmbeddedEngine(
            f"sqlite:///{tmp_path}/journal.db", sagas=[Purchase], participants={"shop": shop}, grace=timedelta(0)
        ) as engine:
            handle = await engine.start(Purchase, 1, id="p-1")
            machine.armed = lambda write, at: error_of("EIO") if (write, at) == ("flush", "before commit") else None
            with pytest.raises(JournalWriteError):
                await asyncio.wait_for(handle.result(), SOON)


@pytest.mark.peer("NEW-03")
async def test_a_disk_that_is_really_full(tmp_path: Path, shop: Shop) -> None:
    """SQLite itself refuses to grow the file; with more space a new engine goes on."""
    url = f"sqlite:///{tmp_path}/journal.db"
    async with EmbeddedEngine(url, sagas=[Purchase], participants={"shop": shop}, grace=timedelta(0)) as engine:
        connection = engine._open._writer._appender._connection  # type: ignore[union-attr]
        pages = connection.execute("PRAGMA page_count").fetchone()[0]  # type: ignore[attr-defined]
        connection.execute(f"PRAGMA max_page_count = {pages + 8}").fetchone()  # type: ignore[attr-defined]
        acknowledged = []
        with pytest.raises(JournalWriteError, match="full"):
            for number in range(10_000):
                await engine.start(Purchase, 3, id=f"p-{number}")
                acknowledged.append(f"p-{number}")
        with pytest.raises(JournalWriteError):
            await engine.start(Purchase, 1, id="one-more")
    async with EmbeddedEngine(url, sagas=[Purchase], participants={"shop": shop}) as engine:
        for id in acknowledged:
            assert len(await engine.run(Purchase, 3, id=id)) == 5
    assert len(acknowledged) > 3
    check_order(_journals(tmp_path))


@pytest.mark.peer("DBO-39")
async def test_a_connection_that_the_server_ends(postgres_url: str, shop: Shop) -> None:
    """As when PostgreSQL is restarted: nothing was committed on it, so it is written on another one."""
    import psycopg  # noqa: PLC0415 - only where there is a server
    from sqlalchemy import make_url  # noqa: PLC0415 - as above

    gate = asyncio.Event()
    shop.before["book.2"] = [waits_for(gate)]
    async with EmbeddedEngine(postgres_url, sagas=[Purchase], participants={"shop": shop}) as engine:
        handle = await engine.start(Purchase, 3, id="p-1")
        await until_delivered(shop, "p-1/book.2")
        waiting = asyncio.create_task(handle.result())
        address = make_url(postgres_url).set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        assert len(await asyncio.wait_for(engine.run(Purchase, 1, id="p-2"), 4 * SOON)) == 3
        gate.set()
        assert len(await asyncio.wait_for(waiting, 4 * SOON)) == 5
    assert shop.repeated == set()


async def test_others_take_over_at_once_from_an_engine_whose_flush_failed(tmp_path: Path, shop: Shop) -> None:
    """It gives no sign of life any more, although nobody has closed it yet."""
    machine = Armed()
    url = f"sqlite:///{tmp_path}/journal.db"
    shop.before["book.1"] = [hangs]
    with running_on(machine):
        async with EmbeddedEngine(url, sagas=[Purchase], participants={"shop": shop}, grace=timedelta(0)) as engine:
            handle = await engine.start(Purchase, 1, id="p-1")
            machine.armed = lambda write, at: error_of("ENOSPC") if write == "flush" else None
            with pytest.raises(JournalWriteError):
                await handle.cancel()
            lease = timedelta(seconds=0.4)
            async with EmbeddedEngine(url, sagas=[Purchase], participants={"shop": shop}, lease=lease) as other:
                taken = await other.get(Purchase, "p-1")
                assert len(await asyncio.wait_for(taken.result(), SOON)) == 3


@pytest.mark.parametrize("write", ["heartbeat", "claim"])
async def test_an_engine_that_cannot_join_says_so_and_can_be_entered_again(
    tmp_path: Path, shop: Shop, write: str
) -> None:
    """Nothing stays behind that would keep the next one from taking over."""
    machine = Armed()
    url = f"sqlite:///{tmp_path}/journal.db"
    shop.before["book.1"] = [hangs]
    async with EmbeddedEngine(url, sagas=[Purchase], participants={"shop": shop}, grace=timedelta(0)) as engine:
        await engine.start(Purchase, 1, id="p-1")
    with running_on(machine):
        engine = EmbeddedEngine(url, sagas=[Purchase], participants={"shop": shop})
        machine.armed = lambda what, at: error_of("EIO") if (what, at) == (write, "before commit") else None
        with pytest.raises(JournalError):
            await engine.__aenter__()
        async with engine:
            assert len(await engine.run(Purchase, 1, id="p-1")) == 3


async def test_what_was_claimed_and_could_not_be_read_is_read_later(
    make_engine: MakeEngine, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An instance that this engine owns is not forgotten because the journal did not answer once."""
    shop.before["book.1"] = [hangs]
    async with make_engine(lease=timedelta(seconds=0.4)) as engine:
        store = engine._open.store  # type: ignore[union-attr]
        load, failures = store.load_open, [JournalError("it does not answer")]

        def fails_once(claims: Any) -> Any:
            if claims and failures:
                raise failures.pop()
            return load(claims)

        monkeypatch.setattr(store, "load_open", fails_once)
        async with make_engine(grace=timedelta(0)) as other:
            await other.start(Purchase, 1, id="p-1")
        handle: SagaHandle[list[str]] = await engine.get(Purchase, "p-1")
        assert len(await asyncio.wait_for(handle.result(), SOON)) == 3
    assert failures == []


async def test_an_engine_that_is_left_while_its_journal_is_away(tmp_path: Path, shop: Shop) -> None:
    """It is left all the same; the others wait for the lease."""
    machine = Armed()
    with running_on(machine):
        async with EmbeddedEngine(
            f"sqlite:///{tmp_path}/journal.db", sagas=[Purchase], participants={"shop": shop}
        ) as engine:
            await engine.run(Purchase, 1, id="p-1")
            machine.armed = lambda write, at: error_of("EIO") if write == "heartbeat" else None
    with pytest.raises(EngineClosedError):
        await engine.run(Purchase, 1, id="p-1")


async def _all(handle: SagaHandle[Any]) -> list[str]:
    return [fact.fact async for fact in handle.facts()]


def _journals(folder: Path) -> Any:
    from tests.embedded._crash import World  # noqa: PLC0415
    from tests.embedded._topologies import SEQUENCES  # noqa: PLC0415

    return World(SEQUENCES[0], folder / "journal.db").journals()
