"""The tables of outbox, relay, inbox and semantic lock in a participant's own database."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from saga.participant._table import create_tables, table_missing

if TYPE_CHECKING:
    from collections.abc import Generator

    from saga.errors import SagaError

__all__ = (
    "SHARDS",
    "consumer_partition",
    "create_messaging_tables",
    "held_key",
    "held_message",
    "inbox",
    "lock",
    "messaging_metadata",
    "outbox",
    "relay_lease",
    "tables_expected",
)

SHARDS: Final = 16
"""Into how many shards the outbox is divided; it is in the rows, so changing it is a migration."""

messaging_metadata = MetaData()
"""Metadata that holds the tables of outbox, inbox and semantic lock.

With Alembic, give it beside your own: `target_metadata = [Base.metadata, messaging_metadata]`.
"""

# SQLite numbers rows by itself in a column of exactly this type.
_Number: Final = BigInteger().with_variant(Integer, "sqlite")


def _number(name: str) -> Column[int]:
    return Column(name, _Number, primary_key=True, autoincrement=True)


outbox = Table(
    "saga_outbox",
    messaging_metadata,
    _number("seq"),
    Column("id", String(200), nullable=False),
    Column("aggregatetype", Text, nullable=False),
    Column("aggregateid", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("payload", LargeBinary),
    Column("source", Text, nullable=False),
    Column("content_type", Text),
    Column("traceparent", Text),
    Column("tracestate", Text),
    Column("headers", Text),
    Column("record_key", LargeBinary),
    Column("shard", SmallInteger, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("held_at", DateTime(timezone=True)),
    Column("held_reason", Text),
    sqlite_autoincrement=True,  # else a number is given again, and deleting what was read could delete what was not
)
Index("saga_outbox_next", outbox.c.shard, outbox.c.seq)
Index(
    "saga_outbox_held",
    outbox.c.aggregateid,
    sqlite_where=outbox.c.held_at.is_not(None),
    postgresql_where=outbox.c.held_at.is_not(None),
)

relay_lease = Table(
    "saga_relay_lease",
    messaging_metadata,
    Column("name", String(100), primary_key=True),
    Column("owner", String(36), nullable=False),
    Column("until_ms", BigInteger, nullable=False),
)

inbox = Table(
    "saga_inbox",
    messaging_metadata,
    Column("consumer", String(200), primary_key=True),
    Column("message_id", Text, primary_key=True),
    Column("received_at", DateTime(timezone=True), nullable=False, index=True),
)

consumer_partition = Table(
    "saga_consumer_partition",
    messaging_metadata,
    Column("consumer", String(200), primary_key=True),
    Column("topic", String(249), primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
)

held_key = Table(
    "saga_held_key",
    messaging_metadata,
    Column("consumer", String(200), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("since", DateTime(timezone=True), nullable=False),
)

held_message = Table(
    "saga_held_message",
    messaging_metadata,
    _number("seq"),
    Column("consumer", String(200), nullable=False),
    Column("key", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("topic", String(249), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("record_key", LargeBinary),
    Column("value", LargeBinary),
    Column("headers", Text, nullable=False),
    Column("dead_lettered", Integer, nullable=False),
    Column("sent_at", DateTime(timezone=True)),
    sqlite_autoincrement=True,
)
Index("saga_held_message_key", held_message.c.consumer, held_message.c.key, held_message.c.seq)

lock = Table(
    "saga_lock",
    messaging_metadata,
    _number("ticket"),
    Column("key", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("since", DateTime(timezone=True), nullable=False, index=True),
    UniqueConstraint("key", "owner", name="saga_lock_owner"),
    sqlite_autoincrement=True,
)
# Whatever goes wrong elsewhere, the database has no second holder.
Index(
    "saga_lock_holder",
    lock.c.key,
    unique=True,
    sqlite_where=lock.c.state == "held",
    postgresql_where=lock.c.state == "held",
)


def create_messaging_tables(bind: Engine | Connection) -> None:
    """Create the tables of outbox, inbox and semantic lock where they are missing.

    Safe when several processes do it at once. An `Engine` gets a transaction of its own; on a `Connection` it
    is the caller's to commit. On an asynchronous engine:
    `async with engine.begin() as c: await c.run_sync(create_messaging_tables)`. Who has migrations of his own
    gives `messaging_metadata` to them instead.

    Args:
        bind: The participant's own database, the one that holds its business tables.
    """
    if isinstance(bind, Engine):
        with bind.begin() as connection:
            create_messaging_tables(connection)
        return
    create_tables(bind, messaging_metadata)


@contextmanager
def tables_expected(error_type: type[SagaError]) -> Generator[None]:
    """Say what to do where the tables are missing."""
    try:
        yield
    except DBAPIError as error:
        if not table_missing(error):
            raise
        raise error_type(
            "this database lacks the tables of outbox and inbox: call create_messaging_tables(engine) once, or "
            "add messaging_metadata to the migrations of this participant"
        ) from error
