"""What a consumer has in memory: messages in lanes, one for each key, and how far each partition is done."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from saga.participant._broker import TopicPartition
    from saga.participant._message import Message

__all__ = ("Delivery", "Lanes", "Partition")


@dataclass(slots=True, eq=False)
class Delivery:
    """A message that came, on its way through a consumer."""

    message: Message
    partition: Partition
    key: str
    attempts: int = 0
    done: bool = False


@dataclass(slots=True, eq=False)
class Partition:
    """One assignment of a partition, from the moment it is assigned until it is revoked.

    Attributes:
        place: Which partition.
        epoch: The number by which the database knows this assignment; None until it does.
        revoked: Whether it is over.
        blocked: Whether a message of it finds no room among those that are held.
        taken: How many of its messages are in a transaction now.
        idle: Set while none is.
        committed: Where to go on, as the broker was told.
    """

    place: TopicPartition
    epoch: int | None = None
    revoked: bool = False
    blocked: bool = False
    taken: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    committed: int | None = None
    _open: deque[Delivery] = field(default_factory=deque["Delivery"])
    _low: int | None = None

    def __post_init__(self) -> None:
        self.idle.set()

    @property
    def waiting(self) -> int:
        """How many messages are not done, or wait for one before them."""
        return len(self._open)

    def came(self, delivery: Delivery) -> None:
        """Note a message, in the order of the partition."""
        self._open.append(delivery)

    def low_water_mark(self) -> int | None:
        """Return the offset before which everything that came is done; None if nothing is."""
        while self._open and self._open[0].done:
            self._low = self._open.popleft().message.offset + 1
        return self._low

    def begin(self) -> None:
        """Note that a message goes into a transaction."""
        self.taken += 1
        self.idle.clear()

    def end(self) -> None:
        """Note that it came out again."""
        self.taken -= 1
        if not self.taken:
            self.idle.set()


class Lanes:
    """Messages that wait: in order within a lane, lanes beside each other. A lane is at one worker at a time."""

    def __init__(self) -> None:
        self._lanes: dict[str, deque[Delivery]] = {}
        self._ready: deque[str] = deque()
        self._at_work: set[str] = set()
        self._some = asyncio.Event()

    def add(self, delivery: Delivery) -> None:
        """Put a message at the end of its lane."""
        lane = self._lanes.get(delivery.key)
        if lane is None:
            self._lanes[delivery.key] = deque([delivery])
            self._make_ready(delivery.key)
        else:
            lane.append(delivery)

    async def take(self, limit: int) -> list[Delivery]:
        """Wait for messages and take some, whole lanes if they fit; their lanes are at work until `release`."""
        while not self._ready:
            self._some.clear()
            await self._some.wait()
        batch: list[Delivery] = []
        while self._ready and len(batch) < limit:
            key = self._ready.popleft()
            self._at_work.add(key)
            lane = self._lanes[key]
            while lane and len(batch) < limit:
                batch.append(lane.popleft())
        for delivery in batch:
            delivery.partition.begin()
        return batch

    def done(self, deliveries: Iterable[Delivery]) -> None:
        """Note that messages that were taken need nothing more."""
        for delivery in deliveries:
            delivery.done = True
            delivery.partition.end()

    def put_back(self, deliveries: list[Delivery]) -> None:
        """Put messages of one lane, in order, back to its beginning; those that were revoked meanwhile go."""
        for delivery in reversed(deliveries):
            delivery.partition.end()
            if not delivery.partition.revoked:
                self._lanes[delivery.key].appendleft(delivery)

    def release(self, key: str) -> None:
        """Let the next worker have the lane."""
        self._at_work.discard(key)
        if self._lanes[key]:
            self._make_ready(key)
        else:
            del self._lanes[key]

    def forget(self, partition: Partition) -> None:
        """Drop what waits of a partition that is gone."""
        for key in list(self._lanes):
            kept = deque(each for each in self._lanes[key] if each.partition is not partition)
            self._lanes[key] = kept
            if not kept and key not in self._at_work:
                del self._lanes[key]
        self._ready = deque(key for key in self._ready if key in self._lanes)

    def _make_ready(self, key: str) -> None:
        self._ready.append(key)
        self._some.set()
