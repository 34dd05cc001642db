"""The activities of the hand-written workflows: the same shop's methods, as plain Temporal takes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from temporalio import activity

from ._sagas import Order, Shop


class HandWrittenShop:
    """Offers a shop's methods as activities."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    @activity.defn
    async def reserve(self, order: Order) -> Order:
        """Reserve the goods."""
        return await self._shop.reserve(order)

    @activity.defn
    async def release(self, order: Order) -> None:
        """Release them again."""

    @activity.defn
    async def charge(self, order: Order) -> Order:
        """Charge the account, or raise `Declined`."""
        return await self._shop.charge(order)

    @activity.defn
    async def ship(self, order: Order) -> Order:
        """Ship the goods."""
        return await self._shop.ship(order)

    def activities(self) -> Sequence[Callable[..., Any]]:
        """Return what a worker registers."""
        return [self.reserve, self.release, self.charge, self.ship]
