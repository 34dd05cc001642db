"""The sagas that our engine runs here: three steps of the three kinds, and one that waits."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from pydantic import BaseModel

from saga import (
    Compensatable,
    Decision,
    DidNotHappen,
    Effect,
    EmbeddedEngine,
    Finding,
    Happened,
    Pivot,
    Retriable,
    Saga,
    participant,
)

from ._payload import payload

LONG: Final = timedelta(days=30)


class Order(BaseModel):
    """The payload as our users write it; `_payload.Fields` has the same fields."""

    account: str
    amount_cents: int
    note: str


class Declined(Exception):
    """An order of nothing cannot be charged."""


class Shop:
    """A participant whose activities do nothing, for up to `jitter_ms` milliseconds."""

    def __init__(self, jitter_ms: float = 0.0) -> None:
        self._jitter_seconds = jitter_ms / 1000
        self._random = random.Random(jitter_ms)

    async def _act(self, order: Order) -> Order:
        if self._jitter_seconds:
            await asyncio.sleep(self._random.uniform(0, self._jitter_seconds))
        return order

    async def reserve(self, order: Order) -> Order:
        """Reserve the goods."""
        return await self._act(order)

    async def release(self, effect: Effect[Order, Order]) -> None:
        """Release them again."""

    async def charge(self, order: Order) -> Order:
        """Charge the account, or say no."""
        if not order.amount_cents:
            raise Declined
        return await self._act(order)

    async def find_charge(self, order: Order) -> Finding[Order]:
        """Say whether the account was charged."""
        return Happened(output=order) if order.amount_cents else DidNotHappen()

    async def ship(self, order: Order) -> Order:
        """Ship the goods."""
        return await self._act(order)


shop = participant(Shop, "shop")


class Purchase(Saga):
    """Three steps, one of each kind that acts: what every timed cell of ours runs."""

    reserve = Compensatable(shop.reserve).compensated_by(shop.release)
    charge = Pivot(shop.charge, rejects=[Declined]).probed_by(shop.find_charge)
    ship = Retriable(shop.ship)

    async def run(self, order: Order) -> Order:
        """Carry one payload through all steps."""
        reserved = await self.reserve(order)
        charged = await self.charge(reserved)
        return await self.ship(charged)


class ReviewedPurchase(Saga):
    """One step, then a decision that nobody takes: an open idle saga."""

    reserve = Compensatable(shop.reserve).compensated_by(shop.release)
    review = Decision(bool, within=LONG)

    async def run(self, order: Order) -> Order:
        """Reserve, and wait."""
        reserved = await self.reserve(order)
        await self.review()
        return reserved


def order_of(size_bytes: int) -> Order:
    """Return an order whose compact JSON is `size_bytes` long."""
    return Order(**payload(size_bytes))


def declined_order_of(size_bytes: int) -> Order:
    """Return such an order that the pivot rejects, so that the step before it is compensated."""
    return order_of(size_bytes).model_copy(update={"amount_cents": 0})


async def first_saga(url: str, done: Callable[[], object]) -> None:
    """Open the engine on an empty database, run one saga, and say when its result is there."""
    async with EmbeddedEngine(url, sagas=[Purchase], participants={"shop": Shop()}) as engine:
        await engine.run(Purchase, order_of(256), id="purchase-1")
        done()
