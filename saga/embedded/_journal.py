"""A journal looked at from outside, as the command line does: whoever drives the instances goes on."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select

from saga.errors import ActRefusedError, PayloadTooLargeError, UnknownSagaError
from saga.kernel import PAYLOAD_LIMIT, Decide, Instance, Resolve, SagaState, check_list, view_of

from ._existing import open_existing
from ._journals import check_reply
from ._listing import Filter
from ._pages import pages
from ._process import Process
from ._resuming import facts_of
from ._store import PATIENCE, Store
from ._tables import owners

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from types import TracebackType
    from typing import Self

    from saga.kernel import Fact, Request, SagaSummary, SagaView

    from ._database import Database
    from ._purge import Purged

__all__ = ("Journal",)

_LOOK_AGAIN = 0.05  # seconds between two looks for an answer; engines look for requests less often


class Journal:
    """Reads a journal and leaves requests in it, without driving anything and without any saga class.

    All its methods block. Get one with `Journal.open`; it is a context manager.

    Example:
        >>> from saga.embedded import Journal
        >>> Journal.open("sqlite:///missing.db")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        saga.errors.JournalError: no journal at ...missing.db: there is no such file; ...
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._store = Store(database)

    @classmethod
    def open(cls, url: str, *, patience: timedelta = PATIENCE) -> Self:
        """Open a journal that exists; nothing is created or migrated.

        Args:
            url: `sqlite:///path/to/file.db` or `postgresql://user@host/database`.
            patience: How long a statement waits for another process that holds what it needs.

        Raises:
            JournalError: if there is no journal, or its database does not answer.
            MissingExtraError: if PostgreSQL's driver is not installed.
            ForeignJournalError: if the database belongs to something else.
            JournalVersionError: if its tables are older or newer than this library's.
            JournalLockedError: if another process does not let go of it.
            JournalCorruptError: if it is damaged, or is no database.
        """
        return cls(open_existing(url, patience=patience))

    def __enter__(self) -> Self:
        """Return the journal; leaving the block closes it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close every connection; what was asked of the owners of instances stays asked."""
        self._store.close()

    @property
    def place(self) -> str:
        """Where the journal lies, without anything secret."""
        return self._store.place

    # -- reading -------------------------------------------------------------------------

    def list(
        self,
        *,
        saga: str | None = None,
        states: Iterable[SagaState] = (),
        id_prefix: str = "",
        started_after: datetime | None = None,
        started_before: datetime | None = None,
        limit: int | None = None,
    ) -> Iterator[SagaSummary]:
        """Yield instances, newest first, page by page as they are asked for.

        Args:
            saga: Only this saga, by name.
            states: Only these states; empty means all.
            id_prefix: Only ids that begin so.
            started_after: Started then or later, aware.
            started_before: Started earlier than that, aware.
            limit: At most so many; None means all.

        Raises:
            InvalidRequestError: if what is asked for makes no sense, such as a time without a time zone.
            JournalError: if the journal cannot be read.
        """
        wanted = check_list(states, started_after=started_after, started_before=started_before, limit=limit)
        some = Filter(saga, wanted, id_prefix, started_after, started_before)
        for page in pages(self._store, some, limit=limit):
            yield from page

    def count(self, saga: str | None = None) -> dict[SagaState, int]:
        """Return how many instances, of one saga or of all, are in each state; 0 where there are none.

        Raises:
            JournalError: if the journal cannot be read.
        """
        found = self._store.count(saga)
        return {state: found.get(state.value, 0) for state in SagaState}

    def facts(self, id: str) -> tuple[Fact, ...]:
        """Return the facts of an instance, in order.

        Raises:
            UnknownSagaError: if there is no such instance.
            JournalVersionError: if this version of the library does not know one of them.
        """
        rows = self._store.load(id)
        if not rows:
            raise UnknownSagaError(f"the journal at {self.place} holds no instance {id!r}")
        return tuple(facts_of(rows))

    def view(self, id: str) -> SagaView:
        """Return an instance as its journal tells it.

        Raises:
            UnknownSagaError: if there is no such instance.
            JournalVersionError: if this version of the library does not know one of its facts.
            JournalOrderError: if the facts contradict each other.
        """
        return view_of(Instance().fold_all(self.facts(id)))

    def driven(self, id: str) -> bool:
        """Tell whether an open engine drives an instance at this moment, as far as can be seen from here."""
        stored = self._store.get(id)
        if stored is None or stored.ended_at is not None:
            return False
        overdue = (owners.c.beat_at + owners.c.lease < self._database.now).label("overdue")
        with self._database.read() as connection:
            query = select(owners, overdue).where(owners.c.owner == stored.owner)
            row = connection.execute(query).one_or_none()
        if row is None or row.overdue:
            return False
        return not Process.current().sees_gone(Process(row.host, row.pid, row.began))

    # -- asking and removing -------------------------------------------------------------

    def send(self, id: str, request: Request, *, timeout: timedelta) -> bool:
        """Leave a request for whoever drives an instance, and wait for the answer.

        Args:
            id: The instance.
            request: What is asked, such as `saga.kernel.Cancel(by=..., why=...)`.
            timeout: How long to wait for the answer; the request stays when it has passed.

        Returns:
            True once the request's fact is durable. False if nobody answered in time: the next engine that
            drives the instance finds the request and acts on it.

        Raises:
            UnknownSagaError: if there is no such instance.
            ActRefusedError: if the request makes no sense in the state that the instance is in.
            InvalidRequestError: if its payload does not fit the type that the saga declares.
            PayloadTooLargeError: if its payload is larger than a journal takes.
            JournalError: if the journal cannot be written.
        """
        _check_size(id, request)
        self._check_open(id, request)
        number = self._store.requests.put(id, request.model_dump_json())
        until = time.monotonic() + timeout.total_seconds()
        while True:
            reply = self._store.requests.reply(number)
            if reply.answer is not None or reply.ended:  # the answer to an act that ends it comes with the end
                check_reply(id, request, reply)
                return True
            if time.monotonic() >= until:
                return False
            time.sleep(_LOOK_AGAIN)

    def _check_open(self, id: str, request: Request) -> None:
        stored = self._store.get(id)
        if stored is not None and stored.ended_at is not None:
            raise ActRefusedError(
                f"{stored.saga} {id} is {stored.state}: {request.request} is refused, nothing can change any more"
            )

    def purge(self, *, older_than: timedelta, sagas: Collection[str] | None = None) -> Purged:
        """Remove instances that ended longer ago than `older_than`; children of open parents stay.

        Args:
            older_than: Time since the end.
            sagas: Names of the sagas whose instances may go; None means all.

        Raises:
            JournalError: if the journal cannot be written; what was removed until then stays removed.
        """
        return self._store.purge(ended_before=datetime.now(UTC) - older_than, sagas=sagas)


def _check_size(id: str, request: Request) -> None:
    payload = request.payload if isinstance(request, Resolve | Decide) else None
    size = len((payload or "").encode())
    if size > PAYLOAD_LIMIT:
        raise PayloadTooLargeError(
            f"{id}: the payload of {request.request} has {size} bytes of JSON, the limit is {PAYLOAD_LIMIT}; "
            "pass a reference instead"
        )
