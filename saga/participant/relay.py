"""The relay: publishes what is in the outbox, at least once and in order for each key.

    async with Relay(engine, KafkaBroker("localhost:9092")):
        await serve()                               # whatever the application does

Several relays may run, in one process or in many: each row belongs to a shard, and each shard to one relay. A relay
that dies between publishing and deleting leaves rows that the next one publishes again, so consumers see the same
messages once more, in the same order, and know them by their ids.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Self

from sqlalchemy.exc import SQLAlchemyError

from saga.errors import BrokerError, OutboxError
from saga.participant import _outbox_rows as rows
from saga.participant._database import Database
from saga.participant._shards import owner_on

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

    from saga.participant._broker import Broker, Published, Publisher
    from saga.participant._database import HeldConnection
    from saga.participant._outbox_rows import Row
    from saga.participant._shards import Owner

__all__ = ("Relay", "RelayCounts")

_log = logging.getLogger(__name__)
REASON_LENGTH: Final = 500
CLAIMS_PER_LEASE: Final = 4


@dataclass(frozen=True, slots=True)
class RelayCounts:
    """What a relay has done since it was made.

    Attributes:
        published: Messages that the broker acknowledged, those that came twice included.
        held: Messages that the broker refused.
        transactions: Database transactions, those that found nothing included.
        failures: How often broker or database could not be used and the relay began anew.
    """

    published: int = 0
    held: int = 0
    transactions: int = 0
    failures: int = 0

    def plus(self, *, published: int = 0, held: int = 0, transactions: int = 0, failures: int = 0) -> RelayCounts:
        """Return counts that are higher by that much."""
        return RelayCounts(
            self.published + published,
            self.held + held,
            self.transactions + transactions,
            self.failures + failures,
        )


class Relay:
    """Publishes the outbox of one database while its block runs.

    Broker and database may go away meanwhile: the relay begins anew until they are back. A message that the
    broker refuses is held, with its key; see `outbox.list_held`.

    Args:
        database: The participant's engine. On PostgreSQL one of its connections is kept; a pooler that gives
            each transaction another connection must not stand between, for the locks belong to the session.
        broker: Where to publish, such as a `KafkaBroker`.
        batch: How many messages are published before they are deleted together, 1 to 10,000.
        poll: How long to wait after the outbox was found empty; `wake` ends that earlier.
        lease: On SQLite, how long the shards of a relay that died wait for another.

    Attributes:
        counts: What it has done.
    """

    def __init__(
        self,
        database: Engine | AsyncEngine,
        broker: Broker,
        *,
        batch: int = 500,
        poll: timedelta = timedelta(milliseconds=50),
        lease: timedelta = timedelta(seconds=10),
    ) -> None:
        if not 1 <= batch <= 10_000 or poll <= timedelta(0) or lease <= timedelta(0):  # noqa: PLR2004 - as documented
            msg = f"a relay needs a batch of 1 to 10,000, poll and lease above zero; not {batch}, {poll} and {lease}"
            raise ValueError(msg)
        self.counts = RelayCounts()
        self._database = Database(database)
        self._broker = broker
        self._batch = batch
        self._poll = poll.total_seconds()
        self._claim_every = min(1.0, lease.total_seconds() / CLAIMS_PER_LEASE)
        self._lease = lease
        self._wake = asyncio.Event()
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin to publish.

        Raises:
            OutboxError: if this kind of database is unknown or has no outbox.
        """
        await self._database.__aenter__()
        owner_on(self._database.dialect, self._lease)
        await self._database.run(lambda connection: rows.next_rows(connection, [0], 1))
        self._task = asyncio.create_task(self._publish_on(), name="saga-relay")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Finish the batch that is being published, and let others have the shards."""
        self._stop.set()
        self._wake.set()
        if self._task is not None:
            await asyncio.wait([self._task])
        await self._database.__aexit__()

    def wake(self) -> None:
        """Look at once, rather than after the poll: for whoever has just committed a message."""
        self._wake.set()

    async def _publish_on(self) -> None:
        pause = self._poll
        while not self._stop.is_set():
            before = self.counts.published
            try:
                await self._connected()
            except (BrokerError, OutboxError, SQLAlchemyError, OSError) as error:
                self.counts = self.counts.plus(failures=1)
                _log.warning("the relay begins anew: %s: %s", type(error).__name__, str(error).splitlines()[0])
                pause = self._poll if self.counts.published > before else min(5.0, 2 * pause)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), pause)

    async def _connected(self) -> None:
        owner = owner_on(self._database.dialect, self._lease)
        async with self._database.kept_connection() as connection, self._broker.publisher() as publisher:
            try:
                await self._relay(connection, publisher, owner)
            finally:
                with suppress(SQLAlchemyError):
                    await connection.run(owner.release)

    async def _relay(self, connection: HeldConnection, publisher: Publisher, owner: Owner) -> None:
        step = _Step(owner, self._batch, self._claim_every)
        while True:
            self._wake.clear()
            waiting = await connection.run(step.settle_and_read)
            self.counts = self.counts.plus(transactions=1)
            if step.trouble is not None:
                raise step.trouble
            if self._stop.is_set():
                return
            if waiting:
                step.published(waiting, await publisher.publish([row.record for row in waiting]))
                self.counts = self.counts.plus(published=len(step.done), held=len(step.refused))
            else:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), self._poll)


class _Step:
    """What is carried from one transaction of the relay to the next."""

    def __init__(self, owner: Owner, batch: int, claim_every: float) -> None:
        self._owner = owner
        self._batch = batch
        self._claim_every = claim_every
        self._claimed_at: float | None = None
        self._shards: frozenset[int] = frozenset()
        self.done: list[int] = []
        self.refused: dict[int, str] = {}
        self.trouble: BrokerError | None = None

    def published(self, waiting: list[Row], answer: Published) -> None:
        """Remember what became of the rows."""
        self.done = [waiting[position].seq for position in answer.done]
        self.refused = {waiting[position].seq: reason for position, reason in answer.refused.items()}
        self.trouble = answer.trouble

    def settle_and_read(self, connection: Connection) -> list[Row]:
        """Delete what was published, hold what was refused, and read what comes next: in one transaction."""
        rows.delete_rows(connection, self.done)
        for seq, reason in self.refused.items():
            rows.hold(connection, seq, reason[:REASON_LENGTH])
            _log.warning("the broker refuses message %d of the outbox, its key is held: %s", seq, reason)
        self.done, self.refused = [], {}
        self._claim(connection)
        return rows.next_rows(connection, self._shards, self._batch) if self._shards else []

    def _claim(self, connection: Connection) -> None:
        now = time.monotonic()
        if self._claimed_at is None or now - self._claimed_at >= self._claim_every:
            self._shards = self._owner.claim(connection)
            self._claimed_at = now
