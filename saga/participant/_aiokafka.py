"""The edge to aiokafka, which has no types: what this library uses of it, typed here and nowhere else."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingParameterType=false
# pyright: reportUntypedBaseClass=false, reportIncompatibleMethodOverride=false, reportPrivateUsage=false
# mypy: disable-error-code="import-untyped, misc, no-any-return"

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import aiokafka
from aiokafka import errors
from aiokafka.partitioner import DefaultPartitioner

if TYPE_CHECKING:
    from collections.abc import Awaitable, Collection, Iterable, Mapping, Sequence

    from saga.participant._broker import Assignments

__all__ = (
    "LASTING",
    "REFUSED",
    "ClientError",
    "CommitRefused",
    "Consumer",
    "ConsumerRecord",
    "NoTopic",
    "Producer",
    "Stopped",
    "close_producer",
    "knows_topic",
    "new_consumer",
    "new_producer",
    "new_topic_partition",
    "partition_of",
    "reaches_cluster",
)

ClientError: Final[type[Exception]] = errors.KafkaError
NoTopic: Final[type[Exception]] = errors.UnknownTopicOrPartitionError
Stopped: Final[type[Exception]] = errors.ConsumerStoppedError
CommitRefused: Final[tuple[type[Exception], ...]] = (
    errors.CommitFailedError,
    errors.IllegalStateError,
    errors.IllegalGenerationError,
    errors.UnknownMemberIdError,
    errors.RebalanceInProgressError,
)
REFUSED: Final[tuple[type[Exception], ...]] = (
    errors.MessageSizeTooLargeError,
    errors.RecordListTooLargeError,
    errors.RecordTooLargeError,
    errors.InvalidTopicError,
    errors.TopicAuthorizationFailedError,
    errors.PolicyViolationError,
    errors.InvalidTimestampError,
)
"""What concerns the record and will be the same next time."""

LASTING: Final[tuple[type[Exception], ...]] = (
    errors.InconsistentGroupProtocolError,
    errors.GroupAuthorizationFailedError,
    errors.TopicAuthorizationFailedError,
    errors.ClusterAuthorizationFailedError,
    errors.AuthenticationFailedError,
    errors.UnsupportedSaslMechanismError,
    errors.InvalidGroupIdError,
    errors.InvalidTopicError,
    errors.UnsupportedVersionError,
)
"""What only another configuration mends."""


class Batch(Protocol):
    """A batch that is being filled."""

    def append(
        self, *, timestamp: int | None, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]
    ) -> object | None:
        """Add a record; None if it has no room."""
        ...


class Producer(Protocol):
    """Sends."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def partitions_for(self, topic: str) -> Collection[int]: ...
    def create_batch(self) -> Batch: ...
    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> Awaitable[object]: ...


class ConsumerRecord(Protocol):
    """A record as it comes."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class Consumer(Protocol):
    """Receives. A partition is a pair of topic and number."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def topics(self) -> Collection[str]: ...
    async def getmany(self, *, timeout_ms: int, max_records: int) -> Mapping[Any, Sequence[ConsumerRecord]]: ...
    async def commit(self, offsets: Mapping[Any, int]) -> None: ...
    async def committed(self, partition: Any) -> int | None: ...
    async def beginning_offsets(self, partitions: Sequence[Any]) -> Mapping[Any, int]: ...
    def seek(self, partition: Any, offset: int) -> None: ...
    def pause(self, *partitions: Any) -> None: ...
    def resume(self, *partitions: Any) -> None: ...
    def paused(self) -> Collection[Any]: ...
    def assignment(self) -> Collection[Any]: ...


class _Listener(aiokafka.ConsumerRebalanceListener):
    def __init__(self, assignments: Assignments) -> None:
        self._assignments = assignments

    async def on_partitions_revoked(self, revoked: Collection[Any]) -> None:
        await self._assignments.revoked(revoked)

    async def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
        await self._assignments.assigned(assigned)


def new_producer(options: Mapping[str, Any]) -> Producer:
    """Make a producer, which has to be started."""
    return cast("Producer", aiokafka.AIOKafkaProducer(**options))


def new_consumer(options: Mapping[str, Any], topics: Iterable[str], assignments: Assignments) -> Consumer:
    """Make a consumer, which has to be started; it subscribes then."""
    consumer = aiokafka.AIOKafkaConsumer(**options)
    consumer.subscribe(list(topics), listener=_Listener(assignments))
    return cast("Consumer", consumer)


def new_topic_partition(topic: str, partition: int) -> Any:  # its own kind of tuple
    """Name a partition as the client does."""
    return aiokafka.TopicPartition(topic, partition)


def partition_of(key: bytes, partitions: Collection[int]) -> int:
    """Choose the partition of a key, as every Kafka client does by default."""
    ordered = sorted(partitions)
    return cast("int", DefaultPartitioner()(key, ordered, ordered))


async def reaches_cluster(producer: Producer) -> bool:
    """Whether a broker answers at all."""
    return bool(await cast("Any", producer).client.force_metadata_update())


def knows_topic(producer: Producer, topic: str) -> bool:
    """Whether the cluster has that topic, as far as was asked; else asks for it with the next update."""
    client = cast("Any", producer).client
    if topic in client.cluster.unauthorized_topics:
        raise errors.TopicAuthorizationFailedError(topic)
    if client.cluster.partitions_for_topic(topic) is not None:
        return True
    client.add_topic(topic)
    return False


async def close_producer(producer: Producer, seconds: float) -> None:
    """Close a producer; what it could not send in that time it forgets."""
    with contextlib.suppress(errors.KafkaError, TimeoutError, OSError):
        await asyncio.wait_for(producer.stop(), seconds)
        return
    inner = cast("Any", producer)
    with contextlib.suppress(errors.KafkaError, OSError):
        await inner._sender.close()  # noqa: SLF001 - there is no other way to give up
        await inner.client.close()
