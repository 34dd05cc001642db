"""What a consumer does inside one transaction of its database: admit messages, or hold one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from sqlalchemy.exc import DBAPIError

from saga.participant import _inbox_rows as rows
from saga.participant._outbox_rows import insert_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from saga.participant._lanes import Delivery, Partition
    from saga.participant._message import Message

__all__ = ("Admitted", "Fenced", "Full", "Reception", "Repeated", "reason_of")

REASON_LENGTH: Final = 500


class Fenced(Exception):
    """Another assignment of the partition has begun."""

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        super().__init__(str(partition.place))


class Full(Exception):
    """As many messages are stored as may be."""


class Repeated(Exception):
    """Some of several messages came before."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """What is to be handled, and how many were stored instead."""

    messages: list[Message]
    stored: int = 0

    @property
    def handled(self) -> int:
        """How many are handled, once they are."""
        return len(self.messages)


@dataclass(frozen=True, slots=True)
class Reception:
    """How one consumer receives.

    Attributes:
        consumer: Its name.
        dead_letters: Topic for what cannot be handled; empty for none.
        most_held: How many messages are stored at most.
    """

    consumer: str
    dead_letters: str
    most_held: int

    def admit(self, connection: Connection, batch: Sequence[Delivery]) -> Admitted:
        """Note the messages as received and return those to handle: no repeats, none of a held key.

        Raises:
            Fenced: if a partition is another's by now.
            Full: if one is to be stored and there is no room.
            Repeated: if there are several, and some came before.
        """
        self._check(connection, batch)
        new = rows.note(connection, self.consumer, [delivery.message.id for delivery in batch])
        if new != len(batch):
            if len(batch) > 1:
                raise Repeated
            return Admitted([])
        held = rows.held_among(connection, self.consumer, {delivery.key for delivery in batch})
        free = [each.message for each in batch if not self._stored(connection, each, held)]
        return Admitted(free, len(batch) - len(free))

    def hold(self, connection: Connection, delivery: Delivery, reason: str) -> bool:
        """Hold a message and its key, and tell the dead-letter topic; False if it came before.

        Raises:
            Fenced: as above.
            Full: as above.
        """
        self._check(connection, [delivery])
        message = delivery.message
        if not rows.note(connection, self.consumer, [message.id]):
            return False
        self._expect_room(connection)
        rows.hold_key(connection, self.consumer, delivery.key, reason)
        rows.store(connection, self.consumer, message, dead_lettered=True)
        self.bury(connection, message, reason)
        return True

    def hold_again(self, connection: Connection, key: str, reason: str) -> None:
        """Hold a key whose first message failed once more, and tell the dead-letter topic if it does not know."""
        found = rows.next_held(connection, self.consumer, key)
        if found is None:
            return
        seq, message, known = found
        rows.settle_key(connection, self.consumer, key, seq, reason)
        if not known:
            self.bury(connection, message, reason)

    def bury(self, connection: Connection, message: Message, reason: str) -> None:
        """Write the dead letter into the outbox, with the headers that it came with."""
        if not self.dead_letters:
            return
        told = {"consumer": self.consumer, "place": message.place, "reason": reason}
        values = {
            "id": str(uuid4()),
            "aggregatetype": self.dead_letters,
            "aggregateid": message.key,
            "type": "saga.dead-letter",
            "payload": message.value,
            "source": self.consumer,
            "record_key": message.raw_key,
        }
        marks = tuple((f"saga-dead-letter-{name}", text.encode()) for name, text in told.items())
        insert_row(connection, values, (*message.headers, *marks))

    def _check(self, connection: Connection, batch: Sequence[Delivery]) -> None:
        partitions = {delivery.partition.place: delivery.partition for delivery in batch}
        for place, partition in sorted(partitions.items()):
            epoch = partition.epoch
            if epoch is None or not rows.is_mine(connection, self.consumer, place, epoch):
                raise Fenced(partition)

    def _stored(self, connection: Connection, delivery: Delivery, held: frozenset[str]) -> bool:
        if delivery.key not in held:
            return False
        self._expect_room(connection)
        rows.store(connection, self.consumer, delivery.message, dead_lettered=False)
        return True

    def _expect_room(self, connection: Connection) -> None:
        if not rows.room_for(connection, self.consumer, self.most_held):
            raise Full


def reason_of(error: BaseException) -> str:
    """Tell an operator why; what SQLAlchemy adds, with the values of a statement in it, stays out."""
    said = error.orig if isinstance(error, DBAPIError) else error
    text = f"{type(error).__name__}: {said}".encode(errors="backslashreplace").decode()
    return text.replace("\0", "\\0")[:REASON_LENGTH]
