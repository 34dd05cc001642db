"""What a database driver's errors mean for the journal, and what to do about them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TypeAlias

from sqlalchemy.exc import DBAPIError

from saga.errors import (
    ForeignJournalError,
    JournalCorruptError,
    JournalError,
    JournalLockedError,
    JournalOrderError,
    JournalReadOnlyError,
    JournalVersionError,
    JournalWriteError,
)

__all__ = ("cause_of", "explained", "first_line", "passes")

_READ_ONLY = "cannot be written; open it with a user, on a disk and in a mode that may write"
_ONLY_READS = "only reads; give the address of the primary, or see why its sessions are read-only"
_MAY_NOT = "is not for this user to use so: it may not do that; GRANT it the right, or give another user"
_LOCKED = (
    "is held by another process, which did not let go in time; wait for it or end it, then try again ({who} names it)"
)
_CORRUPT = "is damaged or is no database; restore it from a backup, or choose another place"
_UNREACHABLE = "cannot be reached; see that the place exists, answers, and lets this user in"
_FULL = "has no space left; free some, then open the journal again"
_BROKEN = "failed to read or write its disk; see that the disk is well, then open the journal again"
_REFUSED = "refused a statement; see the cause, then open the journal again"

_LASTING = (
    ForeignJournalError,
    JournalCorruptError,
    JournalOrderError,
    JournalReadOnlyError,
    JournalVersionError,
    JournalWriteError,
)

Meaning: TypeAlias = tuple[type[JournalError] | None, str]

_UNKNOWN: Meaning = (None, _REFUSED)
_LOST: Meaning = (None, _UNREACHABLE)
_SQLITE: dict[int, Meaning] = {
    sqlite3.SQLITE_READONLY: (JournalReadOnlyError, _READ_ONLY),
    sqlite3.SQLITE_PERM: (JournalReadOnlyError, _READ_ONLY),
    sqlite3.SQLITE_BUSY: (JournalLockedError, _LOCKED),
    sqlite3.SQLITE_LOCKED: (JournalLockedError, _LOCKED),
    sqlite3.SQLITE_CORRUPT: (JournalCorruptError, _CORRUPT),
    sqlite3.SQLITE_NOTADB: (JournalCorruptError, _CORRUPT),
    sqlite3.SQLITE_CANTOPEN: (None, _UNREACHABLE),
    sqlite3.SQLITE_FULL: (None, _FULL),
    sqlite3.SQLITE_IOERR: (None, _BROKEN),
}
_POSTGRES: dict[str, Meaning] = {
    "25006": (JournalReadOnlyError, _ONLY_READS),  # read_only_sql_transaction
    "42501": (JournalReadOnlyError, _MAY_NOT),  # insufficient_privilege
    "55P03": (JournalLockedError, _LOCKED),  # lock_not_available
    "57014": (JournalLockedError, _LOCKED),  # query_canceled, here by statement_timeout
    "XX001": (JournalCorruptError, _CORRUPT),  # data_corrupted
    "XX002": (JournalCorruptError, _CORRUPT),  # index_corrupted
    "53100": (None, _FULL),  # disk_full
    "58030": (None, _BROKEN),  # io_error
}


def explained(
    error: BaseException,
    place: str,
    otherwise: type[JournalError] = JournalError,
    *,
    why_read_only: Callable[[], str | None] = lambda: None,
) -> JournalError:
    """Return the typed error for what a driver raised while it worked on the journal at `place`.

    Args:
        error: What the driver, or SQLAlchemy in its name, raised.
        place: The journal's place, without secrets.
        otherwise: Its type, if no narrower one fits.
        why_read_only: Tells why the journal's file cannot be written, if that can be seen.
    """
    kind, advice = _meaning(cause_of(error))
    reason = why_read_only() if advice in {_READ_ONLY, _UNREACHABLE} else None
    if reason is not None:
        kind, advice = JournalReadOnlyError, f"cannot be written: {reason}"
    else:
        advice = advice.format(who="pg_stat_activity" if place.startswith("postgresql:") else f"fuser {place}")
    return (kind or otherwise)(f"the journal at {place} {advice} ({first_line(error)})")


def passes(error: BaseException) -> bool:
    """Tell whether an error may be gone when the same is tried again: busy, unreachable, cut off."""
    return isinstance(error, JournalError) and not isinstance(error, _LASTING)


def first_line(error: BaseException) -> str:
    """Return an error's type and the first line of its text: the lines after it may quote rows."""
    cause = cause_of(error)
    text = str(cause).strip().partition("\n")[0]
    return f"{type(cause).__name__}: {text}" if text else type(cause).__name__


def cause_of(error: BaseException) -> BaseException:
    """Return what the driver raised, without SQLAlchemy's wrapping."""
    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error


def _meaning(cause: BaseException) -> Meaning:
    code = getattr(cause, "sqlite_errorcode", None)
    if code is not None:
        return _SQLITE.get(code & 0xFF, _UNKNOWN)  # the low byte is the primary code
    state = getattr(cause, "sqlstate", None)
    if state is not None:
        return _POSTGRES.get(state, _UNKNOWN)
    return _LOST
