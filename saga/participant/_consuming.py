"""The course of a consumer: receive, hand to workers, commit what is done, let go when the group rebalances."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from saga.errors import BrokerError
from saga.participant import _inbox_rows as rows
from saga.participant._lanes import Delivery, Lanes, Partition
from saga.participant._message import Message

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine, Iterable, Sequence

    from saga.participant._broker import Broker, Received, Subscription, TopicPartition
    from saga.participant._counts import Limits, Tally
    from saga.participant._database import Database
    from saga.participant._transactions import Transactions
    from saga.participant._working import Workers

__all__ = ("Consuming",)

_log = logging.getLogger(__name__)
FETCH: Final = timedelta(milliseconds=100)
COMMIT_SECONDS: Final = 0.2
MOST_WAITING: Final = 2_000  # of one partition, in memory


class Consuming:
    """Receives while `run` runs; stands to the broker as the one who is told about assignments."""

    def __init__(
        self, name: str, broker: Broker, database: Database, limits: Limits, *, topics: Sequence[str], tally: Tally
    ) -> None:
        self._name = name
        self._topics = topics
        self._broker = broker
        self._database = database
        self._limits = limits
        self._tally = tally
        self._lanes = Lanes()
        self._partitions: dict[TopicPartition, Partition] = {}
        self._subscription: Subscription | None = None
        self._joined = asyncio.Event()
        self._stop = asyncio.Event()
        self._fault: BaseException | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # -- from start to end ---------------------------------------------------------------

    def stop(self) -> None:
        """Let `run` come to its end."""
        self._stop.set()

    async def run(
        self, workers: Workers, transactions: Transactions, parallel: int, ready: asyncio.Future[None]
    ) -> None:
        """Receive until `stop`; begin anew while the broker is away.

        Raises:
            BrokerError: if it was never there, or refuses for good.
        """
        self._passes_by = transactions.passes_by
        await self._database.run(lambda connection: rows.draining(connection, self._name))
        self._start(workers.run(self._lanes, self._lost, parallel))
        try:
            await self._receive_on(ready)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _receive_on(self, ready: asyncio.Future[None]) -> None:
        wait = 0.1
        while not self._stop.is_set():
            try:
                await self._connected(ready)
                wait = 0.1
            except BrokerError as error:
                if error.lasting or not ready.done():
                    raise
                self._tally.add(failures=1)
                _log.warning("consumer %s begins anew: %s", self._name, error)
                wait = await self._pause(wait)

    async def _connected(self, ready: asyncio.Future[None]) -> None:
        async with self._broker.subscribe(
            self._topics, self._name, self, self._limits.rebalance_timeout
        ) as subscription:
            self._subscription = subscription
            self._joined.set()
            if not ready.done():
                ready.set_result(None)
            committing = asyncio.create_task(self._commit_on())
            try:
                await self._fetch_on(subscription)
            finally:
                committing.cancel()
                await asyncio.gather(committing, return_exceptions=True)
                with suppress(BrokerError):
                    await self.revoked(list(self._partitions))
                self._subscription = None
                self._joined.clear()

    async def _pause(self, seconds: float) -> float:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)
        return min(5.0, 2 * seconds)

    # -- receiving -----------------------------------------------------------------------

    async def _fetch_on(self, subscription: Subscription) -> None:
        while not self._stop.is_set():
            self._expect_no_fault()
            subscription.deliver([each.place for each in self._partitions.values() if _wants_more(each)])
            for place, received in (await subscription.fetch(FETCH)).items():
                partition = self._partitions.get(place)
                if partition is not None and partition.epoch is not None:
                    self._came(partition, received)

    def _came(self, partition: Partition, received: Iterable[Received]) -> None:
        for each in received:
            message = Message(*partition.place, each.offset, each.key, each.value, each.headers, each.sent_at)
            delivery = Delivery(message, partition, message.key)
            partition.came(delivery)
            if self._passes_by(message):
                delivery.done = True
                self._tally.add(passed_by=1)
            else:
                self._lanes.add(delivery)

    async def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """Begin a new epoch of each, in the background: the one before may still hold its lock."""
        for place in partitions:
            partition = self._partitions[place] = Partition(place)
            self._start(self._open(partition))

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Stop handing out, wait a while for what runs, commit, and forget the rest."""
        gone = [self._partitions.pop(place) for place in partitions if place in self._partitions]
        for partition in gone:
            partition.revoked = True
            self._lanes.forget(partition)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.let_go_seconds):
                for partition in gone:
                    await partition.idle.wait()
        await self._commit(gone)

    async def _open(self, partition: Partition) -> None:
        wait = 0.1
        while not (partition.revoked or self._stop.is_set()):
            try:
                epoch = await self._database.run(lambda connection: rows.bump(connection, self._name, partition.place))
                await self._joined.wait()  # partitions may be assigned before the connection is handed over
                if self._subscription is not None:  # else it is revoked
                    await self._subscription.go_back(partition.place)
            except Exception as error:  # noqa: BLE001 - whatever it is, a partition that nobody opens is never read
                _log.warning("partition %s waits: %s", partition.place, type(error).__name__)
                wait = await self._pause(wait)
            else:
                partition.epoch = epoch
                return

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._fault = task.exception()

    def _expect_no_fault(self) -> None:
        if self._fault is not None:  # never silently without workers
            raise self._fault

    def _lost(self, partition: Partition) -> None:
        """Begin the partition anew, if it is still assigned here."""
        self._tally.add(fenced=1)
        if self._partitions.get(partition.place) is partition:
            partition.revoked = True
            self._lanes.forget(partition)
            again = self._partitions[partition.place] = Partition(partition.place)
            self._start(self._open(again))

    # -- committing ----------------------------------------------------------------------

    async def _commit_on(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_SECONDS)
            try:
                await self._commit(list(self._partitions.values()))
            except BrokerError as error:
                _log.warning("consumer %s cannot commit offsets now: %s", self._name, error)

    async def _commit(self, partitions: Iterable[Partition]) -> None:
        found = [(each, each.low_water_mark()) for each in partitions]
        marks = {each: mark for each, mark in found if mark is not None and mark != each.committed}
        if not marks or self._subscription is None:
            return
        if await self._subscription.commit({each.place: mark for each, mark in marks.items()}):
            for each, mark in marks.items():
                each.committed = mark


def _wants_more(partition: Partition) -> bool:
    return partition.epoch is not None and not partition.blocked and partition.waiting < MOST_WAITING
