"""Leaving an engine: what runs may end, nothing is recorded for it, and the next engine goes on (S6)."""

from __future__ import annotations

import asyncio
import gc
from datetime import timedelta

import pytest

from saga.embedded._drive import Drive
from saga.errors import EngineClosedError
from saga.kernel import _facts as f
from tests.embedded._shop import Purchase, Shop, hangs, until_delivered, waits_for
from tests.embedded.conftest import MakeEngine


@pytest.mark.peer("TFE-23")
async def test_an_activity_that_ends_within_the_grace_is_recorded(make_engine: MakeEngine, shop: Shop) -> None:
    """The step after it is registered and left to the next engine."""
    gate = asyncio.Event()
    shop.before["book.1"] = [waits_for(gate)]
    async with make_engine(grace=timedelta(seconds=20)) as engine:
        await engine.start(Purchase, 1, id="p-1")
        await until_delivered(shop, "p-1/book.1")
        asyncio.get_running_loop().call_later(0.02, gate.set)
    assert shop.deliveries == ["p-1/book.1"]
    async with make_engine() as engine:
        handle = await engine.get(Purchase, "p-1")
        await handle.result()
        facts = [fact.fact async for fact in handle.facts()]
    assert facts[:5] == ["SagaStarted", "CallRegistered", "CallDone", "CallRegistered", "Resumed"]
    assert shop.repeated == set()


async def test_a_deaf_activity_is_left_and_nothing_is_recorded(make_engine: MakeEngine, shop: Shop) -> None:
    """Not even when it ends after all, while the next engine drives the instance."""
    deaf = asyncio.Event()

    async def ignores_everything() -> None:
        while not deaf.is_set():
            try:
                await deaf.wait()
            except asyncio.CancelledError:
                continue

    shop.before["book.1"] = [ignores_everything, hangs]
    async with make_engine(grace=timedelta(0)) as engine:
        await engine.start(Purchase, 1, id="p-1")
        await until_delivered(shop, "p-1/book.1")
    async with make_engine(grace=timedelta(0)) as engine:
        handle = await engine.get(Purchase, "p-1")
        await until_delivered(shop, "p-1/book.1", times=2)
        deaf.set()
        await asyncio.sleep(0.02)
        facts = (await handle.view()).facts
        assert facts == 3
    async with make_engine() as engine:
        handle = await engine.get(Purchase, "p-1")
        await handle.result()
        assert [fact.fact async for fact in handle.facts()].count("CallDone") == 3


async def test_an_activity_that_makes_something_else_of_its_end_is_not_tried_again(
    make_engine: MakeEngine, shop: Shop
) -> None:
    """The engine is closed: it performs nothing any more."""

    async def turns() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError("closed") from None

    shop.before["book.1"] = [turns]
    async with make_engine(grace=timedelta(0)) as engine:
        await engine.start(Purchase, 1, id="p-1")
        await until_delivered(shop, "p-1/book.1")
    await asyncio.sleep(0.05)
    assert shop.deliveries == ["p-1/book.1"]


async def test_nothing_is_recorded_for_leaving(make_engine: MakeEngine, shop: Shop) -> None:
    """The journal is the same before and after; the next engine writes that it took over, and from whom."""
    shop.before["book.1"] = [hangs]
    async with make_engine(grace=timedelta(0)) as engine:
        handle = await engine.start(Purchase, 1, id="p-1")
        await until_delivered(shop, "p-1/book.1")
        before = (await handle.view()).facts
    async with make_engine() as engine:
        handle = await engine.get(Purchase, "p-1")
        await handle.result()
        facts = [fact async for fact in handle.facts()]
    resumed = facts[before]
    assert isinstance(resumed, f.Resumed)
    assert (resumed.epoch, resumed.crashed) == (2, None)


@pytest.mark.parametrize("way", ["run", "result"])
async def test_whoever_waits_when_the_engine_is_closed_is_told_so(
    make_engine: MakeEngine, shop: Shop, way: str
) -> None:
    """The saga is not lost, and the caller does not hang."""
    shop.before["book.1"] = [hangs]
    engine = make_engine(grace=timedelta(0))
    async with engine:
        if way == "run":
            waiting = asyncio.create_task(engine.run(Purchase, 1, id="p-1"))
        else:
            handle = await engine.start(Purchase, 1, id="p-1")
            waiting = asyncio.create_task(handle.result())
        await until_delivered(shop, "p-1/book.1")
    with pytest.raises(EngineClosedError):
        await waiting


@pytest.mark.parametrize("durable", [True, False])
async def test_a_start_that_meets_the_end_is_acknowledged_only_if_it_is_durable(
    make_engine: MakeEngine,
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
    durable: bool,
) -> None:
    """Nobody is told that it was started if the next engine does not find it."""
    engine = make_engine(grace=timedelta(0))
    async with engine:
        stage = engine._open.stage  # type: ignore[union-attr]
        if not durable:
            monkeypatch.setattr(stage, "submit", lambda *_: None)
        starting = asyncio.create_task(engine.start(Purchase, 1, id="p-1"))
        await asyncio.sleep(0)
    try:
        acknowledged = (await starting).id == "p-1"
    except EngineClosedError as error:
        assert "may have been started or not" in str(error)
        acknowledged = False
    assert durable or not acknowledged
    async with make_engine() as engine:
        found = [one.id async for one in engine.list()]
        assert found == (["p-1"] if durable else [])


