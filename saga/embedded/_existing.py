"""Opens a journal that exists: nothing is created, migrated or claimed."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from saga.errors import ForeignJournalError, JournalError, JournalVersionError

from ._address import Address
from ._database import Database
from ._faults import explained
from ._permissions import why_read_only
from ._schema import check_foreign, prepare_tables
from ._tables import JOURNAL_VERSION, metadata
from ._versions import version_of

__all__ = ("open_existing",)

_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"


def open_existing(url: str, *, patience: timedelta) -> Database:
    """Return the database of a journal that exists.

    Raises:
        JournalError: if there is no journal, or its database does not answer; the type says why.
        MissingExtraError: if PostgreSQL's driver is not installed.
    """
    address = Address.parsed(url)
    if address.file is not None:
        _check_file(address.file, patience)
    database = Database(address, patience=patience)
    try:
        _check_version(database)
        prepare_tables(database, allow_shared=True)  # of this version, so it only looks at them
    except BaseException:
        database.close()
        raise
    return database


def _check_file(file: Path, patience: timedelta) -> None:
    """Refuse a file that holds no journal, before a connection of ours changes how SQLite keeps it."""
    try:
        is_file = stat.S_ISREG(file.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        raise _no_journal(str(file), "there is no such file") from None
    except OSError as error:
        raise _no_journal(str(file), error.strerror or type(error).__name__) from error
    if not is_file:
        raise _no_journal(str(file), "that is no file")
    uri = f"{file.as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=patience.total_seconds())) as connection:
            names = {name for (name,) in connection.execute(_TABLES)}
    except sqlite3.Error as error:
        raise explained(error, str(file), why_read_only=lambda: why_read_only(file)) from error
    if not names:
        raise _no_journal(str(file), "the file holds no tables")
    if names.isdisjoint(metadata.tables):
        raise ForeignJournalError(
            f"no journal at {file}: it holds other tables ({', '.join(sorted(names)[:5])}); see that it is the "
            "file that the engine was given"
        )


def _check_version(database: Database) -> None:
    with database.read() as connection:
        version = version_of(connection, database)
        if version is None:
            check_foreign(connection, database, allow_shared=True)
            raise _no_journal(str(database.address), "it holds none of a journal's tables")
    if version < JOURNAL_VERSION:
        raise JournalVersionError(
            f"the journal at {database.address} has tables of version {version}, and this library's are "
            f"{JOURNAL_VERSION}; an engine of this library migrates them when it opens the journal"
        )


def _no_journal(place: str, reason: str) -> JournalError:
    return JournalError(
        f"no journal at {place}: {reason}; give the place that the engine was given, it creates the journal"
    )
