"""Errors of the platform: the journal, the engine, the installation."""

from __future__ import annotations

from saga.errors._root import SagaError

__all__ = (
    "EngineClosedError",
    "ForeignJournalError",
    "JournalCorruptError",
    "JournalError",
    "JournalLockedError",
    "JournalOrderError",
    "JournalReadOnlyError",
    "JournalVersionError",
    "JournalWriteError",
    "MissingExtraError",
    "OwnershipLostError",
    "ServerError",
)


class JournalError(SagaError):
    """Something is wrong with the journal's database."""


class JournalWriteError(JournalError):
    """A flush failed or its outcome is unknown; what it held was not acknowledged."""


class ForeignJournalError(JournalError):
    """The database holds tables, but not those of a journal."""


class JournalVersionError(JournalError):
    """The journal's tables, or the facts in it, are of another version than this library."""


class JournalReadOnlyError(JournalError):
    """The journal's database cannot be written."""


class JournalLockedError(JournalError):
    """Another process holds the journal's database and did not let go in time."""


class JournalCorruptError(JournalError):
    """The journal's database is damaged, or is no database at all."""


class JournalOrderError(JournalError):
    """A fact cannot follow the facts before it; the journal was changed by hand, or by a faulty version."""


class EngineClosedError(SagaError):
    """The engine is closed, or was never entered with `async with`, or refuses new work."""


class OwnershipLostError(SagaError):
    """Another process took the instance over; this one stopped driving it."""


class ServerError(SagaError):
    """A Temporal server, its namespace or a worker cannot be reached, or it answered something unexpected.

    The message says which, and what to do next. What was asked may have happened all the same.
    """


class MissingExtraError(SagaError):
    """An optional dependency is not installed; the message holds the line that installs it."""
