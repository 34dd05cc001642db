"""Receives records from Kafka as a member of a group."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from saga.errors import BrokerError
from saga.participant import _aiokafka as client
from saga.participant._broker import Received, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import timedelta

    from saga.participant._broker import Assignments

__all__ = ("KafkaSubscription",)

RECORDS: Final = 500  # at once
CLOSE_SECONDS: Final = 10.0


class KafkaSubscription:
    """See `Subscription`. It stands between the client and whoever is told about assignments."""

    def __init__(
        self, options: Mapping[str, Any], topics: Collection[str], assignments: Assignments, timeout: float
    ) -> None:
        self._servers = str(options["bootstrap_servers"])
        self._timeout = timeout
        self._topics = topics
        self._assignments = assignments
        self._consumer = client.new_consumer(options, topics, self)

    async def open(self) -> None:
        """Connect and join the group.

        Raises:
            BrokerError: if no broker answers, or a topic is missing.
        """
        try:
            async with asyncio.timeout(self._timeout):
                await self._consumer.start()  # waits for its topics
        except (client.ClientError, OSError, TimeoutError) as error:
            missing = await self._missing()
            await self.close()
            if missing:
                raise BrokerError(f"Kafka at {self._servers} has no topic {missing}: create it") from error
            raise self._trouble(error) from error
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Leave the group."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._consumer.stop()
        except (client.ClientError, OSError, TimeoutError):
            pass  # the group notices by the session's timeout

    # -- told by the client --------------------------------------------------------------

    async def assigned(self, partitions: Collection[tuple[str, int]]) -> None:
        """Pause what is new, then tell."""
        self._consumer.pause(*partitions)
        await self._assignments.assigned([TopicPartition(*each) for each in partitions])

    async def revoked(self, partitions: Collection[tuple[str, int]]) -> None:
        """Tell."""
        await self._assignments.revoked([TopicPartition(*each) for each in partitions])

    # -- asked by the consumer -----------------------------------------------------------

    async def fetch(self, within: timedelta) -> Mapping[TopicPartition, Sequence[Received]]:
        """Return what has come; see `Subscription`."""
        milliseconds = round(within.total_seconds() * 1000)
        try:
            found = await self._consumer.getmany(timeout_ms=milliseconds, max_records=RECORDS)
        except (client.ClientError, OSError) as error:
            raise self._trouble(error) from error
        return {TopicPartition(*place): [_received(record) for record in records] for place, records in found.items()}

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """Commit; see `Subscription`."""
        places = {client.new_topic_partition(*place): offset for place, offset in offsets.items()}
        try:
            async with asyncio.timeout(self._timeout):
                await self._consumer.commit(places)
        except client.CommitRefused:
            return False
        except (client.ClientError, OSError, TimeoutError) as error:
            raise self._trouble(error) from error
        return True

    async def go_back(self, partition: TopicPartition) -> None:
        """Seek; see `Subscription`."""
        place = client.new_topic_partition(*partition)
        try:
            async with asyncio.timeout(self._timeout):
                offset = await self._consumer.committed(place)
                if offset is None:  # `seek_to_beginning` may miss the end of the reset that it waits for
                    offset = (await self._consumer.beginning_offsets([place]))[place]
                self._consumer.seek(place, offset)
        except (client.ClientError, OSError, TimeoutError) as error:
            raise self._trouble(error) from error

    def deliver(self, partitions: Collection[TopicPartition]) -> None:
        """Resume those and pause the others; see `Subscription`."""
        wanted = {client.new_topic_partition(*each) for each in partitions}
        mine, paused = set(self._consumer.assignment()), set(self._consumer.paused())
        if pause := mine - wanted - paused:
            self._consumer.pause(*pause)
        if resume := mine & wanted & paused:
            self._consumer.resume(*resume)

    async def _missing(self) -> str:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                return ", ".join(sorted(set(self._topics) - set(await self._consumer.topics())))
        except (client.ClientError, OSError, TimeoutError):
            return ""  # nobody answers, so nobody knows

    def _trouble(self, error: Exception) -> BrokerError:
        lasting = isinstance(error, client.LASTING)
        return BrokerError(f"Kafka at {self._servers}: {type(error).__name__}: {error}", lasting=lasting)


def _received(record: client.ConsumerRecord) -> Received:
    when = datetime.fromtimestamp(record.timestamp / 1000, UTC) if record.timestamp > 0 else None
    headers = tuple((name, value if value is not None else b"") for name, value in record.headers)
    return Received(record.offset, record.key, record.value, headers, when)
