"""The statements that are run on the outbox."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import BigInteger, Insert, bindparam, delete, func, insert, select, update

from saga.errors import OutboxError
from saga.participant._headers import Headers, from_json, to_json, to_pairs
from saga.participant._tables import SHARDS, outbox, tables_expected

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy.engine import Connection

__all__ = ("Record", "Row", "delete_rows", "hold", "insert_row", "lock_key", "next_rows", "shard_of")


@dataclass(frozen=True, slots=True)
class Record:
    """A message as a broker takes it.

    Attributes:
        topic: Where to.
        key: What its order is kept by.
        value: The payload; None is a tombstone.
        headers: Names and values.
    """

    topic: str
    key: bytes
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class Row:
    """A row that waits to be published.

    Attributes:
        seq: Its number.
        key: Id of the aggregate.
        record: What is published.
    """

    seq: int
    key: str
    record: Record


_COLUMNS: Final = tuple(column.name for column in outbox.c if column.name not in {"seq", "held_at", "held_reason"})
_VALUES: Final = tuple(bindparam(name, type_=outbox.c[name].type) for name in _COLUMNS)
# Writers of one aggregate wait for each other before a number is drawn: so the numbers of an aggregate are in the
# order of its commits. The number is drawn when the row is made, and there is no row before there is the lock.
_LOCKED: Final = (
    select(func.pg_advisory_xact_lock(bindparam("lock", type_=BigInteger)).label("taken"))
    .cte("locked")
    .prefix_with("MATERIALIZED", dialect="postgresql")
)
_INSERT: Final[dict[str, Insert]] = {
    # SQLite has one writer at a time, from its first write on.
    "sqlite": insert(outbox).values({name: bindparam(name) for name in _COLUMNS}).inline(),
    "postgresql": insert(outbox).from_select(
        list(_COLUMNS), select(*_VALUES).select_from(_LOCKED), include_defaults=False
    ),
}
_held = outbox.alias("held")
_WAITING: Final = outbox.c.held_at.is_(None) & ~(
    select(_held.c.seq)
    .where(_held.c.aggregateid == outbox.c.aggregateid, _held.c.held_at.is_not(None))
    .correlate(outbox)
    .exists()
)
# Always the lowest: a row that was committed late has a lower number than others that are gone already.
_NEXT: Final = (
    select(outbox)
    .where(outbox.c.shard.in_(bindparam("shards", expanding=True)), _WAITING)
    .order_by(outbox.c.seq)
    .limit(bindparam("limit"))
)
_DELETE: Final = delete(outbox).where(outbox.c.seq == bindparam("at_seq"))
_HOLD: Final = update(outbox).where(outbox.c.seq == bindparam("at_seq"))


def shard_of(key: str) -> int:
    """Return the shard of an aggregate."""
    return zlib.crc32(key.encode()) % SHARDS


def lock_key(purpose: str, key: str) -> int:
    """Return the number of an advisory lock; equal numbers only make two wait that need not."""
    digest = hashlib.blake2b(f"{purpose}\0{key}".encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


def insert_row(connection: Connection, values: Mapping[str, Any], headers: Mapping[str, str | bytes] | Headers) -> None:
    """Insert a row; `values` holds what differs from row to row."""
    statement = _INSERT.get(connection.dialect.name)
    if statement is None:
        known = " and ".join(sorted(_INSERT))
        raise OutboxError(f"the outbox knows {known}; this database is {connection.dialect.name}")
    key = values["aggregateid"]
    pairs = headers if isinstance(headers, tuple) else to_pairs(headers)
    row = dict.fromkeys(_COLUMNS) | {"created_at": datetime.now(UTC), "shard": shard_of(key)} | dict(values)
    row["headers"] = to_json(pairs) if pairs else None
    if connection.dialect.name == "postgresql":
        row["lock"] = lock_key("saga_outbox", key)
    with tables_expected(OutboxError):
        connection.execute(statement, row)


def next_rows(connection: Connection, shards: Iterable[int], limit: int) -> list[Row]:
    """Read the oldest rows of those shards that may be published."""
    with tables_expected(OutboxError):
        found = connection.execute(_NEXT, {"shards": list(shards), "limit": limit}).mappings().all()
    return [_row(values) for values in found]


def delete_rows(connection: Connection, numbers: Sequence[int]) -> None:
    """Delete the rows with those numbers, and no others."""
    if numbers:
        connection.execute(_DELETE, [{"at_seq": seq} for seq in numbers])


def hold(connection: Connection, seq: int, reason: str) -> None:
    """Keep a row, and with it its key, from being published."""
    connection.execute(_HOLD.values(held_at=datetime.now(UTC), held_reason=reason), {"at_seq": seq})


def _row(values: Mapping[Any, Any]) -> Row:
    key: str = values["aggregateid"]
    raw = values["record_key"]
    return Row(
        seq=values["seq"],
        key=key,
        record=Record(values["aggregatetype"], key.encode() if raw is None else raw, values["payload"], _all(values)),
    )


def _all(values: Mapping[Any, Any]) -> Headers:
    given = from_json(values["headers"])
    names = {name for name, _ in given}
    return (*((name, value) for name, value in _composed(values) if name not in names), *given)


def _composed(values: Mapping[Any, Any]) -> Iterable[tuple[str, bytes]]:
    # CloudEvents, Kafka protocol binding 1.0.2, binary content mode.
    texts: dict[str, str | None] = {
        "ce_specversion": "1.0",
        "ce_id": values["id"],
        "ce_source": values["source"],
        "ce_type": values["type"],
        "ce_subject": values["aggregateid"],
        "ce_time": _instant(values["created_at"]),
        "content-type": values["content_type"],
        "traceparent": values["traceparent"],
        "tracestate": values["tracestate"],
    }
    return [(name, text.encode()) for name, text in texts.items() if text]


def _instant(when: datetime) -> str:
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)  # SQLite forgets the zone
    return aware.astimezone(UTC).isoformat().replace("+00:00", "Z")
