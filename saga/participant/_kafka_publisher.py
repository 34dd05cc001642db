"""Sends records to Kafka in order of each key, through an idempotent producer."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from saga.errors import BrokerError
from saga.participant import _aiokafka as client
from saga.participant._broker import Published

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from saga.participant._outbox_rows import Record

__all__ = ("KafkaPublisher",)

MISSING_SECONDS: Final = 30.0  # how long a topic that was missing is taken to be missing still
LOOK_SECONDS: Final = 0.25
CLOSE_SECONDS: Final = 3.0


@dataclass(slots=True)
class _Outcome:
    """What became of the records so far."""

    done: list[int] = field(default_factory=list[int])
    refused: dict[int, str] = field(default_factory=dict[int, str])
    held: set[bytes] = field(default_factory=set[bytes])
    trouble: BrokerError | None = None

    def refuse(self, position: int, key: bytes, reason: str) -> None:
        self.refused[position] = reason
        self.held.add(key)


class KafkaPublisher:
    """Sends batches; one for each partition at a time, so that nothing overtakes what was refused.

    A refused batch leaves a gap in the numbers of an idempotent producer, so it is replaced then.
    """

    def __init__(self, make: Callable[[], client.Producer], servers: str, timeout: float, topic_timeout: float) -> None:
        self._make = make
        self._servers = servers
        self._timeout = timeout
        self._topic_timeout = topic_timeout
        self._producer: client.Producer | None = None
        self._missing: dict[str, float] = {}

    async def open(self) -> None:
        """Connect.

        Raises:
            BrokerError: if that is not possible now.
        """
        producer = self._make()
        try:
            async with asyncio.timeout(self._timeout):
                await producer.start()
        except (client.ClientError, OSError, TimeoutError) as error:
            await client.close_producer(producer, CLOSE_SECONDS)
            raise self._trouble(error) from error
        self._producer = producer

    async def close(self) -> None:
        """Disconnect."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await client.close_producer(producer, CLOSE_SECONDS)

    async def publish(self, records: Sequence[Record]) -> Published:
        """Send records; see `Publisher`."""
        outcome = _Outcome()
        places = await self._places(records, outcome)
        left = await asyncio.gather(*(self._send(place, all_, records, outcome) for place, all_ in places.items()))
        for place, positions in left:
            if positions and outcome.trouble is None:
                await self._one_by_one(place, positions, records, outcome)
        return Published(sorted(outcome.done), outcome.refused, outcome.trouble)

    # -- where to ------------------------------------------------------------------------

    async def _places(self, records: Sequence[Record], outcome: _Outcome) -> dict[tuple[str, int], list[int]]:
        topics = list(dict.fromkeys(record.topic for record in records))
        found = await asyncio.gather(*(self._partitions(topic) for topic in topics), return_exceptions=True)
        partitions = dict(zip(topics, found, strict=True))
        places: dict[tuple[str, int], list[int]] = defaultdict(list)
        for position, record in enumerate(records):
            known = partitions[record.topic]
            if isinstance(known, BrokerError):
                outcome.trouble = known
            elif isinstance(known, client.ClientError):
                if record.key not in outcome.held:
                    outcome.refuse(position, record.key, _reason(known, record.topic))
            elif isinstance(known, BaseException):
                raise known
            elif record.key not in outcome.held:
                places[record.topic, client.partition_of(record.key, known)].append(position)
        return places

    async def _partitions(self, topic: str) -> Collection[int]:
        latest = time.monotonic() + self._topic_timeout
        while not client.knows_topic(self._open, topic):
            if not await self._reached():
                raise BrokerError(f"no broker at {self._servers} answers")
            if client.knows_topic(self._open, topic):
                break
            if time.monotonic() > min(latest, self._missing.get(topic, latest)):
                self._missing[topic] = time.monotonic() + MISSING_SECONDS
                raise client.NoTopic
            await asyncio.sleep(LOOK_SECONDS)
        self._missing.pop(topic, None)
        return await self._open.partitions_for(topic)

    async def _reached(self) -> bool:
        try:
            async with asyncio.timeout(self._timeout):
                return await client.reaches_cluster(self._open)
        except TimeoutError:
            return False

    # -- sending -------------------------------------------------------------------------

    async def _send(
        self, place: tuple[str, int], positions: list[int], records: Sequence[Record], outcome: _Outcome
    ) -> tuple[tuple[str, int], list[int]]:
        """Send batch after batch; return what is left from the first refused batch on."""
        sent = 0
        for count, batch in self._batches(positions, records):
            refused = await self._deliver(place, batch, outcome)
            if refused is not None:
                return place, positions[sent:]
            if outcome.trouble is not None:
                break
            outcome.done += positions[sent : sent + count]
            sent += count
        return place, []

    async def _one_by_one(
        self, place: tuple[str, int], positions: list[int], records: Sequence[Record], outcome: _Outcome
    ) -> None:
        await self._renew(outcome)
        for position in positions:
            key = records[position].key
            if key in outcome.held or outcome.trouble is not None:
                continue
            _, batch = next(self._batches([position], records))
            refused = await self._deliver(place, batch, outcome)
            if refused is not None:
                outcome.refuse(position, key, _reason(refused, place[0]))
                await self._renew(outcome)
            elif outcome.trouble is None:
                outcome.done.append(position)

    def _batches(self, positions: list[int], records: Sequence[Record]) -> Iterator[tuple[int, Any]]:
        count, batch = 0, self._open.create_batch()
        for position in positions:
            record = records[position]
            if not _fits(batch, record):
                yield count, batch
                count, batch = 0, self._open.create_batch()
                _fits(batch, record)  # the first of a batch always does
            count += 1
        yield count, batch

    async def _deliver(self, place: tuple[str, int], batch: Any, outcome: _Outcome) -> Exception | None:
        """Send a batch and wait for the answer; return it if it is a refusal."""
        topic, partition = place
        try:
            async with asyncio.timeout(self._timeout):  # an idempotent producer of aiokafka never gives up
                await (await self._open.send_batch(batch, topic, partition=partition))
        except client.REFUSED as error:
            return error
        except (client.ClientError, OSError, TimeoutError) as error:
            outcome.trouble = self._trouble(error)
        return None

    async def _renew(self, outcome: _Outcome) -> None:
        try:
            await self.close()
            await self.open()
        except BrokerError as error:
            outcome.trouble = error

    @property
    def _open(self) -> client.Producer:
        if self._producer is None:
            raise BrokerError(f"the connection to {self._servers} is closed")
        return self._producer

    def _trouble(self, error: Exception) -> BrokerError:
        lasting = isinstance(error, client.LASTING)
        return BrokerError(f"Kafka at {self._servers}: {type(error).__name__}: {error}", lasting=lasting)


def _fits(batch: Any, record: Record) -> bool:
    added = batch.append(timestamp=None, key=record.key, value=record.value, headers=list(record.headers))
    return added is not None


def _reason(error: BaseException, topic: str) -> str:
    if isinstance(error, client.NoTopic):
        return f"Kafka has no topic {topic} and makes none"
    return f"{type(error).__name__} on topic {topic}: {error}"
