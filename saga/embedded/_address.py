"""Where a journal lies: its URL, checked before anything is opened."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from saga.errors import JournalError, JournalReadOnlyError, MissingExtraError

from ._permissions import why_read_only

__all__ = ("Address",)

_OLDEST_SQLITE = (3, 35)  # RETURNING
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_WANTED = "write sqlite:///path/to/file.db or postgresql://user@host/database"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Address:
    """A journal's place.

    Attributes:
        url: What SQLAlchemy connects to, driver included.
        file: The file of a SQLite journal, else None.
    """

    url: URL
    file: Path | None

    @classmethod
    def parsed(cls, url: str) -> Address:
        """Read a URL.

        Raises:
            JournalError: if it is no URL, or one of a database that cannot hold a journal.
            MissingExtraError: if PostgreSQL's driver is not installed.
        """
        try:
            parsed = make_url(url)
        except (ArgumentError, ValueError):  # the text may hold a password, so it is not shown
            raise JournalError(f"the journal's URL cannot be read; {_WANTED}") from None
        if parsed.drivername in {"sqlite", "sqlite+pysqlite"}:
            return cls(parsed, _sqlite_file(parsed))
        if parsed.drivername in {"postgresql", "postgresql+psycopg"}:
            return cls(_postgres(parsed), None)
        raise JournalError(f"a journal cannot lie in {parsed.drivername!r}; {_WANTED}")

    def __str__(self) -> str:
        """Return the place without anything secret."""
        if self.file is not None:
            return str(self.file)
        port = f":{self.url.port}" if self.url.port else ""
        return f"postgresql://{self.url.host or ''}{port}/{self.url.database or ''}"

    def prepare(self) -> None:
        """Create the file of a SQLite journal, for its owner's eyes only, if there is none.

        SQLite gives the files that it puts beside a database the same permissions.

        Raises:
            JournalError: if the folder is missing, the file cannot be created, or what is there is no file.
        """
        if self.file is None or self.url.query.get("mode") in {"ro", "rw"}:
            return
        try:
            os.close(os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            _check_kind(self.file)
        except FileNotFoundError:
            raise JournalError(
                f"the folder {self.file.parent} does not exist; create it, or choose another file"
            ) from None
        except NotADirectoryError:
            raise JournalError(f"{self.file.parent} is a file, not a folder; choose another place") from None
        except OSError as error:
            reason = why_read_only(self.file)
            if reason is None:
                raise JournalError(f"{self.file} cannot be created: {error.strerror}; choose another place") from error
            raise JournalReadOnlyError(f"{self.file} cannot be created: {reason} ({error.strerror})") from error

    def why_read_only(self) -> str | None:
        """Return what keeps this user from writing to a SQLite journal, and what to do; None if nothing is seen."""
        if self.file is None:
            return None
        if reason := why_read_only(self.file):
            return reason
        return "its URL says mode=ro; leave that out" if self.url.query.get("mode") == "ro" else None

    def warn_if_open_to_others(self) -> None:
        """Say so if others than its owner may read or write a journal's file; to be called once it is known for one."""
        if self.file is not None:
            _warn_if_open_to_others(self.file)


def _sqlite_file(url: URL) -> Path:
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise JournalError(f"SQLite 3.35 or newer is needed; this Python brings {sqlite3.sqlite_version}")
    database = url.database or ""
    uri = database.startswith("file:")
    if not database or ":memory:" in database or url.query.get("mode") == "memory":
        raise JournalError(
            "a journal in memory would not outlive its process; write sqlite:///path/to/file.db "
            "(a test uses a temporary folder, as the fixture saga_engine does, or explore of saga.testing)"
        )
    return Path(unquote(urlsplit(database).path) if uri else database).absolute()


def _postgres(url: URL) -> URL:
    if find_spec("psycopg") is None:
        raise MissingExtraError('PostgreSQL needs its driver: pip install "sagakit[postgres]"')
    return url.set(drivername="postgresql+psycopg")


def _check_kind(file: Path) -> None:
    mode = file.stat().st_mode
    if stat.S_ISDIR(mode):
        raise JournalError(f"{file} is a folder; name a file in it, such as sqlite:///{file}/journal.db")
    if not stat.S_ISREG(mode):
        raise JournalError(f"{file} is a device or the like, and no file that can hold a journal; choose another")


def _warn_if_open_to_others(file: Path) -> None:
    if sys.platform == "win32":
        return
    found = file.stat()
    mode = stat.S_IMODE(found.st_mode)
    if not mode & _OTHERS or found.st_uid != os.geteuid():  # somebody else's file is not for this user to change
        return
    if why_read_only(file) is None:  # else the first write says what is to be done, and that may be something else
        _log.warning("%s holds payloads and is open to other users (mode %04o); chmod 600 it", file, mode)
