"""A consumer's workers: handle messages, try again, hold what cannot be handled, and drain what is to go on."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import SQLAlchemyError

from saga.errors import InboxError, MessageError
from saga.participant import _inbox_rows as rows
from saga.participant._database import is_passing
from saga.participant._reception import Fenced, Full, Repeated, reason_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from saga.participant._counts import Limits, Tally
    from saga.participant._database import Database
    from saga.participant._lanes import Delivery, Lanes, Partition
    from saga.participant._reception import Reception
    from saga.participant._transactions import Transactions

__all__ = ("Workers",)

_log = logging.getLogger(__name__)
LOOK_SECONDS: Final = 0.5  # for keys that are to drain, and for room


class Workers:
    """Take messages from the lanes, each lane by one worker at a time."""

    def __init__(
        self, database: Database, reception: Reception, transactions: Transactions, limits: Limits, tally: Tally
    ) -> None:
        self._database = database
        self._reception = reception
        self._transactions = transactions
        self._limits = limits
        self._tally = tally

    async def run(self, lanes: Lanes, lost: Callable[[Partition], None], parallel: int) -> None:
        """Work until cancelled."""
        self._lanes, self._lost = lanes, lost
        async with asyncio.TaskGroup() as group:
            for _ in range(parallel):
                group.create_task(self._work())
            group.create_task(self._drain_on())

    async def _work(self) -> None:
        while True:
            batch = await self._lanes.take(self._limits.batch)
            if len(batch) == 1 or not await self._together(batch):
                lanes: defaultdict[str, list[Delivery]] = defaultdict(list)
                for delivery in batch:
                    lanes[delivery.key].append(delivery)
                for key, deliveries in lanes.items():
                    await self._lane(key, deliveries)

    async def _together(self, batch: list[Delivery]) -> bool:
        """Handle a batch in one transaction; False if each has to be tried alone."""
        try:
            done = await self._transactions.handle(batch)
        except Repeated:
            return False
        except Exception as error:  # noqa: BLE001 - alone it will show whose it is
            _log.debug("%d messages are tried one by one: %s", len(batch), type(error).__name__)
            return False
        self._tally.add(handled=done.handled, stored=done.stored)
        self._lanes.done(batch)
        for key in {delivery.key for delivery in batch}:
            self._lanes.release(key)
        return True

    async def _lane(self, key: str, deliveries: list[Delivery]) -> None:
        """Handle messages of one lane in order, as far as that goes."""
        for position, delivery in enumerate(deliveries):
            wait = None if delivery.partition.revoked else await self._alone(delivery)
            if wait is not None:
                self._lanes.put_back(deliveries[position:])
                asyncio.get_running_loop().call_later(wait, self._lanes.release, key)
                return
            self._lanes.done([delivery])
        self._lanes.release(key)

    async def _alone(self, delivery: Delivery) -> float | None:
        """Handle a message, or hold it; return after how many seconds to try again, None if it needs nothing more."""
        try:
            done = await self._transactions.handle([delivery])
            self._tally.add(handled=done.handled, stored=done.stored, repeated=1 - done.handled - done.stored)
        except Fenced as fenced:
            self._lost(fenced.partition)
            return 0
        except Full:
            return self._blocked(delivery)
        except Exception as error:  # noqa: BLE001 - an application's function may raise anything
            return await self._failed(delivery, error)
        delivery.partition.blocked = False
        return None

    async def _failed(self, delivery: Delivery, error: Exception) -> float | None:
        self._tally.add(failed=1)
        if not is_passing(error):
            delivery.attempts += 1
        place, kind = delivery.message.place, type(error).__name__
        lasting = isinstance(error, MessageError)
        _log.warning("message %s failed, attempt %d: %s", place, delivery.attempts, kind)
        if not lasting and delivery.attempts < self._limits.attempts:
            return self._limits.wait_after(max(1, delivery.attempts))
        return await self._hold(delivery, reason_of(error))

    async def _hold(self, delivery: Delivery, reason: str) -> float | None:
        try:
            held = await self._database.run(lambda connection: self._reception.hold(connection, delivery, reason))
        except Fenced as fenced:
            self._lost(fenced.partition)
            return 0
        except Full:
            return self._blocked(delivery)
        except Exception as error:  # noqa: BLE001 - it is tried until it works
            _log.warning("message %s cannot be held now: %s", delivery.message.place, type(error).__name__)
            return self._limits.wait_after(max(1, delivery.attempts))
        self._tally.add(held=int(held))
        return None

    def _blocked(self, delivery: Delivery) -> float:
        if not delivery.partition.blocked:
            _log.warning("no room to hold more messages: partition %s stops", delivery.partition.place)
        delivery.partition.blocked = True
        return LOOK_SECONDS

    # -- held keys that are to go on -----------------------------------------------------

    async def _drain_on(self) -> None:
        while True:
            with suppress(SQLAlchemyError, InboxError):
                for key in await self._database.run(
                    lambda connection: rows.draining(connection, self._reception.consumer)
                ):
                    await self._drain(key)
            await asyncio.sleep(LOOK_SECONDS)

    async def _drain(self, key: str) -> None:
        attempts = 0
        while True:
            try:
                if not await self._transactions.drain(key):
                    return
                attempts = 0
                self._tally.add(drained=1)
            except Exception as error:  # noqa: BLE001 - as in `_alone`
                self._tally.add(failed=1)
                attempts += not is_passing(error)
                if isinstance(error, MessageError) or attempts >= self._limits.attempts:
                    reason = reason_of(error)
                    await self._database.run(partial(self._reception.hold_again, key=key, reason=reason))
                    return
                await asyncio.sleep(self._limits.wait_after(max(1, attempts)))
