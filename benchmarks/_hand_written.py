"""The workflows that a user of plain Temporal writes for what `_sagas` declares, compensations included."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from ._hand_written_shop import HandWrittenShop as Shop
    from ._sagas import LONG, Order

LIMIT: Final = timedelta(seconds=30)
REFUSED: Final = RetryPolicy(non_retryable_error_types=["Declined"])


@workflow.defn
class HandWrittenPurchase:
    """Three activities, and a list of what has to be compensated if one fails."""

    @workflow.run
    async def run(self, order: Order) -> Order:
        """Carry one payload through all activities."""
        compensations: list[tuple[Any, Order]] = []
        try:
            compensations.append((Shop.release, order))
            reserved = await workflow.execute_activity_method(Shop.reserve, order, start_to_close_timeout=LIMIT)
            charged = await workflow.execute_activity_method(
                Shop.charge, reserved, start_to_close_timeout=LIMIT, retry_policy=REFUSED
            )
            return await workflow.execute_activity_method(Shop.ship, charged, start_to_close_timeout=LIMIT)
        except Exception:
            for compensation, taken in reversed(compensations):
                await workflow.execute_activity_method(compensation, taken, start_to_close_timeout=LIMIT)
            raise


@workflow.defn
class HandWrittenReviewedPurchase:
    """One activity, then a signal that nobody sends: an open idle workflow."""

    def __init__(self) -> None:
        self._approved: bool | None = None

    @workflow.run
    async def run(self, order: Order) -> Order:
        """Reserve, and wait."""
        reserved = await workflow.execute_activity_method(Shop.reserve, order, start_to_close_timeout=LIMIT)
        await workflow.wait_condition(lambda: self._approved is not None, timeout=LONG)
        return reserved

    @workflow.signal
    def review(self, approved: bool) -> None:  # noqa: FBT001 - what a signal carries
        """Take the decision."""
        self._approved = approved
