"""Which cells a run measures: engine, database, style of calling, how many in flight."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pydantic import TypeAdapter


class Engine(StrEnum):
    """Who runs the sagas."""

    OURS = "ours"
    BARE = "bare"
    DBOS = "dbos"
    HAND_WRITTEN = "hand-written"


class Database(StrEnum):
    """Where the journal lies, and who chose its settings."""

    SQLITE = "sqlite WAL+FULL"
    SQLITE_AS_SHIPPED = "sqlite as shipped"
    POSTGRES = "postgresql"
    TEMPORAL = "temporal"


class Style(StrEnum):
    """How sagas are kept in flight."""

    ASYNC = "async"
    THREADS = "threads"


@dataclass(frozen=True, slots=True)
class Cell:
    """One thing that is timed, in a process of its own."""

    engine: Engine
    database: Database
    style: Style
    in_flight: int

    @property
    def name(self) -> str:
        """The words the report shows."""
        return f"{self.engine} {self.database} {self.style} {self.in_flight}"


@dataclass(frozen=True, slots=True)
class Spec:
    """What a child process is told to do.

    Attributes:
        kind: which of the child's jobs to do; see `_child`.
        cell: who does it.
        url: SQLAlchemy URL of an empty database that belongs to this child, or
            `temporal://address/task-queue`.
        payload_bytes: compact JSON of each payload.
        jitter_ms: each activity sleeps from 0 to this long; 0 is no sleep at all.
        count: sagas of a job that has a fixed number of them.
        completed: completed sagas that lie beside the open ones.
        rounds: how often a job that alternates between engines comes back to each.
    """

    kind: str
    cell: Cell
    url: str
    payload_bytes: int
    jitter_ms: float = 0.0
    count: int = 0
    completed: int = 0
    rounds: int = 0

    def encode(self) -> str:
        """Return the JSON that `decode_spec` reads."""
        return _SPEC.dump_json(self).decode()


_SPEC: Final = TypeAdapter(Spec)


def decode_spec(text: str) -> Spec:
    """Rebuild the spec that `Spec.encode` wrote.

    Raises:
        pydantic.ValidationError: if the text is no spec.
    """
    return _SPEC.validate_json(text)


def ours(database: Database, in_flight: int) -> Cell:
    """Return the cell of our engine."""
    return Cell(Engine.OURS, database, Style.ASYNC, in_flight)


def bare(in_flight: int) -> Cell:
    """Return the cell of the hand-written reference, which knows SQLite only."""
    return Cell(Engine.BARE, Database.SQLITE, Style.ASYNC, in_flight)


def hand_written(in_flight: int) -> Cell:
    """Return the cell of the workflow that does by hand what the saga declares."""
    return Cell(Engine.HAND_WRITTEN, Database.TEMPORAL, Style.ASYNC, in_flight)


def dbos(database: Database, style: Style, in_flight: int) -> Cell:
    """Return a cell of the peer."""
    return Cell(Engine.DBOS, database, style, in_flight)


OURS_1: Final = ours(Database.SQLITE, 1)
OURS_8: Final = ours(Database.SQLITE, 8)
OURS_64: Final = ours(Database.SQLITE, 64)
OURS_POSTGRES_1: Final = ours(Database.POSTGRES, 1)
OURS_POSTGRES_64: Final = ours(Database.POSTGRES, 64)
OURS_TEMPORAL_16: Final = ours(Database.TEMPORAL, 16)
HAND_WRITTEN_16: Final = hand_written(16)
BARE_1: Final = bare(1)
BARE_64: Final = bare(64)
DBOS_1: Final = dbos(Database.SQLITE, Style.THREADS, 1)
DBOS_AS_SHIPPED_1: Final = dbos(Database.SQLITE_AS_SHIPPED, Style.THREADS, 1)
DBOS_POSTGRES_1: Final = dbos(Database.POSTGRES, Style.THREADS, 1)

_CONTENDERS: Final = (
    (Style.THREADS, 1),
    (Style.THREADS, 8),
)
_LONG_SHOTS: Final = (
    (Style.THREADS, 2),
    (Style.THREADS, 4),
    (Style.THREADS, 16),
    (Style.THREADS, 64),
    (Style.ASYNC, 8),
    (Style.ASYNC, 64),
)


def peer_cells(database: Database, *, every: bool) -> tuple[Cell, ...]:
    """Return the cells among which the peer's best at 64 in flight is found.

    Sixty-four callers may be served by fewer threads: more of them only fight for
    the lock, so the peer is given its choice.
    """
    ways = _CONTENDERS + (_LONG_SHOTS if every else ())
    return tuple(dbos(database, style, in_flight) for style, in_flight in ways)


IN_FLIGHT: Final = (1, 16, 64)
"""How many sagas are in flight on Temporal."""


def temporal_cells(figure_id: str) -> tuple[Cell, ...]:
    """Return the timed cells that a figure of the Temporal engine is computed from."""
    name, _, last = figure_id.rpartition(".")
    if not name.startswith("P16"):
        return ()
    in_flight = int(last)
    other = ours(Database.SQLITE, in_flight) if name == "P16.embedded" else hand_written(in_flight)
    return ours(Database.TEMPORAL, in_flight), other


def cells_for(figure_id: str, *, every: bool) -> tuple[Cell, ...]:
    """Return the timed cells that the figure is computed from."""
    sqlite = peer_cells(Database.SQLITE, every=every)
    postgres = peer_cells(Database.POSTGRES, every=every)
    table = {
        "P6": (OURS_1, DBOS_1),
        "P7": (OURS_64, *sqlite),
        "P9.1": (OURS_POSTGRES_1, DBOS_POSTGRES_1),
        "P9.64": (OURS_POSTGRES_64, *postgres),
        "P10": (OURS_64, BARE_64),
        "P11": (OURS_8,),
        "P13": (OURS_1, DBOS_AS_SHIPPED_1, DBOS_1),
    }
    return table.get(figure_id, ())
