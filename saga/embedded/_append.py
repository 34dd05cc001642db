"""One flush: what several instances append, in one transaction on one connection."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, Final, NamedTuple

from saga.errors import JournalError, JournalWriteError, OwnershipLostError, SagaError

from ._database import Database, Point, Write
from ._faults import first_line
from ._statements import Sizes, Statements
from ._tables import NOBODY, micros

__all__ = (
    "PAUSES",
    "Answer",
    "Appender",
    "Batch",
    "BatchAtFaultError",
    "Change",
    "DuplicateInstanceError",
    "NewInstance",
)

PAUSES: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds before each further try of a flush that a server refused for the sake of another transaction."""

_RETRY_SECONDS = 0.2
_GAVE_WAY = frozenset({"40001", "40P01", "55P03"})  # serialization failure, deadlock, lock not available in time


class DuplicateInstanceError(SagaError):
    """An instance with this id exists; nothing was written."""


class BatchAtFaultError(Exception):
    """One of the batches cannot be written as it is; the transaction was rolled back."""


@dataclass(frozen=True, slots=True)
class NewInstance:
    """What is known of an instance when it starts; all but its facts.

    Attributes:
        saga: Name of the saga class.
        state: State that it starts in.
        started_at: When, an aware `datetime`.
        owner: Whose it is; nobody's, if it shall be claimed by whoever runs such sagas.
        parent: Id of the saga that it is nested in.
        request_hash: Tells whether a later start with the same id has the same request.
        fingerprint: Of the saga class that started it.
        kernel: Version of the kernel's rules that it runs under.
        parent_epoch: Of the claim under which its owner drives the parent. If it is given, the instance starts
            only while the parent is open under that epoch.
    """

    saga: str
    state: str
    started_at: datetime
    owner: str = NOBODY
    parent: str | None = None
    request_hash: str = ""
    fingerprint: str = ""
    kernel: int = 1
    parent_epoch: int | None = None


class Change(NamedTuple):
    """An instance's new state, the time, and whether that was its last change."""

    state: str
    at: datetime
    ended: bool = False


class Answer(NamedTuple):
    """The answer to a request: its number and a text, and an error's name if the request was refused."""

    request: int
    text: str = ""
    error: str | None = None


@dataclass(slots=True)
class Batch:
    """What one instance appends in one transaction; it is written whole or not at all.

    Attributes:
        id: The instance.
        epoch: Of the claim under which its owner writes; 1 for a new instance.
        first_seq: Number of its first fact. The facts of an instance are numbered without a gap.
        facts: Body and payload of each.
        new: Set with an instance's first facts, and then only.
        change: Its new state, if that changed.
        answers: Answers to requests that these facts are the answer to.
    """

    id: str
    epoch: int
    first_seq: int
    facts: Sequence[tuple[str, str | None]]
    new: NewInstance | None = None
    change: Change | None = None
    answers: Sequence[Answer] = ()


