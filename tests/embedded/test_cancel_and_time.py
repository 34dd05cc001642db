"""Cancel, deadline and durable waiting: what somebody outside, or the clock, says to a running saga (S6, S11)."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from saga import Compensatable, Retry, Saga, SagaCompensatedError, SagaState
from saga.errors import ActRefusedError
from saga.kernel import _facts as f
from tests.embedded._shop import Booking, Purchase, Shop, handle_of, hangs, until_delivered, waits_for
from tests.embedded._shop import shop as stand_in
from tests.embedded.conftest import MakeEngine


class Short(Booking):
    """Has little time."""

    deadline = timedelta(milliseconds=60)


class Keen(Saga):
    """Tries a booking without end."""

    book = Compensatable(
        stand_in.book, retry=Retry(attempts=None, first=timedelta(milliseconds=1), factor=1.0), barrier=True
    ).compensated_by(stand_in.unbook)

    async def run(self, bookings: int) -> str:
        return await self.book(bookings)


@pytest.mark.peer("LRA-40", "LRA-41", "RST-20")
async def test_cancel_compensates_what_was_done(make_engine: MakeEngine, shop: Shop) -> None:
    """The running activity is asked to stop, its call is compensated as one in doubt."""
    shop.before["book.2"] = [hangs]
    async with make_engine() as engine:
        handle = await engine.start(Purchase, 3, id="p-1")
        await until_delivered(shop, "p-1/book.2")
        await handle.cancel(by="anna", why="changed her mind")
        with pytest.raises(SagaCompensatedError, match="cancelled.*changed her mind"):
            await handle.result()
        with pytest.raises(ActRefusedError, match="COMPENSATED"):
            await handle.cancel()
    assert shop.effects == {}
    assert shop.deliveries[2:] == ["p-1/book.2/compensation", "p-1/book.1/compensation"]


@pytest.mark.parametrize("bookings", [1, 3])
async def test_a_cancel_while_the_next_step_is_being_registered(
    make_engine: MakeEngine, shop: Shop, monkeypatch: pytest.MonkeyPatch, bookings: int
) -> None:
    """The step is not started any more, and nothing waits for it."""
    async with make_engine() as engine:
        stage = engine._open.stage  # type: ignore[union-attr]
        submit = stage.submit
        held: list[tuple[object, ...]] = []
        monkeypatch.setattr(stage, "submit", lambda *batch: held.append(batch))
        starting = asyncio.create_task(engine.run(Purchase, bookings, id="p-1"))
        while "p-1" not in stage.drives or not held:
            await asyncio.sleep(0)
        cancelling = asyncio.create_task(handle_of(engine, Purchase, "p-1").cancel())
        while len(held) < 2:
            await asyncio.sleep(0)
        monkeypatch.undo()
        for batch in held:
            submit(*batch)
        await cancelling
        with pytest.raises(SagaCompensatedError, match="cancelled"):
            await starting
    assert shop.deliveries == []


async def test_a_second_cancel_changes_nothing(make_engine: MakeEngine, shop: Shop) -> None:
    """Backward recovery cannot be stopped: a cancel is noted, and that is all (S6)."""
    gate = asyncio.Event()
    shop.before["book.2"] = [hangs]
    shop.before["book.2/compensation"] = [waits_for(gate)]
    async with make_engine() as engine:
        handle = await engine.start(Purchase, 2, id="p-1")
        await until_delivered(shop, "p-1/book.2")
        await handle.cancel()
        await until_delivered(shop, "p-1/book.2/compensation")
        await handle.cancel()
        assert (await handle.view()).state is SagaState.COMPENSATING
        gate.set()
        with pytest.raises(SagaCompensatedError):
            await handle.result()
    assert shop.effects == {}
    assert shop.deliveries.count("p-1/book.2/compensation") == 1


async def test_a_cancel_after_the_pivot_is_only_noted(make_engine: MakeEngine, shop: Shop) -> None:
    """The saga goes on forward (S7)."""
    gate = asyncio.Event()
    shop.before["ship.1"] = [waits_for(gate)]
    async with make_engine() as engine:
        handle = await engine.start(Purchase, 1, id="p-1")
        await until_delivered(shop, "p-1/ship.1")
        await handle.cancel()
        gate.set()
        assert len(await handle.result()) == 3
        assert [act.act for act in (await handle.view()).acts] == ["cancel"]


@pytest.mark.peer("DTM-23", "DBO-12")
async def test_the_deadline_starts_backward_recovery(make_engine: MakeEngine, shop: Shop) -> None:
    """Also where a step hangs."""
    shop.before["book.2"] = [hangs]
    async with make_engine(sagas=[Short]) as engine:
        with pytest.raises(SagaCompensatedError, match="deadline"):
            await engine.run(Short, 2, id="s-1")
    assert shop.effects == {}


async def test_the_deadline_holds_across_engines(make_engine: MakeEngine, shop: Shop) -> None:
    """It is when it was: the next engine finds it passed."""
    shop.before["book.1"] = [hangs, hangs]
    async with make_engine(sagas=[Short], grace=timedelta(0)) as engine:
        await engine.start(Short, 1, id="s-1")
        await until_delivered(shop, "s-1/book.1")
    await asyncio.sleep(0.06)
    async with make_engine(sagas=[Short]) as engine:
        handle = await engine.get(Short, "s-1")
        with pytest.raises(SagaCompensatedError, match="deadline"):
            await handle.result()
    assert shop.effects == {}


async def test_the_deadline_does_not_reach_backward_recovery(make_engine: MakeEngine, shop: Shop) -> None:
    """Compensations have all the time that they need (S11)."""
    gate = asyncio.Event()
    shop.before["book.2"] = [hangs]
    shop.before["book.1/compensation"] = [waits_for(gate)]
    async with make_engine(sagas=[Short]) as engine:
        handle = await engine.start(Short, 2, id="s-1")
        await until_delivered(shop, "s-1/book.2")
        await handle.cancel()
        await asyncio.sleep(0.08)
        gate.set()
        with pytest.raises(SagaCompensatedError, match="cancelled"):
            await handle.result()


async def test_a_policy_without_limit_stops_at_a_cancel(make_engine: MakeEngine, shop: Shop) -> None:
    """A step that keeps failing is asked to stop between two attempts."""
    shop.before["book.1"] = [ConnectionError("lost")] * 10_000
    async with make_engine(sagas=[Keen]) as engine:
        handle = await engine.start(Keen, 1, id="k-1")
        while shop.deliveries.count("k-1/book.1") < 3:
            await asyncio.sleep(0.002)
        await handle.cancel()
        with pytest.raises(SagaCompensatedError):
            await handle.result()
    assert shop.effects == {}


@pytest.mark.peer("DTM-28")
async def test_a_sleep_is_not_begun_again_by_the_next_engine(make_engine: MakeEngine, shop: Shop) -> None:
    """Its due time is journaled."""

    class Sleepy(Booking):
        async def run(self, bookings: int) -> list[str]:
            await self.sleep(timedelta(seconds=0.1))
            return [await self.book(0)]

    async with make_engine(sagas=[Sleepy]) as engine:
        await engine.start(Sleepy, 1, id="s-1")
    async with make_engine(sagas=[Sleepy]) as engine:
        handle = await engine.get(Sleepy, "s-1")
        assert await handle.result() == ["s-1/book.1"]
        facts = [fact async for fact in handle.facts()]
    [due] = [fact.due for fact in facts if isinstance(fact, f.TimerSet)]
    [fired] = [fact.at for fact in facts if isinstance(fact, f.TimerFired)]
    assert due <= fired
    assert due - facts[0].at == timedelta(seconds=0.1)


async def test_an_alarm_that_rings_early_rings_again(make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop's clock and the engine's may differ by a little; the timer is not lost."""

    class Sleepy(Booking):
        async def run(self, bookings: int) -> list[str]:
            await self.sleep(timedelta(seconds=0.05))
            return []

    async with make_engine(sagas=[Sleepy]) as engine:
        stage = engine._open.stage  # type: ignore[union-attr]
        early = [timedelta(seconds=0.04)]
        tick = stage.tick
        monkeypatch.setattr(
            stage, "tick", lambda drive, due: tick(drive, due - (early.pop() if early else 0 * due.resolution))
        )
        assert await engine.run(Sleepy, 0, id="s-1") == []
    assert early == []
