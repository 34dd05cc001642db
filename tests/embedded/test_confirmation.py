"""Tentative effects: confirmed before the pivot returns, or compensated; what was kept for that is dropped (S17)."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from saga import Compensatable, Pivot, Saga, SagaCompensatedError, SagaStuckError, StepRejected
from tests.embedded._shop import FAST, Shop, SoldOutError, hangs, until_delivered
from tests.embedded._shop import shop as stand_in
from tests.embedded.conftest import MakeEngine


class Trying(Saga):
    """Books tentatively; what is tentative is confirmed before the payment returns."""

    hold = (
        Compensatable(stand_in.book, rejects=[SoldOutError], retry=FAST, barrier=True)
        .compensated_by(stand_in.unbook)
        .confirmed_by(stand_in.confirm, retry=FAST)
        .forgotten_by(stand_in.confirm, retry=FAST)
    )
    pay = Pivot(stand_in.pay, rejects=[SoldOutError], retry=FAST, barrier=True).probed_by(stand_in.find_pay)

    async def run(self, holds: int) -> list[str]:
        keys = [await self.hold(number) for number in range(holds)]
        return [*keys, await self.pay(0)]


@pytest.mark.peer("DTM-18")
async def test_everything_is_confirmed_or_everything_is_compensated(make_engine: MakeEngine, shop: Shop) -> None:
    """Never both for one call."""
    async with make_engine(sagas=[Trying]) as engine:
        await engine.run(Trying, 2, id="t-1")
        shop.before["pay.1"] = [SoldOutError("no")]
        with pytest.raises(SagaCompensatedError):
            await engine.run(Trying, 2, id="t-2")
    of_first = [key.removeprefix("t-1/") for key in shop.deliveries if key.startswith("t-1/")]
    of_second = [key.removeprefix("t-2/") for key in shop.deliveries if key.startswith("t-2/")]
    assert sorted(of_first[3:]) == ["hold.1/confirmation", "hold.1/forget", "hold.2/confirmation", "hold.2/forget"]
    assert of_second[3:] == ["hold.2/compensation", "hold.1/compensation"]


async def test_a_confirmation_that_is_refused_waits_for_an_operator(make_engine: MakeEngine, shop: Shop) -> None:
    """There is no way back any more; done by hand, it goes on."""
    shop.before["hold.1/confirmation"] = [StepRejected("no")]
    async with make_engine(sagas=[Trying]) as engine:
        handle = await engine.start(Trying, 1, id="t-1")
        with pytest.raises(SagaStuckError, match="a confirmation was refused"):
            await handle.result()
        await handle.skip(Trying.hold, by="olga", why="by hand")
        assert await handle.result() == ["t-1/hold.1", "t-1/pay.1"]


async def test_a_confirmation_survives_a_crash(make_engine: MakeEngine, shop: Shop) -> None:
    """What was confirmed is not confirmed again."""
    shop.before["hold.2/confirmation"] = [hangs]
    async with make_engine(sagas=[Trying], grace=timedelta(0)) as engine:
        await engine.start(Trying, 2, id="t-1")
        await until_delivered(shop, "t-1/hold.2/confirmation")
        while not shop.effects.get("t-1/hold.1/confirmation"):
            await asyncio.sleep(0.002)
        await asyncio.sleep(0.02)
    async with make_engine(sagas=[Trying]) as engine:
        assert len(await (await engine.get(Trying, "t-1")).result()) == 3
    assert shop.repeated == {"t-1/hold.2/confirmation"}
