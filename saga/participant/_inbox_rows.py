"""The statements that are run on inbox, epochs and held messages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Insert, bindparam, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from saga.errors import InboxError
from saga.participant._broker import TopicPartition
from saga.participant._headers import from_json, to_json
from saga.participant._message import Message
from saga.participant._tables import consumer_partition, held_key, held_message, inbox, tables_expected

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Executable
    from sqlalchemy.engine import Connection, CursorResult

__all__ = (
    "DRAINING",
    "HELD",
    "bump",
    "draining",
    "held_among",
    "hold_key",
    "is_mine",
    "next_held",
    "note",
    "remove_held",
    "room_for",
    "settle_key",
    "store",
)

HELD: Final = "held"
DRAINING: Final = "draining"

_NOTE: Final[dict[str, Insert]] = {
    "postgresql": postgresql.insert(inbox).on_conflict_do_nothing(),
    "sqlite": sqlite.insert(inbox).on_conflict_do_nothing(),
}
_HOLD: Final[dict[str, Insert]] = {
    "postgresql": postgresql.insert(held_key).on_conflict_do_nothing(),
    "sqlite": sqlite.insert(held_key).on_conflict_do_nothing(),
}
_NEXT_EPOCH: Final = {"epoch": consumer_partition.c.epoch + 1}
_PLACE: Final = ["consumer", "topic", "partition"]
_BUMP: Final = {
    "postgresql": postgresql.insert(consumer_partition)
    .on_conflict_do_update(index_elements=_PLACE, set_=_NEXT_EPOCH)
    .returning(consumer_partition.c.epoch),
    "sqlite": sqlite.insert(consumer_partition)
    .on_conflict_do_update(index_elements=_PLACE, set_=_NEXT_EPOCH)
    .returning(consumer_partition.c.epoch),
}
_MINE: Final = (
    (consumer_partition.c.consumer == bindparam("of_consumer"))
    & (consumer_partition.c.topic == bindparam("of_topic"))
    & (consumer_partition.c.partition == bindparam("of_partition"))
    & (consumer_partition.c.epoch == bindparam("of_epoch"))
)
_SHARE: Final = select(consumer_partition.c.epoch).where(_MINE).with_for_update(read=True)
_TOUCH: Final = update(consumer_partition).where(_MINE).values(epoch=consumer_partition.c.epoch)
_HELD_AMONG: Final = (
    select(held_key.c.key)
    .where(held_key.c.consumer == bindparam("of_consumer"), held_key.c.key.in_(bindparam("keys", expanding=True)))
    .with_for_update(read=True)
)
_KEY: Final = (held_key.c.consumer == bindparam("of_consumer")) & (held_key.c.key == bindparam("of_key"))
_LOCK_KEY: Final = select(held_key.c.state).where(_KEY).with_for_update(skip_locked=True)
_TOUCH_KEY: Final = update(held_key).where(_KEY).values(state=held_key.c.state)
_FIRST: Final = (
    select(held_message)
    .where(held_message.c.consumer == bindparam("of_consumer"), held_message.c.key == bindparam("of_key"))
    .order_by(held_message.c.seq)
    .limit(1)
)


def bump(connection: Connection, consumer: str, place: TopicPartition) -> int:
    """Begin a new epoch of a partition: from the commit on, nobody works in an older one.

    On PostgreSQL this waits for the transactions of the epoch before.
    """
    values = {"consumer": consumer, "topic": place.topic, "partition": place.partition, "epoch": 1}
    with tables_expected(InboxError):
        epoch: int = connection.execute(_BUMP[_dialect(connection)], values).scalar_one()
    return epoch


def is_mine(connection: Connection, consumer: str, place: TopicPartition, epoch: int) -> bool:
    """Whether this epoch of the partition is the latest, and stays it until the transaction ends."""
    at = {"of_consumer": consumer, "of_topic": place.topic, "of_partition": place.partition, "of_epoch": epoch}
    if _dialect(connection) == "sqlite":  # the first write takes the one lock that there is
        return _count(connection, _TOUCH, at) == 1
    return connection.execute(_SHARE, at).first() is not None


def note(connection: Connection, consumer: str, ids: Sequence[str]) -> int:
    """Note messages by their ids; return how many were not noted before."""
    now = datetime.now(UTC)
    rows = [{"consumer": consumer, "message_id": id, "received_at": now} for id in ids]
    return _count(connection, _NOTE[_dialect(connection)], rows[0] if len(rows) == 1 else rows)


def held_among(connection: Connection, consumer: str, keys: Iterable[str]) -> frozenset[str]:
    """Tell which of the keys are held, and keep them from being released until the transaction ends."""
    found = connection.scalars(_HELD_AMONG, {"of_consumer": consumer, "keys": list(keys)})
    return frozenset(found)


def room_for(connection: Connection, consumer: str, most: int) -> bool:
    """Whether one more message may be stored."""
    stored = connection.scalar(select(func.count()).where(held_message.c.consumer == consumer))
    return (stored or 0) < most


def hold_key(connection: Connection, consumer: str, key: str, reason: str) -> None:
    """Hold a key, unless it is held already."""
    row = {"consumer": consumer, "key": key, "state": HELD, "reason": reason, "since": datetime.now(UTC)}
    connection.execute(_HOLD[_dialect(connection)], row)


def store(connection: Connection, consumer: str, message: Message, *, dead_lettered: bool) -> None:
    """Store a message behind those of its key."""
    connection.execute(
        held_message.insert().inline(),
        {
            "consumer": consumer,
            "key": message.key,
            "message_id": message.id,
            "topic": message.topic,
            "partition": message.partition,
            "offset": message.offset,
            "record_key": message.raw_key,
            "value": message.value,
            "headers": to_json(message.headers),
            "dead_lettered": int(dead_lettered),
            "sent_at": message.sent_at,
        },
    )


def draining(connection: Connection, consumer: str) -> list[str]:
    """List the keys that somebody wants to go on."""
    chosen = select(held_key.c.key).where(held_key.c.consumer == consumer, held_key.c.state == DRAINING)
    _dialect(connection)
    with tables_expected(InboxError):
        return list(connection.scalars(chosen))


def next_held(connection: Connection, consumer: str, key: str) -> tuple[int, Message, bool] | None:
    """Lock a key that drains, and return its first message: number, itself, whether it was dead-lettered.

    When no message is left the key is free. None then, and if somebody else is at it.
    """
    at = {"of_consumer": consumer, "of_key": key}
    if _dialect(connection) == "sqlite":
        _count(connection, _TOUCH_KEY, at)
    if connection.scalar(_LOCK_KEY, at) != DRAINING:
        return None
    row = connection.execute(_FIRST, at).mappings().one_or_none()
    if row is None:
        connection.execute(delete(held_key).where(_KEY), at)
        return None
    headers = from_json(row["headers"])
    message = Message(
        row["topic"], row["partition"], row["offset"], row["record_key"], row["value"], headers, row["sent_at"]
    )
    return row["seq"], message, bool(row["dead_lettered"])


def remove_held(connection: Connection, seq: int) -> None:
    """Delete a stored message."""
    connection.execute(delete(held_message).where(held_message.c.seq == seq))


def settle_key(connection: Connection, consumer: str, key: str, seq: int, reason: str) -> None:
    """Hold a key again whose first message failed once more; that message is dead-lettered now."""
    at = {"of_consumer": consumer, "of_key": key}
    connection.execute(update(held_key).where(_KEY).values(state=HELD, reason=reason), at)
    connection.execute(update(held_message).where(held_message.c.seq == seq).values(dead_lettered=1))


def _dialect(connection: Connection) -> str:
    name: str = connection.dialect.name
    if name not in _NOTE:
        raise InboxError(f"the inbox knows postgresql and sqlite; this database is {name}")
    return name


def _count(connection: Connection, statement: Executable, values: Any) -> int:  # one row or a list of them
    with tables_expected(InboxError):
        result: CursorResult[Any] = connection.execute(statement, values, execution_options={"preserve_rowcount": True})
    return result.rowcount
