"""Bugs in `run`, code that was fixed or changed meanwhile, and journals of other versions (S3, S15)."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from saga import EmbeddedEngine, SagaCompensatedError, SagaState, SagaStuckError
from saga.errors import JournalOrderError, JournalVersionError
from saga.kernel import Reason
from tests.embedded._shop import Booking, Purchase, Shop, hangs, until_delivered, waits_for
from tests.embedded.conftest import MakeEngine

WHO: dict[str, Any] = {"by": "olga", "why": "deployed a fix"}

Program = Callable[[Any, int], Awaitable[list[str]]]


def version(program: Program, base: type = Purchase) -> type:
    """Return a class named Order whose `run` is `program`: one version of the code."""

    class Order(base):  # type: ignore[misc]
        async def run(self, bookings: int) -> list[str]:
            return await program(self, bookings)

    return Order


async def broken(saga: Purchase, bookings: int) -> list[str]:
    """Book, then fall over."""
    key = await saga.book(0)
    raise KeyError(key)


async def fixed(saga: Purchase, bookings: int) -> list[str]:
    """Book, then pay."""
    return [await saga.book(0), await saga.pay(0)]


@pytest.mark.peer("DBO-33")
async def test_a_bug_moves_no_money_and_fixed_code_goes_on(make_engine: MakeEngine, shop: Shop) -> None:
    """STUCK with the traceback; with new code and a retry it ends as if nothing had been."""
    old, new = version(broken), version(fixed)
    async with make_engine(sagas=[old]) as engine:
        with pytest.raises(SagaStuckError, match="run raised KeyError") as caught:
            await engine.run(old, 1, id="o-1")
        assert "raise KeyError(key)" in str(caught.value)
        assert shop.effects == {"o-1/book.1": 1}
    async with make_engine(sagas=[new]) as engine:
        handle = await engine.get(new, "o-1")
        with pytest.raises(SagaStuckError):
            await handle.result()
        await handle.retry(**WHO)
        assert await handle.result() == ["o-1/book.1", "o-1/pay.1"]
    assert shop.repeated == set()


async def test_a_retry_with_the_same_bug_is_stuck_again(make_engine: MakeEngine, shop: Shop) -> None:
    """The caller who waits after the retry hears of the new end, not of the old one."""
    old = version(broken)
    async with make_engine(sagas=[old]) as engine:
        handle = await engine.start(old, 1, id="o-1")
        with pytest.raises(SagaStuckError):
            await handle.result()
        before = (await handle.view()).facts
        await handle.retry(**WHO)
        with pytest.raises(SagaStuckError):
            await handle.result()
        assert (await handle.view()).facts == before + 3
        await handle.abort(by="olga", why="hopeless")
        with pytest.raises(SagaCompensatedError, match="aborted"):
            await handle.result()
    assert shop.effects == {}


async def test_a_retry_waits_for_what_still_runs(make_engine: MakeEngine, shop: Shop) -> None:
    """The other call's outcome is journaled before `run` is replayed, and the call is not made again."""
    gate = asyncio.Event()
    shop.before["book.2"] = [waits_for(gate)]
    fine: list[bool] = []

    async def sometimes(saga: Purchase, bookings: int) -> list[str]:
        both = [asyncio.create_task(saga.book(number)) for number in range(2)]
        first = await both[0]
        if not fine:
            raise KeyError(first)
        return [first, await both[1], await saga.pay(0)]

    saga = version(sometimes)
    async with make_engine(sagas=[saga]) as engine:
        handle = await engine.start(saga, 1, id="o-1")
        with pytest.raises(SagaStuckError):
            await handle.result()
        await until_delivered(shop, "o-1/book.2")
        fine.append(True)
        await handle.retry(**WHO)
        waiting = asyncio.create_task(handle.result())
        await asyncio.sleep(0.02)
        assert not waiting.done()
        gate.set()
        assert await waiting == ["o-1/book.1", "o-1/book.2", "o-1/pay.1"]
    assert shop.repeated == set()