async def test_a_closing_engine_takes_no_new_work(make_engine: MakeEngine, shop: Shop) -> None:
    """Its callers have to go elsewhere."""
    gate = asyncio.Event()
    shop.before["book.1"] = [waits_for(gate)]
    engine = make_engine(grace=timedelta(seconds=20))
    async with engine:
        handle = await engine.start(Purchase, 1, id="p-1")
        await until_delivered(shop, "p-1/book.1")
        opened = engine._open
        assert opened is not None
        leaving = asyncio.create_task(engine.__aexit__(None, None, None))
        await asyncio.sleep(0.01)
        with pytest.raises(EngineClosedError):
            await engine.start(Purchase, 1, id="p-2")
        with pytest.raises(EngineClosedError):
            await handle.cancel()
        gate.set()
        await leaving


async def test_a_second_cancellation_ends_the_grace_and_closes_everything(make_engine: MakeEngine, shop: Shop) -> None:
    """Whoever is in a hurry need not wait, and the next engine need not either."""
    shop.before["book.1"] = [hangs]

    async def work() -> None:
        async with make_engine(grace=timedelta(hours=1)) as engine:
            await engine.run(Purchase, 1, id="p-1")

    working = asyncio.create_task(work())
    await until_delivered(shop, "p-1/book.1")
    working.cancel()
    await asyncio.sleep(0.02)
    assert not working.done()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    async with make_engine() as engine:
        assert len(await engine.run(Purchase, 1, id="p-1")) == 3


@pytest.mark.parametrize("cancelled_at", ["start", "run", "result"])
async def test_cancelling_a_caller_changes_nothing(make_engine: MakeEngine, shop: Shop, cancelled_at: str) -> None:
    """The saga runs on; another caller gets its result."""
    gate = asyncio.Event()
    shop.before["book.1"] = [waits_for(gate)]
    async with make_engine() as engine:
        if cancelled_at == "result":
            handle = await engine.start(Purchase, 1, id="p-1")
            waiting = asyncio.create_task(handle.result())
        elif cancelled_at == "run":
            waiting = asyncio.create_task(engine.run(Purchase, 1, id="p-1"))
            await until_delivered(shop, "p-1/book.1")
        else:
            waiting = asyncio.create_task(engine.start(Purchase, 1, id="p-1"))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await until_delivered(shop, "p-1/book.1")
        gate.set()
        assert len(await engine.run(Purchase, 1, id="p-1")) == 3
        handle = await engine.get(Purchase, "p-1")
        assert (await handle.view()).acts == ()
    assert shop.repeated == set()


async def test_an_error_in_the_block_closes_the_engine(make_engine: MakeEngine, shop: Shop) -> None:
    """And is raised."""
    shop.before["book.1"] = [hangs]
    with pytest.raises(ZeroDivisionError):
        async with make_engine(grace=timedelta(0)) as engine:
            await engine.start(Purchase, 1, id="p-1")
            await until_delivered(shop, "p-1/book.1")
            raise ZeroDivisionError
    async with make_engine() as engine:
        assert len(await engine.run(Purchase, 1, id="p-1")) == 3


async def test_heartbeats_go_on_during_the_grace(make_engine: MakeEngine, shop: Shop) -> None:
    """Nobody takes an instance over while its last activity is still given time."""
    gate = asyncio.Event()
    shop.before["book.1"] = [waits_for(gate)]
    lease = timedelta(seconds=0.4)
    async with make_engine(lease=lease) as other:
        engine = make_engine(lease=lease, grace=timedelta(seconds=20))
        await engine.__aenter__()
        await engine.start(Purchase, 1, id="p-1")
        await until_delivered(shop, "p-1/book.1")
        leaving = asyncio.create_task(engine.__aexit__(None, None, None))
        await asyncio.sleep(0.9)
        gate.set()
        await leaving
        assert len(await (await other.get(Purchase, "p-1")).result()) == 3
    assert shop.repeated == set()


async def test_instances_that_ended_are_forgotten(make_engine: MakeEngine, shop: Shop) -> None:
    """Neither the engine nor a cycle of references keeps them."""
    gc.collect()
    gc.disable()
    try:
        async with make_engine() as engine:
            before = sum(isinstance(one, Drive) for one in gc.get_objects())
            await asyncio.gather(*(engine.run(Purchase, 1, id=f"p-{number}") for number in range(20)))
            await engine.run(Purchase, 1, id="p-20")  # the writer knows of its last flush until the next
            await asyncio.sleep(0)  # its drive ends one turn after the caller was told
            await asyncio.sleep(0)
            assert engine._open.stage.drives == {}  # type: ignore[union-attr]
            assert sum(isinstance(one, Drive) for one in gc.get_objects()) <= before + 2
    finally:
        gc.enable()
