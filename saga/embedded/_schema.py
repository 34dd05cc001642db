"""Makes sure that a database holds this version's tables: creates, migrates, or refuses."""

from __future__ import annotations

from sqlalchemy import Connection, inspect, select, text

from saga.errors import ForeignJournalError

from ._database import Database, Write
from ._tables import JOURNAL_VERSION, metadata, versions
from ._versions import BEFORE_THE_FIRST, check_table, damaged, journal_tables, version_of

__all__ = ("check_foreign", "prepare_tables")

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
        JournalCorruptError: if they do not say which version they are of.
        JournalError: if it cannot be read or written.
    """
    with database.read() as connection:
        if version_of(connection, database) == JOURNAL_VERSION:
            for table in metadata.tables.values():
                check_table(connection, database, select(table).limit(0))
            return
    with database.transaction(Write.TABLES) as connection:
        if not database.is_sqlite:
            connection.execute(_LOCK)
        version = version_of(connection, database)
        if version is None:
            check_foreign(connection, database, allow_shared=allow_shared)
            _create(connection)
        elif version < JOURNAL_VERSION:
            _migrate(connection, database, version)


def _create(connection: Connection) -> None:
    metadata.create_all(connection, checkfirst=False)
    connection.execute(versions.insert().values(version_num=JOURNAL_VERSION))


def _migrate(connection: Connection, database: Database, version: str) -> None:
    if version == BEFORE_THE_FIRST and journal_tables(connection):
        raise damaged(database, f"{versions.name} holds {version!r}, and there are tables")
    from ._migrations import upgrade  # noqa: PLC0415 - it imports Alembic, which is rarely needed

    upgrade(connection)


def check_foreign(connection: Connection, database: Database, *, allow_shared: bool) -> None:
    """Refuse a database without a journal in which one cannot be made.

    Raises:
        ForeignJournalError: if it holds tables of others, by names that a journal's have, or in a file of its own.
    """
    clashing = journal_tables(connection)
    if clashing:
        raise ForeignJournalError(
            f"{database.address} holds {', '.join(clashing)}, but not {versions.name}: these are no "
            "journal's tables; choose another database or schema"
        )
    others = inspect(connection).get_table_names() if database.is_sqlite and not allow_shared else []
    if others:
        raise ForeignJournalError(
            f"{database.address} holds other tables ({', '.join(sorted(others)[:5])}) and no journal; choose "
            "another file, or pass allow_shared=True to put the journal beside them"
        )
