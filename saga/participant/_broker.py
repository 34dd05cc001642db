"""The port to a message broker: what relay and consumer ask of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime, timedelta

    from saga.errors import BrokerError
    from saga.participant._headers import Headers
    from saga.participant._outbox_rows import Record

__all__ = ("Assignments", "Broker", "Published", "Publisher", "Received", "Subscription", "TopicPartition")


class TopicPartition(NamedTuple):
    """One partition of a topic."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Received:
    """A record as it came, before anybody tries to understand it.

    Attributes:
        offset: Its place in its partition.
        key: As it came; None if it has none.
        value: As it came; None is a tombstone.
        headers: Names and values as they came.
        sent_at: When it was sent, in UTC, if that is known.
    """

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    sent_at: datetime | None


@dataclass(frozen=True, slots=True)
class Published:
    """What became of the records that were handed to a publisher.

    Attributes:
        done: Positions of those that the broker holds.
        refused: Positions of those that it will never take as they are, and why.
        trouble: Why the others were not published now; None if they only wait behind a refused one.
    """

    done: Sequence[int]
    refused: Mapping[int, str]
    trouble: BrokerError | None


class Publisher(Protocol):
    """Sends records."""

    async def publish(self, records: Sequence[Record]) -> Published:
        """Send records, those of one key in order; behind a refused one, those of its key stay unsent."""
        ...


class Assignments(Protocol):
    """Is told which partitions a subscription has."""

    async def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """Take note of the partitions; each is paused until it is resumed."""
        ...

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Let go of the partitions; offsets can be committed until this returns."""
        ...


class Subscription(Protocol):
    """Receives records as a member of a group."""

    async def fetch(self, within: timedelta) -> Mapping[TopicPartition, Sequence[Received]]:
        """Return what has come, after that time at the latest."""
        ...

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """Commit where to go on; False if this member may not any more."""
        ...

    async def go_back(self, partition: TopicPartition) -> None:
        """Go on at the committed offset, or at the first record if none was committed."""
        ...

    def deliver(self, partitions: Collection[TopicPartition]) -> None:
        """Fetch from those of the assigned partitions and from no others."""
        ...


class Broker(Protocol):
    """A message broker."""

    def publisher(self) -> AbstractAsyncContextManager[Publisher]:
        """Connect to send."""
        ...

    def subscribe(
        self, topics: Collection[str], group: str, assignments: Assignments, rebalance_timeout: timedelta
    ) -> AbstractAsyncContextManager[Subscription]:
        """Connect to receive as a member of a group."""
        ...
