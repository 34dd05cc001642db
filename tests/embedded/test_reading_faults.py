"""A journal that cannot be read for a moment, or an instance that cannot: tried again, and nothing stays behind."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from saga import EmbeddedEngine, SagaState, kernel
from saga.embedded import _resuming
from saga.embedded._patience import patiently
from saga.embedded._store import Store
from saga.errors import JournalCorruptError, JournalError, JournalLockedError
from saga.kernel import _facts as f
from tests.embedded._shop import Booking, Journey, Purchase, Shop, hangs, until_delivered, waits_for
from tests.embedded.conftest import MakeEngine

SOON = 15


class Failing:
    """Lets some reads of an engine's store fail first."""

    def __init__(self, engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
        assert engine._open is not None
        self.store: Store = engine._open.store
        self._patch = monkeypatch
        self.failed = 0

    def reads(self, name: str, times: int, *, only: Callable[[Any], bool] = lambda _: True) -> None:
        """Let the next reads of one kind fail."""
        real = getattr(self.store, name)
        self.failed = 0

        def read(what: Any, **kwargs: Any) -> Any:
            if only(what) and self.failed < times:
                self.failed += 1
                raise JournalLockedError("another process holds it")
            return real(what, **kwargs)

        self._patch.setattr(self.store, name, read)


async def test_a_parent_bears_it_that_its_child_cannot_be_looked_for(
    make_engine: MakeEngine, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look is repeated; the child starts once."""
    async with make_engine() as engine:
        failing = Failing(engine, monkeypatch)
        failing.reads("get", 2, only=lambda id: "~" in id)
        assert len(await asyncio.wait_for(engine.run(Journey, 1, id="j-1"), SOON)) == 2
    assert failing.failed == 2
    assert shop.repeated == set()


async def test_a_caller_bears_it_that_an_instance_cannot_be_looked_at(
    make_engine: MakeEngine, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that another engine drives."""
    gate = asyncio.Event()
    shop.before["book.1"] = [waits_for(gate)]
    async with make_engine() as engine, make_engine() as other:
        await engine.start(Booking, 1, id="b-1")
        handle = await other.get(Booking, "b-1")
        failing = Failing(other, monkeypatch)
        failing.reads("load", 2)
        waiting = asyncio.create_task(handle.result())
        await until_delivered(shop, "b-1/book.1")
        gate.set()
        assert await asyncio.wait_for(waiting, SOON) == ["b-1/book.1"]
    assert failing.failed == 2


async def test_a_drive_that_failed_is_taken_up_again(
    make_engine: MakeEngine, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it takes: under a new epoch, so that nothing of the former drive is written any more."""
    monkeypatch.setattr("saga.embedded._patience._PAUSES", ())
    shop.before["pay.1"] = [hangs]
    async with make_engine(grace=timedelta(0)) as engine:
        failing = Failing(engine, monkeypatch)
        failing.reads("get", 3, only=lambda id: "~" in id)
        handle = await engine.start(Journey, 1, id="j-1")
        await asyncio.wait_for(until_delivered(shop, "j-1/pay.1"), SOON)
        resumed = [fact for fact in (await engine._open.stage.journals.journal("j-1")) if isinstance(fact, f.Resumed)]  # type: ignore[union-attr]
        assert [(fact.epoch, fact.crashed) for fact in resumed] == [(2, None), (3, None), (4, None)]
        assert (await handle.view()).state is SagaState.RUNNING
        assert engine._open.stage.broken == {}  # type: ignore[union-attr]
    assert shop.effects == {"j-1~booking.1/book.1": 1}


async def test_whoever_waits_for_a_broken_drive_is_served_by_the_next(
    make_engine: MakeEngine, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read that failed is not their concern."""
    monkeypatch.setattr("saga.embedded._patience._PAUSES", ())
    async with make_engine() as engine:
        failing = Failing(engine, monkeypatch)
        failing.reads("get", 2, only=lambda id: "~" in id)
        assert len(await asyncio.wait_for(engine.run(Journey, 1, id="j-1"), SOON)) == 2


async def test_an_instance_that_could_not_be_resumed_is_tried_again(
    make_engine: MakeEngine, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without another claim: whatever fails before anything was written counts as no crash of anybody."""
    shop.before["book.1"] = [hangs]
    async with make_engine(grace=timedelta(0)) as engine:
        await engine.start(Purchase, 1, id="p-1")
    real, errors = kernel.resume, [RuntimeError("a bug of today")] * 3

    def resume(*args: Any, **kwargs: Any) -> Any:
        if errors:
            raise errors.pop()
        return real(*args, **kwargs)

    monkeypatch.setattr(_resuming, "resume", resume)
    async with make_engine() as engine:
        handle = await engine.get(Purchase, "p-1")
        while engine._open.stage.broken:  # type: ignore[union-attr]
            await asyncio.sleep(0.02)
        assert len(await asyncio.wait_for(handle.result(), SOON)) == 3
        resumed = [fact async for fact in handle.facts() if isinstance(fact, f.Resumed)]
    assert [fact.epoch for fact in resumed] == [2]


async def test_an_instance_that_somebody_starts_again_is_tried_again_too(
    make_engine: MakeEngine, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its id exists, so the start changes nothing about it: not even that this engine has to drive it."""
    shop.before["book.1"] = [hangs]
    async with make_engine(grace=timedelta(0)) as engine:
        await engine.start(Purchase, 1, id="p-1")
    real = kernel.resume
    monkeypatch.setattr(_resuming, "resume", lambda *_, **__: 1 / 0)
    async with make_engine() as engine:
        handle = await engine.start(Purchase, 1, id="p-1")
        monkeypatch.setattr(_resuming, "resume", real)
        while (await handle.view()).state is not SagaState.COMPLETED:
            await asyncio.sleep(0.02)
        assert engine._open.stage.broken == {}  # type: ignore[union-attr]


async def test_a_damaged_journal_is_one_line_in_the_log(
    tmp_path: Path, shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    """It names the instance and says what to do, once, however often it is tried."""
    url = f"sqlite:///{tmp_path}/journal.db"
    shop.before["pay.1"] = [hangs]
    async with EmbeddedEngine(url, sagas=[Purchase], participants={"shop": shop}, grace=timedelta(0)) as engine:
        await engine.start(Purchase, 1, id="p-1")
        await until_delivered(shop, "p-1/pay.1")
    with sqlite3.connect(f"{tmp_path}/journal.db") as connection:
        connection.execute("UPDATE saga_facts SET body = '{' WHERE seq = 2")
    connection.close()
    tries = 0
    with caplog.at_level(logging.WARNING):
        async with EmbeddedEngine(url, sagas=[Purchase], participants={"shop": shop}) as engine:
            stage = engine._open.stage  # type: ignore[union-attr]
            resume = stage.resume

            async def counted(loaded: Any) -> None:
                nonlocal tries
                tries += 1
                await resume(loaded)

            stage.resume = counted  # type: ignore[method-assign]
            while tries < 2:
                await asyncio.sleep(0.02)
            with pytest.raises(JournalCorruptError):
                await (await engine.get(Purchase, "p-1")).result()
    [record] = [record for record in caplog.records if record.name.startswith("saga")]
    assert (record.levelname, record.exc_info) == ("ERROR", None)
    text = record.getMessage()
    assert "Purchase p-1" in text
    assert "restore the journal from a backup" in text
    assert "\n" not in text


async def test_a_request_that_fails_in_an_unforeseen_way_is_answered(
    make_engine: MakeEngine, shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever asked is told, the log names the instance, and the next request is served."""
    shop.before["book.1"] = [hangs]
    async with make_engine() as engine, make_engine() as other:
        await engine.start(Booking, 1, id="b-1")
        await until_delivered(shop, "b-1/book.1")
        journals = engine._open.stage.journals  # type: ignore[union-attr]
        with monkeypatch.context() as patch:
            patch.setattr(journals, "hand_over", _bug)
            with pytest.raises(Exception, match="could not act on this.*ZeroDivisionError"):
                await asyncio.wait_for((await other.get(Booking, "b-1")).cancel(by="anna"), SOON)
        assert "b-1" in caplog.text
        await asyncio.wait_for((await other.get(Booking, "b-1")).cancel(by="anna"), SOON)
        view = await (await other.get(Booking, "b-1")).view()
    assert view.reason == "cancelled"


async def _bug(*_: object) -> bool:
    raise ZeroDivisionError


async def test_signs_of_life_go_on_after_an_unforeseen_error(make_engine: MakeEngine, shop: Shop) -> None:
    """One beat that failed in whatever way is not the last."""
    beats: list[int] = []
    async with make_engine(lease=timedelta(seconds=0.4)) as engine:
        ownership = engine._open._ownership  # type: ignore[union-attr]
        beat = ownership.beat

        def fails_first() -> bool:
            beats.append(1)
            if len(beats) == 1:
                raise ZeroDivisionError
            return beat()

        ownership.beat = fails_first  # type: ignore[method-assign]
        while len(beats) < 3:
            await asyncio.sleep(0.02)
        assert len(await engine.run(Purchase, 1, id="p-1")) == 3


async def test_a_start_that_exists_reads_no_journal(make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it has become: the hash of the request says whether it is the same (S14)."""
    async with make_engine() as engine:
        result = await engine.run(Purchase, 1, id="p-1")
    async with make_engine() as engine:
        store = engine._open.store  # type: ignore[union-attr]
        loaded: list[str] = []
        load = store.load

        def noted(id: str, **kwargs: Any) -> Any:
            loaded.append(id)
            return load(id, **kwargs)

        monkeypatch.setattr(store, "load", noted)
        handle = await engine.start(Purchase, 1, id="p-1")
        assert loaded == []
        assert await handle.result() == result


async def test_a_read_that_fails_for_good_is_not_repeated() -> None:
    """What is damaged stays damaged."""
    tries: list[int] = []

    def damaged() -> None:
        tries.append(1)
        raise JournalCorruptError("damaged")

    with pytest.raises(JournalCorruptError):
        await patiently(damaged)
    assert len(tries) == 1

    def away() -> None:
        tries.append(1)
        if len(tries) < 4:
            raise JournalError("away")

    await patiently(away)
    assert len(tries) == 4
