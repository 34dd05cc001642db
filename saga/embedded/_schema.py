"""Makes sure that a database holds this version's tables: creates, migrates, or refuses."""

from __future__ import annotations

from sqlalchemy import Connection, inspect, select, text
from sqlalchemy.exc import DBAPIError

from saga.errors import ForeignJournalError, JournalVersionError

from ._database import Database, Write
from ._tables import JOURNAL_VERSION, metadata, versions

__all__ = ("prepare_tables",)

_EMPTY = "0000"
_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('saga_journal_version'))")


def prepare_tables(database: Database, *, allow_shared: bool) -> None:
    """Create the tables in a new database; migrate those of an older version.

    Several processes may do it at once: one does it, the others find it done.

    Args:
        database: Where.
        allow_shared: Whether a SQLite file may hold tables of others. On PostgreSQL it always may.

    Raises:
        ForeignJournalError: if the database belongs to something else.
        JournalVersionError: if its tables are newer than this library.
        JournalError: if it cannot be read or written.
    """
    with database.read() as connection:
        if _version(connection) == JOURNAL_VERSION:
            _check_shape(connection, database)
            return
    with database.transaction(Write.TABLES) as connection:
        if not database.is_sqlite:
            connection.execute(_LOCK)
        version = _version(connection)
        if version is None:
            _refuse_foreign(connection, database, allow_shared=allow_shared)
            _create(connection)
        elif version < JOURNAL_VERSION:
            from ._migrations import upgrade  # noqa: PLC0415 - it imports Alembic, which is rarely needed

            upgrade(connection)
        elif version > JOURNAL_VERSION:
            raise JournalVersionError(
                f"the journal at {database.address} has tables of version {version}, and this library knows "
                f"them up to {JOURNAL_VERSION}; upgrade it: pip install --upgrade sagakit"
            )


def _version(connection: Connection) -> str | None:
    """Return the version of the tables, or None where there are none."""
    if not inspect(connection).has_table(versions.name):
        return None
    return connection.scalar(select(versions.c.version_num)) or _EMPTY


def _create(connection: Connection) -> None:
    metadata.create_all(connection, checkfirst=False)
    connection.execute(versions.insert().values(version_num=JOURNAL_VERSION))


def _refuse_foreign(connection: Connection, database: Database, *, allow_shared: bool) -> None:
    inspector = inspect(connection)
    clashing = [name for name in metadata.tables if inspector.has_table(name)]
    if clashing:
        raise ForeignJournalError(
            f"{database.address} holds {', '.join(sorted(clashing))}, but not {versions.name}: these are no "
            "journal's tables; choose another database or schema"
        )
    others = inspector.get_table_names() if database.is_sqlite and not allow_shared else []
    if others:
        raise ForeignJournalError(
            f"{database.address} holds other tables ({', '.join(sorted(others)[:5])}) and no journal; choose "
            "another file, or pass allow_shared=True to put the journal beside them"
        )


def _check_shape(connection: Connection, database: Database) -> None:
    for table in metadata.tables.values():
        try:
            connection.execute(select(table).limit(0))
        except DBAPIError as error:
            if _is_about_shape(error):
                raise ForeignJournalError(
                    f"{table.name} in {database.address} is not the journal's table of version "
                    f"{JOURNAL_VERSION}; restore the journal, or choose another database"
                ) from error
            raise


def _is_about_shape(error: DBAPIError) -> bool:
    # "no such table" and "no such column" on SQLite; class 42 (undefined table, column) on PostgreSQL
    state = getattr(error.orig, "sqlstate", None)
    return state.startswith("42") if state else "no such" in str(error.orig)
