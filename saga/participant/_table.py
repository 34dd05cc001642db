"""The barrier's table, and the few statements that are run on it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    Column,
    DateTime,
    Insert,
    MetaData,
    String,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    func,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateIndex, CreateTable

from saga.participant._errors import BarrierError

if TYPE_CHECKING:
    from collections.abc import Generator

    from sqlalchemy import CursorResult, Executable

    from saga.participant._keys import Place

__all__ = (
    "Row",
    "State",
    "barrier_metadata",
    "create_barrier_tables",
    "create_tables",
    "find",
    "insert",
    "move",
    "note",
    "purge",
    "remove",
    "table_missing",
)


class State(StrEnum):
    """What a row says about its key."""

    OPEN = "open"  # its body runs; never visible to another transaction
    DONE = "done"
    REJECTED = "rejected"
    SUSPENDED = "suspended"
    COMPENSATED = "compensated"
    CONFIRMED = "confirmed"


barrier_metadata = MetaData()
"""Metadata that holds the barrier's one table, `saga_barrier`.

With Alembic, give it beside your own: `target_metadata = [Base.metadata, barrier_metadata]`. The table names
no schema; put it into one with `schema_translate_map`, as any other table.
"""

_table = Table(
    "saga_barrier",
    barrier_metadata,
    Column("key", Text, primary_key=True),
    Column("part", Text, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("input_sha256", String(64)),
    Column("output", Text),
    Column("rejection", Text),
    Column("created_at", DateTime(timezone=True), nullable=False, index=True),
)

_PLACE: Final = and_(_table.c.key == bindparam("at_key"), _table.c.part == bindparam("at_part"))
_INSERT: Final[dict[str, Insert]] = {
    "postgresql": postgresql.insert(_table).on_conflict_do_nothing(),
    "sqlite": sqlite.insert(_table).on_conflict_do_nothing(),
}
_FIND: Final = (
    select(_table.c.state, _table.c.input_sha256, _table.c.output, _table.c.rejection).where(_PLACE).with_for_update()
)
_MOVE: Final = update(_table).where(_PLACE, _table.c.state == bindparam("from_state"))
_DELETE: Final = delete(_table).where(_PLACE, _table.c.state == bindparam("from_state"))
_ADVISORY_LOCK: Final = 0x5A6A_BA44  # any number that others hardly use


@dataclass(frozen=True, slots=True)
class Row:
    """What is recorded under a key."""

    state: State
    input_sha256: str | None
    output: str | None
    rejection: str | None


def create_barrier_tables(bind: Engine | Connection) -> None:
    """Create the barrier's table where it is missing; safe when several processes do it at once.

    An `Engine` gets a transaction of its own; on a `Connection` it is the caller's to commit. On an
    asynchronous engine: `async with engine.begin() as c: await c.run_sync(create_barrier_tables)`.
    Who has migrations of his own gives `barrier_metadata` to them instead.

    Args:
        bind: The participant's own database, the one that holds its business tables.
    """
    if isinstance(bind, Engine):
        with bind.begin() as connection:
            create_barrier_tables(connection)
        return
    create_tables(bind, barrier_metadata)


def create_tables(connection: Connection, metadata: MetaData) -> None:
    """Create what is missing, one process at a time."""
    if connection.dialect.name == "postgresql":  # IF NOT EXISTS alone fails when two do it at once
        connection.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
    for table in metadata.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        for index in table.indexes:
            connection.execute(CreateIndex(index, if_not_exists=True))


def insert(connection: Connection, place: Place, state: State, *, input_sha256: str | None) -> bool:
    """Insert the row, or tell that another is there; waits for whoever is inserting the same now."""
    return _changed(connection, _insert(connection), **_row(place, state), input_sha256=input_sha256)


def note(connection: Connection, place: Place, rejection: str) -> None:
    """Record a rejection that is not final: the next attempt may find another answer."""
    if not _changed(connection, _insert(connection), **_row(place, State.REJECTED), rejection=rejection):
        move(connection, place, State.REJECTED, State.REJECTED, rejection=rejection)


def find(connection: Connection, place: Place) -> Row | None:
    """Read the row and, where the database can, keep others from changing it until the transaction ends."""
    found = connection.execute(_FIND, _at(place)).one_or_none()
    return None if found is None else Row(State(found[0]), *found[1:])


def move(connection: Connection, place: Place, before: State, after: State, **values: str | None) -> bool:
    """Change the row's state, if it is in the state that is expected."""
    return _changed(connection, _MOVE, **_at(place), from_state=before, state=after, **values)


def remove(connection: Connection, place: Place, state: State) -> bool:
    """Delete the row, if it is in the state that is expected."""
    return _changed(connection, _DELETE, **_at(place), from_state=state)


def purge(connection: Connection, before: datetime, limit: int) -> int:
    """Delete at most `limit` rows that were made before that instant, the oldest first."""
    place = tuple_(_table.c.key, _table.c.part)
    old = select(_table.c.key, _table.c.part).where(_table.c.created_at < before)
    statement = delete(_table).where(place.in_(old.order_by(_table.c.created_at).limit(limit)))
    with _table_expected():
        return connection.execute(statement).rowcount


def _at(place: Place) -> dict[str, Any]:
    return {"at_key": place.key, "at_part": place.part}


def _row(place: Place, state: State) -> dict[str, Any]:
    return {"key": place.key, "part": place.part, "state": state, "created_at": datetime.now(UTC)}


def _insert(connection: Connection) -> Insert:
    statement = _INSERT.get(connection.dialect.name)
    if statement is None:
        known = " and ".join(sorted(_INSERT))
        raise BarrierError(f"the barrier knows {known}; this database is {connection.dialect.name}")
    return statement


def _changed(connection: Connection, statement: Executable, **values: Any) -> bool:  # values of columns
    with _table_expected():
        result: CursorResult[Any] = connection.execute(statement, values, execution_options={"preserve_rowcount": True})
    return result.rowcount == 1


def table_missing(error: DBAPIError) -> bool:
    """Whether a statement failed because its table is not there."""
    return getattr(error.orig, "sqlstate", "") == "42P01" or "no such table" in str(error.orig)


@contextmanager
def _table_expected() -> Generator[None]:
    try:
        yield
    except DBAPIError as error:
        if not table_missing(error):
            raise
        raise BarrierError(
            "this database has no table saga_barrier: call create_barrier_tables(engine) once, "
            "or add barrier_metadata to the migrations of this participant"
        ) from error
