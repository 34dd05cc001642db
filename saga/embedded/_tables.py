"""The journal's tables: instances, their facts, requests from other processes, and who owns what.

Every instant is an integer: microseconds since 1970-01-01 UTC. That is eight bytes, sorts as it reads,
loses nothing of a `datetime`, and is the same on SQLite and PostgreSQL.

Facts and requests refer to an instance by its number, not by its id: the number is short and grows with
time, so the facts of open instances lie on few pages however random the ids are.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    event,
)

__all__ = (
    "JOURNAL_VERSION",
    "NOBODY",
    "facts",
    "instances",
    "instant",
    "metadata",
    "micros",
    "owners",
    "requests",
    "versions",
)

JOURNAL_VERSION = "0001"
"""Revision of the tables below; the newest file in `_migrations/versions` makes it."""

NOBODY = ""
"""Owner of an instance that nobody drives: it ended, or was started by a process that drives none."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NUMBER = BigInteger().with_variant(Integer(), "sqlite")  # only INTEGER PRIMARY KEY is SQLite's own row key

metadata = MetaData()


def _partial_index(name: str, table: Table, column: str, condition: str) -> None:
    # Not an `Index` with a condition for each dialect: SQLAlchemy loads every dialect that such an option
    # names, and a process with a SQLite file has no use for PostgreSQL's.
    statement = f"CREATE INDEX {name} ON {table.name} ({column}) WHERE {condition}"

    def create(_: Table, connection: Connection, **_options: object) -> None:
        connection.exec_driver_sql(statement)

    event.listen(table, "after_create", create)


instances = Table(
    "saga_instances",
    metadata,
    Column("number", _NUMBER, Identity(), primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("saga", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("parent", Text),
    Column("owner", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("request_hash", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("kernel", Integer, nullable=False),
)

Index("saga_instances_listed", instances.c.saga, instances.c.state, instances.c.number)
# Recovery and take-over read this one: it stays as small as the number of open instances.
_partial_index("saga_instances_open", instances, "owner, saga", "ended_at IS NULL")
_partial_index("saga_instances_children", instances, "parent", "parent IS NOT NULL")

# Not WITHOUT ROWID: there a row of more than a quarter of a page spills onto a page of its own, which
# made payloads of 1.5 KB take three times their size and a third of the speed.
facts = Table(
    "saga_facts",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("body", Text, nullable=False),
    Column("payload", Text),
)

requests = Table(
    "saga_requests",
    metadata,
    Column("request", _NUMBER, Identity(), primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Column("payload", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("answered_at", BigInteger),
    Column("error", Text),
    Column("answer", Text),
    sqlite_autoincrement=True,  # whoever waits for an answer must never read that of a later request
)
# One value throughout: what counts is that nothing else is in it.
_partial_index("saga_requests_open", requests, "answered_at", "answered_at IS NULL")

owners = Table(
    "saga_owners",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("began", Text, nullable=False),
    Column("beat_at", BigInteger, nullable=False),
    Column("lease", BigInteger, nullable=False),
)

# The shape that Alembic would make itself.
versions = Table(
    "saga_journal_version",
    metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="saga_journal_version_pkc"),
)


def micros(at: datetime) -> int:
    """Return an aware `datetime` as the tables keep it.

    Example:
        >>> micros(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))
        1000000
    """
    return (at - _EPOCH) // _MICROSECOND


def instant(value: int) -> datetime:
    """Return what `micros` was given.

    Example:
        >>> instant(1_000_000).isoformat()
        '1970-01-01T00:00:01+00:00'
    """
    return _EPOCH + value * _MICROSECOND
