"""What a real database does too seldom to be waited for."""

from __future__ import annotations

import sqlite3
import time

import pytest

from saga.embedded._database import _use_wal
from saga.embedded._faults import explained, first_line
from saga.errors import JournalError, JournalReadOnlyError, JournalWriteError


class Contended:
    """A connection whose first attempts to set the mode meet another process that does the same.

    SQLite then refuses at once, whatever it was told of waiting: seen 5 times in 1,800 openings of new files.
    """

    OperationalError = sqlite3.OperationalError

    def __init__(self, refusals: int, *, ends_as: str = "wal") -> None:
        self.refusals = refusals
        self.ends_as = ends_as
        self.mode = "delete"

    def execute(self, sql: str) -> Contended:
        """Answer as SQLite does."""
        if sql.endswith("=WAL"):
            self.refusals -= 1
            if self.refusals >= 0:
                raise busy()
            self.mode = self.ends_as
        return self

    def fetchone(self) -> tuple[str]:
        """Return the mode."""
        return (self.mode,)


def busy() -> sqlite3.OperationalError:
    """Return SQLite's error for a lock that another connection holds."""
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error


def test_a_file_that_is_being_opened_by_another_process_is_tried_again() -> None:
    """Until the time that it may take is over."""
    connection = Contended(3)
    _use_wal(connection, time.monotonic() + 60)
    assert connection.mode == "wal"
    with pytest.raises(sqlite3.OperationalError):
        _use_wal(Contended(1), time.monotonic() - 1)


def test_a_disk_that_cannot_keep_a_log_is_refused() -> None:
    """Without one, a reader would block the writer."""
    with pytest.raises(JournalError, match="local disk"):
        _use_wal(Contended(0, ends_as="delete"), time.monotonic() + 60)


def test_only_the_first_line_of_a_driver_s_message_is_shown() -> None:
    """PostgreSQL quotes the row that it refuses in the lines after it."""
    error = ValueError("null value\nDETAIL:  Failing row contains (canary).")
    assert first_line(error) == "ValueError: null value"
    assert "canary" not in str(explained(error, "here"))


def test_a_narrow_error_is_kept_where_a_wide_one_is_offered() -> None:
    """A write to a read-only journal is read-only first of all."""
    refused = sqlite3.OperationalError("attempt to write a readonly database")
    refused.sqlite_errorcode = sqlite3.SQLITE_READONLY
    assert type(explained(refused, "here", JournalWriteError)) is JournalReadOnlyError
    assert type(explained(OSError("no"), "here", JournalWriteError)) is JournalWriteError