async def test_requests_during_a_replay_are_not_lost(
    make_engine: MakeEngine, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They wait until the instance is driven again, and neither hangs nor hits the former execution."""
    import threading  # noqa: PLC0415

    shop.before["pay.1"] = [hangs]
    release = threading.Event()
    fine: list[bool] = []

    async def sometimes(saga: Purchase, bookings: int) -> list[str]:
        key = await saga.book(0)
        if not fine:
            raise KeyError(key)
        return [key, await saga.book(0)]

    saga = version(sometimes)
    async with make_engine(sagas=[saga]) as engine:
        handle = await engine.start(saga, 1, id="o-1")
        with pytest.raises(SagaStuckError):
            await handle.result()
        store = engine._open.store  # type: ignore[union-attr]
        load, loading = store.load, threading.Event()

        def slow(*args: Any, **options: Any) -> Any:  # as the store's
            loading.set()
            release.wait(10)
            return load(*args, **options)

        monkeypatch.setattr(store, "load", slow)
        shop.before["book.2"] = [hangs]
        fine.append(True)
        await handle.retry(**WHO)
        await asyncio.to_thread(loading.wait, 10)
        cancelling = asyncio.create_task(handle.cancel())
        await asyncio.sleep(0.02)
        monkeypatch.undo()
        release.set()
        await cancelling
        with pytest.raises(SagaCompensatedError, match="cancelled"):
            await handle.result()
    assert shop.effects == {}


@pytest.mark.peer("DBO-35", "RST-11")
@pytest.mark.parametrize("change", ["another step", "another input", "another order", "a step less"])
async def test_code_that_does_not_fit_is_stuck_with_the_first_difference(
    make_engine: MakeEngine, shop: Shop, change: str
) -> None:
    """Nothing is called, the page shows both sides, and with the old code it goes on."""
    shop.before["pay.1"] = [hangs]

    async def old_code(saga: Purchase, bookings: int) -> list[str]:
        return [await saga.book(0), await saga.book(1), await saga.pay(0)]

    async def new_code(saga: Purchase, bookings: int) -> list[str]:
        if change == "another step":
            await saga.look(0)
        if change == "another input":
            return [await saga.book(7), await saga.book(1), await saga.pay(0)]
        if change == "a step less":
            return [await saga.book(0), await saga.pay(0)]
        return [await saga.pay(0), await saga.book(0), await saga.book(1)]

    old, new = version(old_code), version(new_code)
    async with make_engine(sagas=[old], grace=timedelta(0)) as engine:
        await engine.start(old, 1, id="o-1")
        await until_delivered(shop, "o-1/pay.1")
    delivered = list(shop.deliveries)
    async with make_engine(sagas=[new]) as engine:
        handle = await engine.get(new, "o-1")
        with pytest.raises(SagaStuckError, match="does not fit its journal"):
            await handle.result()
        view = await handle.view()
        [reason] = view.stuck
        assert (reason.reason, reason.failure.type) == (Reason.MISMATCH, "ReplayMismatchError")  # type: ignore[union-attr]
        assert "the journal holds  call book." in reason.failure.message  # type: ignore[union-attr]
        assert [one.state async for one in engine.list()] == [SagaState.STUCK]
    assert shop.deliveries == delivered
    async with make_engine(sagas=[old]) as engine:
        handle = await engine.get(old, "o-1")
        await handle.retry(**WHO)
        assert len(await handle.result()) == 3
        assert [one.state async for one in engine.list()] == [SagaState.COMPLETED]


async def test_a_step_that_recovery_needs_and_the_class_has_lost_is_a_mismatch(
    make_engine: MakeEngine, shop: Shop
) -> None:
    """Backward recovery does not run `run`; it still needs the compensation."""
    shop.before["book.1/compensation"] = [hangs]
    shop.before["book.2"] = [hangs]
    async with make_engine(sagas=[Booking], grace=timedelta(0)) as engine:
        handle = await engine.start(Booking, 2, id="b-1")
        await until_delivered(shop, "b-1/book.2")
        await handle.cancel()
        await until_delivered(shop, "b-1/book.1/compensation")

    class Empty(Purchase, name="Booking"):
        book = None  # type: ignore[assignment]

        async def run(self, bookings: int) -> list[str]:
            return []

    async with make_engine(sagas=[Empty]) as engine:
        empty = await engine.get(Empty, "b-1")
        with pytest.raises(SagaStuckError, match="does not fit its journal"):
            await asyncio.wait_for(empty.result(), 5)
    async with make_engine(sagas=[Booking]) as engine:
        handle = await engine.get(Booking, "b-1")
        await handle.retry(**WHO)
        with pytest.raises(SagaCompensatedError):
            await handle.result()
    assert shop.effects == {}


@pytest.mark.peer("DBO-36")
async def test_a_saga_that_nobody_runs_is_left_alone(make_engine: MakeEngine, shop: Shop) -> None:
    """An engine of other sagas neither takes it over nor touches it."""
    shop.before["book.1"] = [hangs]
    async with make_engine(grace=timedelta(0)) as engine:
        handle = await engine.start(Purchase, 1, id="p-1")
        await until_delivered(shop, "p-1/book.1")
        before = (await handle.view()).facts
    async with make_engine(sagas=[Booking]) as other:
        assert (await (await other.get(Purchase, "p-1")).view()).facts == before
    async with make_engine() as engine:
        assert len(await engine.run(Purchase, 1, id="p-1")) == 3


async def test_facts_of_a_newer_version_are_an_error_for_whoever_waits(
    tmp_path: Path, shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    """The engine drives the other instances, and says which version is needed; nothing is overwritten."""
    url = f"sqlite:///{tmp_path}/journal.db"
    shop.before["pay.1"] = [hangs]
    async with EmbeddedEngine(url, sagas=[Purchase], participants={"shop": shop}, grace=timedelta(0)) as engine:
        await engine.start(Purchase, 1, id="p-1")
        await until_delivered(shop, "p-1/pay.1")
    with sqlite3.connect(f"{tmp_path}/journal.db") as connection:
        connection.execute("""UPDATE saga_facts SET body = '{"fact": "Teleported", "at": 0}' WHERE seq = 2""")
    connection.close()
    async with EmbeddedEngine(url, sagas=[Purchase], participants={"shop": shop}) as engine:
        assert "an instance cannot be resumed" in caplog.text
        handle = await engine.get(Purchase, "p-1")
        for waiting in (handle.result(), handle.cancel(), anext(handle.facts()), engine.run(Purchase, 1, id="p-1")):
            with pytest.raises(JournalVersionError, match="run the version that wrote it"):
                await asyncio.wait_for(waiting, 5)  # type: ignore[arg-type]
        assert len(await engine.run(Purchase, 1, id="p-2")) == 3


async def test_a_journal_that_was_changed_by_hand_is_an_error(tmp_path: Path, shop: Shop) -> None:
    """Facts that cannot follow each other drive nothing."""
    url = f"sqlite:///{tmp_path}/journal.db"
    shop.before["pay.1"] = [hangs]
    async with EmbeddedEngine(url, sagas=[Purchase], participants={"shop": shop}, grace=timedelta(0)) as engine:
        await engine.start(Purchase, 1, id="p-1")
        await until_delivered(shop, "p-1/pay.1")
    delivered = list(shop.deliveries)
    with sqlite3.connect(f"{tmp_path}/journal.db") as connection:
        connection.execute("UPDATE saga_facts SET body = (SELECT body FROM saga_facts WHERE seq = 3) WHERE seq = 2")
    connection.close()
    async with EmbeddedEngine(url, sagas=[Purchase], participants={"shop": shop}) as engine:
        handle = await engine.get(Purchase, "p-1")
        with pytest.raises(JournalOrderError, match="not in order"):
            await asyncio.wait_for(handle.result(), 5)
    assert shop.deliveries == delivered
