"""Which version a journal's tables say they are of, and what it means if they do not say it."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, inspect, select
from sqlalchemy.exc import DBAPIError

from saga.errors import ForeignJournalError, JournalCorruptError, JournalVersionError

from ._database import Database
from ._tables import JOURNAL_VERSION, metadata, versions

__all__ = ("BEFORE_THE_FIRST", "check_table", "damaged", "journal_tables", "version_of")

BEFORE_THE_FIRST: Final = "0000"
"""Version of a journal that has no tables yet but the one for its version."""

_DIGITS: Final = len(JOURNAL_VERSION)
_SHOWN: Final = 60  # characters of what stands where a version should


def version_of(connection: Connection, database: Database) -> str | None:
    """Return the version of a journal's tables, this library's or an older one, or None where there are none.

    Raises:
        ForeignJournalError: if the tables are not a journal's.
        JournalVersionError: if they are newer than this library.
        JournalCorruptError: if they do not say which version they are of.
    """
    if not inspect(connection).has_table(versions.name):
        if len(journal_tables(connection)) == len(metadata.tables) - 1:
            raise damaged(database, f"all its tables are there but {versions.name}")
        return None
    found = check_table(connection, database, select(versions.c.version_num))
    if not found and journal_tables(connection):
        raise damaged(database, f"{versions.name} is empty")
    return _checked(database, found) if found else BEFORE_THE_FIRST


def journal_tables(connection: Connection) -> list[str]:
    """Return which tables there are that a journal has beside that of its version, by name."""
    found = set(inspect(connection).get_table_names())
    return sorted(found & (metadata.tables.keys() - {versions.name}))


def check_table(connection: Connection, database: Database, query: Any) -> list[Any]:  # a query of whatever columns
    """Return the first column of what a query of one of the journal's tables finds.

    Raises:
        ForeignJournalError: if the table has not the shape that this library gives it.
    """
    try:
        return list(connection.scalars(query))
    except DBAPIError as error:
        if _is_about_shape(error):
            name = query.get_final_froms()[0].name
            raise ForeignJournalError(
                f"{name} in {database.address} is not the journal's table of version {JOURNAL_VERSION}; restore "
                "the journal, or choose another database"
            ) from error
        raise


def damaged(database: Database, what: str) -> JournalCorruptError:
    """Return the error for a journal of which nobody can say what its tables are."""
    return JournalCorruptError(
        f"the journal at {database.address} is damaged: {what}; restore it from a backup, or choose another place"
    )


def _checked(database: Database, found: list[Any]) -> str:
    version = found[0]
    if len(found) > 1 or not (isinstance(version, str) and version.isascii() and version.isdecimal()):
        raise damaged(database, f"{versions.name} holds {_shown(found)}, and no version of its tables")
    if int(version) > int(JOURNAL_VERSION):
        raise JournalVersionError(
            f"the journal at {database.address} has tables of version {version[:_SHOWN]}, and this library knows "
            f"them up to {JOURNAL_VERSION}; upgrade it: pip install --upgrade sagakit"
        )
    if len(version) != _DIGITS:
        raise damaged(database, f"{versions.name} holds {_shown(found)}, and no version of its tables")
    return version


def _shown(found: list[Any]) -> str:
    text = ", ".join(sorted(repr(one)[:_SHOWN] for one in found))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _is_about_shape(error: DBAPIError) -> bool:
    # "no such table" and "no such column" on SQLite; class 42 (undefined table, column) on PostgreSQL
    state = getattr(error.orig, "sqlstate", None)
    return state.startswith("42") if state else "no such" in str(error.orig)
