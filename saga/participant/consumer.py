"""The consumer: handles each message once in a transaction of the participant, in order for each key.

    def split(session: Session, message: Message) -> None:
        requested = message.decode(ExchangeRequested)
        session.add_all(parts_of(requested))
        for part in parts_of(requested):
            outbox.publish(session, "order", part, key=requested.id, type="order.requested")

    consumer = Consumer(
        sessionmaker(engine), KafkaBroker("localhost:9092"), name="request-splitter", topics=["exchange"],
        functions={"exchange.requested": split, "*": None},
    )
    async with consumer:
        await consumer.wait()

Inbox, effect and outbox are in one transaction, and the offset is committed after it. So a crash repeats messages
and no effects. A message that cannot be handled is held with its key, told to a dead-letter topic, and does not
stop other keys; see `inbox.list_held`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self, overload

from saga.participant._consuming import Consuming
from saga.participant._counts import ConsumerCounts, Limits, Tally
from saga.participant._database import Database
from saga.participant._message import Message
from saga.participant._reception import Reception
from saga.participant._transactions import Transactions
from saga.participant._working import Workers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from sqlalchemy.engine import Connection, Engine
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker
    from sqlalchemy.orm import Session, sessionmaker

    from saga.participant._broker import Broker

__all__ = ("Consumer", "ConsumerCounts", "Message")


@dataclass(frozen=True, slots=True)
class _Settings:
    name: str
    topics: Collection[str]
    parallel: int
    limits: Limits
    dead_letters: str
    most_held: int

    def __post_init__(self) -> None:
        if not self.name.strip() or not self.name.isprintable() or len(self.name) > 200:  # noqa: PLR2004 - the column
            msg = f"a consumer needs a name of 1 to 200 printable characters, not {self.name!r}"
            raise ValueError(msg)
        if isinstance(self.topics, str) or not self.topics:
            msg = "a consumer needs a list of topics"
            raise ValueError(msg)
        numbers = (self.parallel, self.limits.batch, self.limits.attempts, self.most_held)
        if min(numbers) < 1:
            msg = f"parallel, batch, attempts and most_held are at least 1, not {numbers}"
            raise ValueError(msg)


class Consumer:
    """Handles the messages of some topics while its block runs.

    Several consumers of one name share the partitions, in one process or in many, by Kafka's eager
    rebalancing. Messages of one key are handled one after the other, in the order in which they came; different
    keys beside each other. Messages without a key have no order.

    Args:
        database: An `Engine` or `AsyncEngine`, whose connections the functions get, or a `sessionmaker` or
            `async_sessionmaker` with an engine, whose sessions they get.
        broker: Where to receive, such as a `KafkaBroker`.
        name: Name of the consumer: its group at the broker, and whose its rows are in the database.
        topics: Names of topics. They must exist.
        functions: What to call for each type of message, as `function(transaction, message)`, made with
            `async def` for an asynchronous database; it neither commits nor rolls back. The type `"*"` is any
            other. None instead of a function passes a type by; a type without either is held.
        attempts: How often a message is tried before it is held, at least 1. Failures of the database that
            are likely to pass do not count.
        first_wait: How long to wait before the second attempt; doubled for each further one.
        parallel: How many transactions run beside each other. On SQLite there is one at a time.
        batch: How many messages are handled in one transaction at most. If one of them fails, each is tried
            in a transaction of its own.
        dead_letters: Topic that is told what is held; by default `{name}.dead-letter`; empty for none. It
            goes through the outbox, so a `Relay` must run somewhere on this database.
        most_held: How many messages are stored for held keys; beyond that the partitions with more of them
            stop until there is room.
        rebalance_timeout: How long Kafka waits for a member that still works on messages.

    Attributes:
        counts: What it has done.
    """

    @overload
    def __init__(
        self,
        database: Engine,
        broker: Broker,
        *,
        name: str,
        topics: Collection[str],
        functions: Mapping[str, Callable[[Connection, Message], None] | None],
        attempts: int = ...,
        first_wait: timedelta = ...,
        parallel: int = ...,
        batch: int = ...,
        dead_letters: str | None = ...,
        most_held: int = ...,
        rebalance_timeout: timedelta = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        database: sessionmaker[Session],
        broker: Broker,
        *,
        name: str,
        topics: Collection[str],
        functions: Mapping[str, Callable[[Session, Message], None] | None],
        attempts: int = ...,
        first_wait: timedelta = ...,
        parallel: int = ...,
        batch: int = ...,
        dead_letters: str | None = ...,
        most_held: int = ...,
        rebalance_timeout: timedelta = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        database: AsyncEngine,
        broker: Broker,
        *,
        name: str,
        topics: Collection[str],
        functions: Mapping[str, Callable[[AsyncConnection, Message], Awaitable[None]] | None],
        attempts: int = ...,
        first_wait: timedelta = ...,
        parallel: int = ...,
        batch: int = ...,
        dead_letters: str | None = ...,
        most_held: int = ...,
        rebalance_timeout: timedelta = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        database: async_sessionmaker[AsyncSession],
        broker: Broker,
        *,
        name: str,
        topics: Collection[str],
        functions: Mapping[str, Callable[[AsyncSession, Message], Awaitable[None]] | None],
        attempts: int = ...,
        first_wait: timedelta = ...,
        parallel: int = ...,
        batch: int = ...,
        dead_letters: str | None = ...,
        most_held: int = ...,
        rebalance_timeout: timedelta = ...,
    ) -> None: ...
    def __init__(
        self,
        database: Any,  # as the overloads say
        broker: Broker,
        *,
        name: str,
        topics: Collection[str],
        functions: Mapping[str, Any],
        attempts: int = 5,
        first_wait: timedelta = timedelta(milliseconds=200),
        parallel: int = 8,
        batch: int = 1,
        dead_letters: str | None = None,
        most_held: int = 10_000,
        rebalance_timeout: timedelta = timedelta(seconds=30),
    ) -> None:
        limits = Limits(attempts=attempts, first_wait=first_wait, batch=batch, rebalance_timeout=rebalance_timeout)
        letters = f"{name}.dead-letter" if dead_letters is None else dead_letters
        settings = _Settings(name, topics, parallel, limits, letters, most_held)
        self._database = Database(database, threads=parallel + 2)
        reception = Reception(name, settings.dead_letters, most_held)
        self._parallel = 1 if self._database.dialect == "sqlite" else parallel
        self._tally = Tally()
        self._transactions = Transactions(self._database, reception, functions)
        self._workers = Workers(self._database, reception, self._transactions, limits, self._tally)
        self._consuming = Consuming(name, broker, self._database, limits, topics=tuple(topics), tally=self._tally)
        self._task: asyncio.Task[None] | None = None

    @property
    def counts(self) -> ConsumerCounts:
        """What the consumer has done since it was made."""
        return self._tally.counts

    async def __aenter__(self) -> Self:
        """Connect and begin.

        Raises:
            BrokerError: if the broker does not answer or refuses, or a topic is missing.
            InboxError: if this kind of database is unknown or lacks the tables.
        """
        await self._database.__aenter__()
        ready = asyncio.get_running_loop().create_future()
        running = self._consuming.run(self._workers, self._transactions, self._parallel, ready)
        self._task = asyncio.create_task(running, name="saga-consumer")
        try:
            await asyncio.wait([ready, self._task], return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                await self._task
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Finish the transactions that run, commit the offsets and leave the group."""
        await self._end()

    async def wait(self) -> None:
        """Wait until the consumer cannot go on.

        While the broker or the database is away it begins anew by itself; this returns only with an error
        that another configuration has to mend.

        Raises:
            BrokerError: if the broker refuses this client for good, or another member of the group uses an
                assignment strategy that this one does not have.
        """
        if self._task is not None:
            await asyncio.shield(self._task)

    async def _end(self) -> None:
        if self._task is not None:
            self._consuming.stop()
            await asyncio.wait([self._task])
            if not self._task.cancelled():
                self._task.exception()  # whoever waits has it
        await self._database.__aexit__()
