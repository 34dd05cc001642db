"""Which shards of the outbox a relay publishes: each has one owner, and relays share them evenly."""

from __future__ import annotations

import time
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol
from uuid import uuid4

from sqlalchemy import delete, func, insert, or_, select, text, update
from sqlalchemy.dialects import sqlite

from saga.errors import OutboxError
from saga.participant._tables import SHARDS, relay_lease, tables_expected

if TYPE_CHECKING:
    from datetime import timedelta

    from sqlalchemy.engine import Connection

__all__ = ("LeaseOwner", "LockOwner", "Owner", "owner_on")

_MEMBER: Final = SHARDS  # the lock that every relay shares: how many hold it is how many relays there are


class Owner(Protocol):
    """One relay's share."""

    def claim(self, connection: Connection) -> frozenset[int]:
        """Take what is free and fair, give away what is more than that, and tell what this relay has."""
        ...

    def release(self, connection: Connection) -> None:
        """Give everything away."""
        ...


def owner_on(dialect: str, lease: timedelta) -> Owner:
    """Return the way of owning shards on that kind of database.

    Raises:
        OutboxError: if there is none.
    """
    if dialect == "postgresql":
        return LockOwner()
    if dialect == "sqlite":
        return LeaseOwner(round(lease.total_seconds() * 1000))
    raise OutboxError(f"the relay knows postgresql and sqlite; this database is {dialect}")


@dataclass(slots=True)
class LockOwner:
    """Owns by advisory locks of a PostgreSQL session: when the connection is gone, so are they."""

    mine: set[int] = field(default_factory=set[int])
    member: bool = False

    def claim(self, connection: Connection) -> frozenset[int]:
        """As the protocol says."""
        area = _area(connection)
        if not self.member:
            connection.execute(text("SELECT pg_advisory_lock_shared(:area, :member)"), _lock(area, _MEMBER, "member"))
            self.member = True
        fair = -(-SHARDS // max(1, self._relays(connection, area)))
        while len(self.mine) > fair:
            shard = max(self.mine)
            connection.execute(text("SELECT pg_advisory_unlock(:area, :shard)"), _lock(area, shard))
            self.mine.discard(shard)
        for shard in sorted(set(range(SHARDS)) - self.mine):
            if len(self.mine) >= fair:
                break
            if connection.scalar(text("SELECT pg_try_advisory_lock(:area, :shard)"), _lock(area, shard)):
                self.mine.add(shard)
        return frozenset(self.mine)

    def release(self, connection: Connection) -> None:
        """As the protocol says."""
        area = _area(connection)
        for shard in self.mine:
            connection.execute(text("SELECT pg_advisory_unlock(:area, :shard)"), _lock(area, shard))
        if self.member:
            connection.execute(text("SELECT pg_advisory_unlock_shared(:area, :member)"), _lock(area, _MEMBER, "member"))
        self.mine, self.member = set(), False

    @staticmethod
    def _relays(connection: Connection, area: int) -> int:
        here = "(SELECT oid FROM pg_database WHERE datname = current_database())"
        count = f"""SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = {here}
            AND classid = :area AND objid = :member AND objsubid = 2 AND granted"""  # noqa: S608 - no value in it
        return connection.scalar(text(count), _lock(area, _MEMBER, "member")) or 1


def _lock(area: int, number: int, name: str = "shard") -> dict[str, int]:
    return {"area": area, name: number}


def _area(connection: Connection) -> int:
    """Tell apart several outboxes of one database: the locks do not belong to a schema."""
    schemas: Any = connection.get_execution_options().get("schema_translate_map") or {}
    schema = schemas.get(None) or connection.scalar(select(func.current_schema())) or ""
    return zlib.crc32(f"saga_outbox {schema}".encode()) & 0x7FFF_FFFF


@dataclass(slots=True)
class LeaseOwner:
    """Owns by rows that have to be renewed; the clock is that of the one machine that SQLite has."""

    lease_ms: int
    id: str = field(default_factory=lambda: str(uuid4()))

    def claim(self, connection: Connection) -> frozenset[int]:
        """As the protocol says."""
        now = time.time_ns() // 1_000_000
        until = now + self.lease_ms
        with tables_expected(OutboxError):
            self._renew(connection, now, until)
        relays = connection.scalar(select(func.count()).where(relay_lease.c.name.like("relay/%"))) or 1
        fair = -(-SHARDS // relays)
        mine = self._mine(connection)
        for shard in sorted(mine)[fair:]:
            connection.execute(delete(relay_lease).where(relay_lease.c.name == f"shard/{shard}"))
            mine.discard(shard)
        taken = set(connection.scalars(select(relay_lease.c.name).where(relay_lease.c.name.like("shard/%"))))
        free = [shard for shard in range(SHARDS) if f"shard/{shard}" not in taken]
        for shard in free[: max(0, fair - len(mine))]:
            row = {"name": f"shard/{shard}", "owner": self.id, "until_ms": until}
            connection.execute(insert(relay_lease).values(row))
            mine.add(shard)
        return frozenset(mine)

    def release(self, connection: Connection) -> None:
        """As the protocol says."""
        connection.execute(delete(relay_lease).where(relay_lease.c.owner == self.id))

    def _renew(self, connection: Connection, now: int, until: int) -> None:
        # The first statement writes, so that no other relay reads the same before this one has committed.
        # A lease from far in the future is one of a clock that was set back since.
        over = or_(relay_lease.c.until_ms < now, relay_lease.c.until_ms > until + self.lease_ms + 60_000)
        connection.execute(delete(relay_lease).where(over, relay_lease.c.owner != self.id))
        connection.execute(update(relay_lease).where(relay_lease.c.owner == self.id).values(until_ms=until))
        row = {"name": f"relay/{self.id}", "owner": self.id, "until_ms": until}
        connection.execute(sqlite.insert(relay_lease).on_conflict_do_nothing().values(row))

    def _mine(self, connection: Connection) -> set[int]:
        shards = (relay_lease.c.owner == self.id) & relay_lease.c.name.like("shard/%")
        return {
            int(name.removeprefix("shard/")) for name in connection.scalars(select(relay_lease.c.name).where(shards))
        }
