"""Who drives which instance: heartbeats, claims, and the epochs that fence a former owner."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import timedelta
from secrets import token_urlsafe
from typing import Final, NamedTuple

from sqlalchemy import Connection, Row, Update, delete, func, insert, select, update

from ._database import Database, Write
from ._process import Process
from ._tables import instances, owners

__all__ = ("LEASE", "Claim", "Ownership")

LEASE: Final = timedelta(seconds=10)
"""How long an owner on another machine is believed to live after its last heartbeat."""

_OPEN = instances.c.ended_at.is_(None)


class Claim(NamedTuple):
    """An instance that was taken over, and the epoch under which its new owner writes.

    Attributes:
        number: The journal's own number of the instance, which `Store.load_open` reads by.
        id: Its id.
        saga: Name of its saga class.
        epoch: One more than that of the owner before.
        crashed: Whether the owner before ended without letting go.
    """

    number: int
    id: str
    saga: str
    epoch: int
    crashed: bool = False


class Ownership:
    """One open engine among those that share a journal.

    An owner is dead when its heartbeat, by the database's clock, is older than its lease; or at once, when it
    ran on this machine and its process is gone. Either mistake is harmless: a claim raises the epoch, and
    whoever writes under an older one is refused.

    Attributes:
        owner: Random name of this engine, for as long as it is open.
        lease: How long the others wait for a heartbeat.
    """

    def __init__(self, database: Database, *, lease: timedelta = LEASE) -> None:
        self.owner = token_urlsafe(9)
        self.lease = lease
        self._database = database
        self._process = Process.current()
        self._known = False  # to the others

    def beat(self) -> bool:
        """Say that this owner lives; to be called once to begin with, and then every quarter of the lease.

        Returns:
            True if the others had believed it all along. False at the first time, and after a pause so long
            that they may have claimed instances: `owned` tells which are left.

        Raises:
            JournalError: if the journal cannot be written.
        """
        with self._database.transaction(Write.HEARTBEAT) as connection:
            now = self._database.now
            beat = update(owners).where(owners.c.owner == self.owner).values(beat_at=now)
            if connection.execute(beat.where(owners.c.beat_at + owners.c.lease >= now)).rowcount:
                return True
            if not connection.execute(beat).rowcount:
                connection.execute(insert(owners).values(self._row()))
        self._known = True
        return False

    def claim(self, sagas: Collection[str], *, limit: int | None = None) -> list[Claim]:
        """Take over open instances that nobody drives, oldest first.

        Args:
            sagas: Names of the saga classes that this engine runs; others are left for whoever runs them.
            limit: Claims at most so many, so that several processes share the work.

        Returns:
            What was claimed; under PostgreSQL without those that another process claims at this moment.

        Raises:
            JournalError: if the journal cannot be written.
        """
        with self._database.read() as connection:
            if not self._without_owner(connection):
                return []
        with self._database.transaction(Write.CLAIM) as connection:
            claimed: list[Claim] = []
            for owner, crashed in self._without_owner(connection).items():
                left = None if limit is None else limit - len(claimed)
                if left is None or left > 0:
                    claimed += self._take(connection, owner, sagas, left, crashed=crashed)
            self._bury(connection)
            return sorted(claimed)

    def reclaim(self, ids: Collection[str]) -> list[Claim]:
        """Take over again what is this owner's already, so that nothing of its former drives is written any more.

        Returns:
            A claim for each that is still open and this owner's.

        Raises:
            JournalError: if the journal cannot be written.
        """
        mine = (_OPEN, instances.c.owner == self.owner, instances.c.id.in_(ids))
        # In order and without waiting, as in `claim`: a flush may hold some of them and wait for others.
        free = select(instances.c.number).where(*mine).order_by(instances.c.number).with_for_update(skip_locked=True)
        with self._database.transaction(Write.CLAIM) as connection:
            chosen = update(instances).where(instances.c.number.in_(free))
            return sorted(self._raise_epoch(connection, chosen, crashed=False))

    def owned(self) -> dict[str, int]:
        """Return the open instances that are this owner's, with their epochs."""
        query = select(instances.c.id, instances.c.epoch).where(_OPEN, instances.c.owner == self.owner)
        with self._database.read() as connection:
            return {row.id: row.epoch for row in connection.execute(query)}

    def release(self) -> None:
        """Let others claim everything at once. To be called when the engine has stopped driving.

        Raises:
            JournalError: if the journal cannot be written.
        """
        if not self._known:
            return  # it never got as far as owning anything: no wait for a database that does not answer
        with self._database.transaction(Write.HEARTBEAT) as connection:
            connection.execute(delete(owners).where(owners.c.owner == self.owner))

    def _row(self) -> dict[str, object]:
        process = {"host": self._process.host, "pid": self._process.pid, "began": self._process.began}
        lease = self.lease // timedelta(microseconds=1)
        return {"owner": self.owner, "beat_at": self._database.now, "lease": lease, **process}

    def _without_owner(self, connection: Connection) -> dict[str, bool]:
        """Return the owners of open instances that are dead or unknown, and whether they crashed."""
        # In this order: an owner registers before it owns, so whoever is seen here and lives is seen there.
        seen = [owner for owner in _owners_of_open(connection) if owner != self.owner]
        dead = {row.owner: self._is_dead(row) for row in self._registered(connection)}
        return {owner: owner in dead for owner in seen if dead.get(owner, True)}

    def _registered(self, connection: Connection) -> list[Row[tuple[object, ...]]]:
        overdue = (owners.c.beat_at + owners.c.lease < self._database.now).label("overdue")
        return list(connection.execute(select(owners, overdue)).all())

    def _is_dead(self, row: Row[tuple[object, ...]]) -> bool:
        return bool(row.overdue) or self._process.sees_gone(Process(row.host, row.pid, row.began))

    def _take(
        self, connection: Connection, owner: str, sagas: Collection[str], limit: int | None, *, crashed: bool
    ) -> list[Claim]:
        due = (
            select(instances.c.number)
            .where(_OPEN, instances.c.owner == owner, instances.c.saga.in_(sagas))
            .order_by(instances.c.number)
            .limit(limit)
            # Skipped is what another process claims, or what a former owner is about to write to.
            .with_for_update(skip_locked=True)
            .cte("due")
        )
        taken = update(instances).where(instances.c.number.in_(select(due.c.number)))
        return self._raise_epoch(connection, taken, crashed=crashed)

    def _raise_epoch(self, connection: Connection, taken: Update, *, crashed: bool) -> list[Claim]:
        claim = taken.values(owner=self.owner, epoch=instances.c.epoch + 1)
        rows = connection.execute(
            claim.returning(instances.c.number, instances.c.id, instances.c.saga, instances.c.epoch)
        )
        return [Claim(row.number, row.id, row.saga, row.epoch, crashed) for row in rows]

    def _bury(self, connection: Connection) -> None:
        """Delete the rows of dead owners that own nothing more, unless they gave a sign of life meanwhile.

        As long as something is left to claim, the row tells that its owner did not let go by itself.
        """
        for row in self._registered(connection):
            if row.owner != self.owner and self._is_dead(row):
                left = select(instances.c.number).where(_OPEN, instances.c.owner == row.owner).exists()
                dead = (owners.c.owner == row.owner, owners.c.beat_at == row.beat_at, ~left)
                connection.execute(delete(owners).where(*dead))


def _owners_of_open(connection: Connection) -> Iterator[str]:
    # One seek per owner: DISTINCT would read the index of all open instances.
    query = select(func.min(instances.c.owner)).where(_OPEN)
    owner = connection.scalar(query)
    while owner is not None:
        yield owner
        owner = connection.scalar(query.where(instances.c.owner > owner))
