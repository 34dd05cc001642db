"""The store: what a journal holds, read back, and the doors to everything that is written."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias

from sqlalchemy import select

from . import _listing
from ._address import Address
from ._collector import collector_resting
from ._database import Database, Seam, undisturbed
from ._listing import Filter, Page, StoredInstance
from ._ownership import LEASE, Claim, Ownership
from ._purge import PURGED_AT_ONCE, Purged, purge
from ._requests import Requests
from ._schema import prepare_tables
from ._tables import facts, instances
from ._writer import Writer

__all__ = ("PATIENCE", "Loaded", "Store", "StoredFact")

PATIENCE: Final = timedelta(seconds=10)
"""How long a statement waits for another process that holds what it needs."""

_LOADED_AT_ONCE: Final = 500

StoredFact: TypeAlias = tuple[int, str, str | None]
"""Number, body and payload of a fact."""


class Loaded(NamedTuple):
    """A claimed instance and its facts, in order."""

    claim: Claim
    facts: list[StoredFact]


class Store:
    """A journal in a database: the rows of instances, facts, requests and owners.

    It knows nothing of what the facts mean. All its methods block; an engine calls them in a thread. Only
    what `writer` returns is for a loop.

    Attributes:
        requests: Requests between processes.
    """

    def __init__(self, database: Database) -> None:
        self.requests = Requests(database)
        self._database = database

    @classmethod
    def open(
        cls,
        url: str,
        *,
        patience: timedelta = PATIENCE,
        allow_shared: bool = False,
        seam: Seam = undisturbed,
    ) -> Store:
        """Open a journal; create it where there is none, and migrate one that an older version made.

        Args:
            url: `sqlite:///path/to/file.db` or `postgresql://user@host/database`.
            patience: How long a statement waits for another process that holds what it needs.
            allow_shared: Whether a SQLite file may hold tables of others. A PostgreSQL schema always may.
            seam: Called at each point of every write; tests let it fail.

        Raises:
            JournalError: if the URL is of no use, or the database does not answer.
            MissingExtraError: if PostgreSQL's driver is not installed.
            ForeignJournalError: if the database belongs to something else.
            JournalVersionError: if its tables are newer than this library.
            JournalReadOnlyError: if it has to be written to and cannot be.
            JournalLockedError: if another process does not let go of it.
            JournalCorruptError: if it is damaged, or is no database.
        """
        address = Address.parsed(url)
        address.prepare()
        database = Database(address, patience=patience, seam=seam)
        try:
            prepare_tables(database, allow_shared=allow_shared)
            address.warn_if_open_to_others()
        except BaseException:
            database.close()
            raise
        return cls(database)

    @property
    def place(self) -> str:
        """Where the journal lies, without anything secret."""
        return str(self._database.address)

    @property
    def flushes(self) -> int:
        """Transactions that this store has committed, of whatever kind."""
        return self._database.flushes

    def writer(self, loop: AbstractEventLoop) -> Writer:
        """Start a writer whose callbacks run on `loop`.

        Raises:
            JournalError: if the database does not answer.
        """
        return Writer(self._database, loop)

    def ownership(self, *, lease: timedelta = LEASE) -> Ownership:
        """Return a new owner among those that share the journal; it lives from its first heartbeat on."""
        return Ownership(self._database, lease=lease)

    def discard(self) -> None:
        """Close every connection that is not in use. After a failed flush, do not trust what they cached."""
        self._database.discard()

    def close(self) -> None:
        """Close every connection for good, once whoever reads has done; a later read closes its own."""
        self._database.close()

    def get(self, id: str) -> StoredInstance | None:
        """Return what is known of an instance, or None if there is no such."""
        with self._database.read() as connection:
            return _listing.find(connection, id)

    def load(self, id: str, *, after: int = -1, limit: int | None = None) -> list[StoredFact]:
        """Return the facts of an instance, in order: those with a number above `after`, at most `limit`."""
        query = (
            select(facts.c.seq, facts.c.body, facts.c.payload)
            .join(instances, instances.c.number == facts.c.number)
            .where(instances.c.id == id, facts.c.seq > after)
            .order_by(facts.c.seq)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [tuple(row) for row in connection.execute(query)]

    def load_open(self, claimed: Sequence[Claim]) -> Iterator[Loaded]:
        """Return the facts of claimed instances, instance after instance, a few hundred per query.

        Nothing can be added to them meanwhile but by their owner. Until the last one is read, and whatever is
        built from them meanwhile, no garbage is collected.
        """
        with collector_resting():
            for start in range(0, len(claimed), _LOADED_AT_ONCE):
                some = claimed[start : start + _LOADED_AT_ONCE]
                yield from self._load_some({claim.number: claim for claim in some})

    def count(self, saga: str | None = None) -> dict[str, int]:
        """Return how many instances, of one saga class or of all, are in each state that occurs."""
        with self._database.read() as connection:
            return _listing.count(connection, saga)

    def purge(
        self, *, ended_before: datetime, sagas: Collection[str] | None = None, at_once: int = PURGED_AT_ONCE
    ) -> Purged:
        """Remove every instance that ended before a point in time; see `_purge.purge`."""
        return purge(self._database, ended_before=ended_before, sagas=sagas, at_once=at_once)

    def _load_some(self, claimed: dict[int, Claim]) -> list[Loaded]:
        columns = (facts.c.number, facts.c.seq, facts.c.body, facts.c.payload)
        query = select(*columns).where(facts.c.number.in_(claimed)).order_by(facts.c.number, facts.c.seq)
        with self._database.read() as connection, closing(connection.execute(query)) as result:
            cursor: Any = result.cursor  # the driver's own rows: half the time for many
            rows: list[tuple[int, int, str, str | None]] = cursor.fetchall()
        return [Loaded(claimed[number], [row[1:] for row in of_one]) for number, of_one in groupby(rows, itemgetter(0))]

    def list(self, wanted: Filter | None = None, *, after: int | None = None, limit: int = 100) -> Page:
        """Return a page of instances, newest first: in the order in which they were journaled.

        Args:
            wanted: Which; None means all.
            after: The `next` of the page before.
            limit: Instances per page, at least 1.
        """
        with self._database.read() as connection:
            return _listing.page(connection, wanted or Filter(), after=after, limit=limit)
