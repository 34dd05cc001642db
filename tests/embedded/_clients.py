"""Sagas of every shape, and clients that run them: after a crash a client does the same again, with the same ids."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

from saga import (
    Compensatable,
    Decision,
    EmbeddedEngine,
    Happened,
    Pivot,
    Retriable,
    Retry,
    SagaCompensatedError,
    SagaStuckError,
)
from saga.errors import ActRefusedError
from tests.embedded._crash import Script, World
from tests.embedded._shop import FAST, Booking, Purchase, SoldOutError
from tests.embedded._shop import shop as stand_in

WHO: dict[str, Any] = {"by": "olga", "why": "looked into it"}
ID = "s-1"


class Parallel(Purchase):
    """Books three at a time, then pays."""

    async def run(self, bookings: int) -> list[str]:
        keys = await asyncio.gather(*(self.book(number) for number in range(bookings)))
        return [*keys, await self.pay(0)]


class Reviewed(Purchase):
    """Asks before it pays."""

    review = Decision(bool, within=timedelta(hours=1))

    async def run(self, bookings: int) -> list[str]:
        keys = [await self.book(number) for number in range(bookings)]
        return [*keys, await self.pay(0)] if await self.review() else keys


class Sleepy(Booking):
    """Waits a moment between two bookings."""

    async def run(self, bookings: int) -> list[str]:
        first = await self.book(0)
        await self.sleep(timedelta(milliseconds=10))
        return [first, await self.book(1)]


class Short(Booking):
    """Has little time."""

    deadline = timedelta(milliseconds=40)


class Frail(Booking):
    """Its compensation is tried once, and nobody can ask what became of its payment."""

    book = Compensatable(stand_in.book, rejects=[SoldOutError], retry=FAST, barrier=True).compensated_by(
        stand_in.unbook, retry=Retry(attempts=1)
    )
    pay = Pivot(stand_in.pay, rejects=[SoldOutError], retry=Retry(attempts=1), barrier=True)
    ship = Retriable(stand_in.ship, retry=Retry(attempts=1))

    async def run(self, bookings: int) -> list[str]:
        keys = [await self.book(number) for number in range(bookings)]
        return [*keys, await self.pay(0), await self.ship(0)]


class Trying(Booking):
    """Books tentatively."""

    book = (
        Compensatable(stand_in.book, rejects=[SoldOutError], retry=FAST, barrier=True)
        .compensated_by(stand_in.unbook)
        .confirmed_by(stand_in.confirm, retry=FAST)
        .forgotten_by(stand_in.confirm, retry=FAST)
    )

    async def run(self, bookings: int) -> list[str]:
        return [await self.book(number) for number in range(bookings)]


class Buggy(Booking):
    """Falls over until it is repaired."""

    repaired = False

    async def run(self, bookings: int) -> list[str]:
        first = await self.book(0)
        if not type(self).repaired:
            raise KeyError(first)
        return [first, await self.book(1)]


def runs(saga: type, request: int) -> Script:
    """Start, then wait for the end, whatever it is."""

    async def script(engine: EmbeddedEngine, world: World) -> None:
        handle = await engine.start(saga, request, id=ID)
        world.acknowledged.add(ID)
        with suppress(SagaCompensatedError):
            await handle.result()

    return script


def repairs(saga: type, request: int, act: Any) -> Script:
    """Start; whenever it is STUCK, act; then wait for the end."""

    async def script(engine: EmbeddedEngine, world: World) -> None:
        handle = await engine.start(saga, request, id=ID)
        world.acknowledged.add(ID)
        for _ in range(5):
            try:
                await handle.result()
            except SagaStuckError:
                with suppress(ActRefusedError):
                    await act(handle, world)
            except SagaCompensatedError:
                return
            else:
                return

    return script


async def reviews(engine: EmbeddedEngine, world: World) -> None:
    """Start, answer, wait for the end."""
    handle = await engine.start(Reviewed, 1, id=ID)
    world.acknowledged.add(ID)
    with suppress(ActRefusedError):
        await handle.decide(Reviewed.review, answer=True, by="rita")
    await handle.result()


def cancels(saga: type, request: int, at: str) -> Script:
    """Start, cancel once an activity has begun, wait for the end."""

    async def script(engine: EmbeddedEngine, world: World) -> None:
        handle = await engine.start(saga, request, id=ID)
        world.acknowledged.add(ID)
        while at not in world.shop.deliveries:
            await asyncio.sleep(0.001)
            await _still_there(engine)
        other = world.others[0] if world.others else engine
        with suppress(ActRefusedError):
            await (await other.get(saga, ID)).cancel(by="anna")
        with suppress(ActRefusedError):
            await handle.cancel(by="anna, again")
        with suppress(SagaCompensatedError):
            await handle.result()

    return script


async def _still_there(engine: EmbeddedEngine) -> None:
    assert engine._open is not None
    engine._open.stage.check_open()


async def repair(handle: Any, world: World) -> None:
    """Deploy fixed code, then retry."""
    Buggy.repaired = True
    await handle.retry(**WHO)


async def retry(handle: Any, world: World) -> None:
    """Try again."""
    await handle.retry(**WHO)


async def resolve(handle: Any, world: World) -> None:
    """Look whether the payment happened, say so, and try again what is after it."""
    [stuck] = (await handle.view()).stuck
    if stuck.call != "pay.1":
        await handle.retry(**WHO)
    elif f"{ID}/pay.1" in world.shop.effects:
        await handle.resolve(Frail.pay, Happened(output="found"), **WHO)
    else:
        await handle.retry(**WHO)
