"""A service in a process of its own: it consumes one topic, does an effect for each message, tells of it on another.

It kills itself at the point that it is told, as a crash would: no clean-up of any kind runs.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, create_engine, text

from saga.participant import Consumer, KafkaBroker, Message, Relay, outbox

POINTS = ("before the effect", "in the transaction", "before publish", "after publish", "before the offset")


def die() -> None:
    """Ends like a crash."""
    os.kill(os.getpid(), signal.SIGKILL)


class Dying:
    """A broker in whose hands the process dies."""

    def __init__(self, broker: KafkaBroker, point: str) -> None:
        self.broker = broker
        self.point = point

    @asynccontextmanager
    async def publisher(self) -> AsyncGenerator[Any]:
        """Dies before or after records are sent."""
        async with self.broker.publisher() as publisher:
            real = publisher.publish

            async def publish(records: Sequence[Any]) -> Any:
                if self.point == "before publish":
                    die()
                published = await real(records)
                if self.point == "after publish":
                    die()
                return published

            publisher.publish = publish  # type: ignore[method-assign]
            yield publisher

    @asynccontextmanager
    async def subscribe(
        self, topics: Collection[str], group: str, assignments: Any, rebalance_timeout: timedelta
    ) -> AsyncGenerator[Any]:
        """Dies before offsets are committed."""
        async with self.broker.subscribe(topics, group, assignments, rebalance_timeout) as subscription:
            real = subscription.commit

            async def commit(offsets: Mapping[Any, int]) -> bool:
                if self.point == "before the offset":
                    die()
                return await real(offsets)

            subscription.commit = commit  # type: ignore[method-assign]
            yield subscription


async def main(url: str, address: str, incoming: str, outgoing: str, point: str) -> None:
    """Serves until it is killed."""
    engine = create_engine(url)
    broker = Dying(KafkaBroker(address), point)

    def act(connection: Connection, message: Message) -> None:
        if point == "before the effect":
            die()
        connection.execute(
            text("INSERT INTO effects (key, what) VALUES (:key, :what)"),
            {"key": message.key, "what": str(message.decode(int))},
        )
        outbox.publish(connection, outgoing, message.decode(int), key=message.key, type="done")
        if point == "in the transaction":
            die()

    consumer = Consumer(engine, broker, name="child", topics=[incoming], functions={"asked": act})
    async with Relay(engine, broker, lease=timedelta(seconds=1)), consumer:
        await consumer.wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
