"""Listing instances page by page with filters, purging them, and keeping them for a while."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from saga import SagaCompensatedError, SagaState, SagaStuckError
from saga.embedded import EmbeddedEngine
from saga.errors import UnknownSagaError
from tests.embedded._shop import Booking, Journey, Purchase, Shop, SoldOutError, waits_for
from tests.embedded.conftest import MakeEngine

NOTHING = timedelta(0)


async def ids(engine: EmbeddedEngine, **wanted: object) -> list[str]:
    """Ids in the order in which they are listed."""
    return [summary.id async for summary in engine.list(**wanted)]  # type: ignore[arg-type]  # as the test says


async def test_instances_are_listed_newest_first(make_engine: MakeEngine) -> None:
    """A summary tells id, saga, state, times and parent."""
    async with make_engine() as engine:
        before = datetime.now(UTC)
        for number in range(3):
            await engine.run(Purchase, 0, id=f"p-{number}")
        found = [summary async for summary in engine.list()]
    assert [one.id for one in found] == ["p-2", "p-1", "p-0"]
    assert {(one.saga, one.state, one.parent) for one in found} == {("Purchase", SagaState.COMPLETED, None)}
    assert all(before - timedelta(seconds=1) <= one.started_at <= one.changed_at for one in found)


async def test_pages_are_seamless(make_engine: MakeEngine) -> None:
    """More instances than a page holds are listed once each, and a limit cuts off in the middle of a page."""
    async with make_engine() as engine:
        await asyncio.gather(*(engine.run(Booking, 0, id=f"b-{number:03}") for number in range(205)))
        everything = await ids(engine)
        assert sorted(everything) == [f"b-{number:03}" for number in range(205)]
        assert await ids(engine, limit=130) == everything[:130]
        assert await ids(engine, limit=100) == everything[:100]


async def test_filters_hold_together(make_engine: MakeEngine, shop: Shop) -> None:
    """By saga, as class or name, by states, by how the id begins, by when it started."""
    shop.before["pay.1"] = [SoldOutError("no")]
    async with make_engine() as engine:
        with pytest.raises(SagaCompensatedError):
            await engine.run(Purchase, 1, id="a-1")
        middle = datetime.now(UTC)
        await engine.run(Purchase, 1, id="a_2")
        await engine.run(Journey, 1, id="b-1")

        assert await ids(engine, saga=Purchase) == await ids(engine, saga="Purchase") == ["a_2", "a-1"]
        assert await ids(engine, states=[SagaState.COMPENSATED]) == ["a-1"]
        assert await ids(engine, states=[SagaState.COMPENSATED, SagaState.STUCK]) == ["a-1"]
        assert await ids(engine, id_prefix="a_") == ["a_2"]
        assert await ids(engine, started_before=middle) == ["a-1"]
        assert await ids(engine, started_after=middle, saga=Purchase) == ["a_2"]
        assert await ids(engine, saga="Booking") == ["b-1~booking.1"]


@pytest.mark.parametrize("state", [SagaState.STUCK, SagaState.RUNNING, SagaState.COMPENSATED])
async def test_a_list_shows_the_state_that_the_journal_holds(
    make_engine: MakeEngine, shop: Shop, state: SagaState
) -> None:
    """Also where an instance gets there before its first step, and after another engine took it over."""
    gate = asyncio.Event()
    shop.before["book.1"] = {
        SagaState.RUNNING: [waits_for(gate), waits_for(gate)],
        SagaState.COMPENSATED: [SoldOutError("no")],
        SagaState.STUCK: [],
    }[state]
    request = -1 if state is SagaState.STUCK else 1
    async with make_engine(sagas=[Fragile], grace=NOTHING) as engine:
        handle = await engine.start(Fragile, request, id="f-1")
        if state is not SagaState.RUNNING:
            with pytest.raises((SagaStuckError, SagaCompensatedError)):
                await handle.result()
        assert (await handle.view()).state is state
        assert await ids(engine, states=[state]) == ["f-1"]
    async with make_engine(sagas=[Fragile], grace=NOTHING) as engine:
        assert await ids(engine, states=[state]) == ["f-1"]
        gate.set()


async def test_purge_frees_ids(make_engine: MakeEngine, shop: Shop) -> None:
    """What ended longer ago goes, what is open stays, and an id may be used again."""
    gate = asyncio.Event()
    async with make_engine() as engine:
        await engine.run(Purchase, 1, id="p-1")
        shop.before["book.1"] = [waits_for(gate)]
        running = await engine.start(Purchase, 1, id="p-2")
        await asyncio.sleep(0.005)

        assert (await engine.purge(older_than=timedelta(hours=1))).instances == 0
        assert (await engine.purge(older_than=NOTHING, sagas=[Journey])).instances == 0
        assert (await engine.purge(older_than=NOTHING)).instances == 1
        assert await ids(engine) == ["p-2"]
        with pytest.raises(UnknownSagaError):
            await engine.get(Purchase, "p-1")
        await engine.run(Purchase, 2, id="p-1")
        gate.set()
        await running.result()


async def test_purge_keeps_children_of_open_parents(make_engine: MakeEngine, shop: Shop) -> None:
    """A compensation of the parent may need what they recorded; they go when it has ended (S16)."""
    gate = asyncio.Event()
    shop.before["pay.1"] = [waits_for(gate)]
    async with make_engine() as engine:
        parent = await engine.start(Journey, 1, id="j-1")
        while "j-1/pay.1" not in shop.deliveries:
            await asyncio.sleep(0.005)
        assert (await engine.purge(older_than=NOTHING)).instances == 0
        gate.set()
        await parent.result()
        await asyncio.sleep(0.005)
        assert (await engine.purge(older_than=NOTHING)).instances == 2
        assert await ids(engine) == []


async def test_retention_purges_by_itself(make_engine: MakeEngine) -> None:
    """Without a call, once the time has passed; not before."""
    async with make_engine(retention=timedelta(hours=1), lease=timedelta(seconds=0.2)) as engine:
        await engine.run(Purchase, 1, id="p-1")
        await asyncio.sleep(0.3)
        assert await ids(engine) == ["p-1"]
    async with make_engine(retention=NOTHING, lease=timedelta(seconds=0.2)) as engine:
        while await ids(engine):
            await asyncio.sleep(0.02)


class Fragile(Booking):
    """As Booking, but it breaks before its first step if it is asked for less than nothing."""

    async def run(self, bookings: int) -> list[str]:
        if bookings < 0:
            msg = "less than nothing"
            raise ValueError(msg)
        return [await self.book(number) for number in range(bookings)]