class Appender:
    """Appends batches on a connection of its own."""

    def __init__(self, database: Database) -> None:
        driver = database.driver
        self._database = database
        self._sql = Statements.compiled(database.engine.dialect, database.now)
        self._connect()
        self._committing = False
        # What a batch can be the cause of: a key that exists, a text that the database cannot hold.
        self._faults = (_NotOwnedError, driver.IntegrityError, driver.DataError, UnicodeError, OverflowError)

    def append(self, batches: Sequence[Batch]) -> None:
        """Commit all of them, or none.

        What a PostgreSQL server refused for the sake of another transaction before COMMIT was sent, or on a
        connection that it cut before that, has committed nothing: they are appended again. After that it may
        have, and only a re-read of the journal can tell.

        Raises:
            BatchAtFaultError: if none was written because one of them cannot be.
            Exception: whatever the driver raises. Then nobody knows whether they were written.
        """
        self._committing = False
        try:
            self._append(batches)
        except self._database.driver.OperationalError as error:
            self._append_again(batches, error)

    def _append_again(self, batches: Sequence[Batch], error: Exception) -> None:
        """Append what surely was not committed: a few times what gave way, once what was cut off."""
        cut = False
        for pause in PAUSES:
            if self._committing:
                break
            if not cut and self._was_cut():
                cut = True
                self._reconnect()
            elif getattr(error, "sqlstate", None) in _GAVE_WAY:
                self._give_way(pause)
            else:
                break
            try:
                self._append(batches)
            except self._database.driver.OperationalError as again:
                error = again
            else:
                return
        raise error

    def _give_way(self, seconds: float) -> None:
        with suppress(self._database.driver.OperationalError):  # if it was cut meanwhile, the next try finds out
            self._connection.rollback()
        time.sleep(seconds)

    def _append(self, batches: Sequence[Batch]) -> None:
        seam = self._database.seam
        seam(Write.FLUSH, Point.BEFORE_BEGIN)
        try:
            if self._database.is_sqlite:  # psycopg sends BEGIN along with the first statement
                self._cursor.execute("BEGIN IMMEDIATE")
            seam(Write.FLUSH, Point.BEFORE_INSERT)
            self._insert(batches)
        except self._faults as error:
            self._connection.rollback()
            raise BatchAtFaultError(first_line(error)) from error
        seam(Write.FLUSH, Point.BEFORE_COMMIT)
        self._committing = True
        self._connection.commit()
        self._database.count_flush()
        seam(Write.FLUSH, Point.AFTER_COMMIT)

    def _was_cut(self) -> bool:
        connection: Any = self._connection.driver_connection  # psycopg's, which knows
        return not self._database.is_sqlite and bool(connection.closed)

    def _connect(self) -> None:
        self._connection = self._database.connect()
        self._cursor: Any = self._connection.cursor()  # a driver's cursor has no common type

    def _reconnect(self) -> None:
        """Take another connection, as soon as a server that starts anew lets anybody in."""
        self.discard()
        latest = time.monotonic() + self._database.patience.total_seconds()
        while True:
            try:
                self._connect()
            except JournalError:
                if time.monotonic() > latest:
                    raise
                time.sleep(_RETRY_SECONDS)
            else:
                return

    def fault_of(self, batch: Batch, cause: BatchAtFaultError) -> SagaError:
        """Return why this batch, alone in its transaction, could not be written."""
        self._cursor.execute(self._sql.epoch, (batch.id,))
        row = self._cursor.fetchone()
        self._connection.rollback()
        if batch.new and row:
            return DuplicateInstanceError(f"an instance {batch.id} exists")
        if batch.new and batch.new.parent_epoch is not None and isinstance(cause.__cause__, _NotOwnedError):
            return OwnershipLostError(
                f"{batch.id} does not start: {batch.new.parent} has ended, or is not this process' any more; "
                "nothing was written, whoever drives it decides"
            )
        if not batch.new and (row is None or row[0] != batch.epoch):
            now = f"the journal is at {row[0]}" if row else "the journal holds it no more"
            return OwnershipLostError(
                f"{batch.id} is not this process' any more: it writes under epoch {batch.epoch}, and {now}; "
                "nothing was written, whoever took it over goes on"
            )
        return JournalWriteError(f"{batch.id}: facts from {batch.first_seq} on cannot be journaled ({cause})")

    def close(self) -> None:
        """Give the connection back."""
        self._cursor.close()  # else SQLite keeps the file open for its statement's sake, whatever is closed later
        self._connection.close()

    def discard(self) -> None:
        """Throw the connection away, and with it a transaction and the locks that it holds."""
        with suppress(Exception):  # whatever is wrong with it is known already
            self._cursor.close()  # else SQLite keeps the transaction open for its statement's sake
        with suppress(Exception):
            self._connection.invalidate()

    def _insert(self, batches: Sequence[Batch]) -> None:
        new = [(batch, batch.new) for batch in batches if batch.new]
        facts = [
            (batch.id, batch.epoch, seq, body, payload)
            for batch in batches
            for seq, (body, payload) in enumerate(batch.facts, batch.first_seq)
        ]
        self._execute_many(self._sql.start, [_started(*one) for one in new if one[1].parent_epoch is None])
        self._execute(self._sql.start_child, [_child(*one) for one in new if one[1].parent_epoch is not None])
        self._execute_many(self._sql.append, facts)
        changes = [(batch, batch.change) for batch in batches if batch.change]
        self._execute(self._sql.change, [_changed(*pair) for pair in changes if not pair[1].ended])
        self._execute(self._sql.end, [_ended(*pair) for pair in changes if pair[1].ended])
        for answer in [answer for batch in batches for answer in batch.answers]:
            self._cursor.execute(self._sql.answer, (answer.error, answer.text, answer.request))

    def _execute_many(self, sizes: Sizes, rows: Sequence[tuple[object, ...]]) -> None:
        done = 0
        for size, sql in sizes:
            while len(rows) - done >= size:
                some = rows[done : done + size]
                self._cursor.execute(sql, tuple(chain.from_iterable(some)))
                _check(self._cursor.rowcount, size)
                done += size

    def _execute(self, sql: str, rows: Sequence[tuple[object, ...]]) -> None:
        if not rows:
            return
        self._cursor.executemany(sql, rows)
        _check(self._cursor.rowcount, len(rows))


def _check(written: int, sent: int) -> None:
    if written != sent:
        raise _NotOwnedError(f"{written} of {sent} rows")


class _NotOwnedError(Exception):
    """Fewer rows were written than were sent: an epoch has moved on, or a child's parent has ended."""


def _started(batch: Batch, new: NewInstance) -> tuple[object, ...]:
    at = micros(new.started_at)
    about = (new.request_hash, new.fingerprint, new.kernel)
    return batch.id, new.saga, new.state, at, at, new.parent, new.owner, batch.epoch, *about


def _child(batch: Batch, new: NewInstance) -> tuple[object, ...]:
    return *_started(batch, new), new.parent, new.parent_epoch


def _changed(batch: Batch, change: Change) -> tuple[object, ...]:
    return change.state, micros(change.at), batch.id, batch.epoch


def _ended(batch: Batch, change: Change) -> tuple[object, ...]:
    at = micros(change.at)
    return change.state, at, at, batch.id, batch.epoch
