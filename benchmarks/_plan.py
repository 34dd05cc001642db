"""What has to run for the figures that were asked for, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ._cells import (
    BARE_1,
    BARE_64,
    DBOS_1,
    DBOS_AS_SHIPPED_1,
    OURS_1,
    OURS_8,
    OURS_64,
    Cell,
    Database,
    cells_for,
)
from ._figures import Goal
from ._settings import Settings

JITTER_MS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Counting:
    """A job that counts instead of timing: whose sagas, how many, and with which jitter."""

    cell: Cell
    sagas: int
    jitter_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """The cells to time and the jobs to run.

    Attributes:
        cells: what is timed in interleaved rounds.
        countings: what is counted, for the figures and, in a full run, beside them.
        cold_start: measure P20.
        recovery: measure P14.
        memory: weigh open idle sagas.
    """

    cells: tuple[Cell, ...]
    countings: tuple[Counting, ...]
    cold_start: bool
    recovery: bool
    memory: bool

    @property
    def needs_postgres(self) -> bool:
        """True if a cell lies on PostgreSQL."""
        return any(cell.database is Database.POSTGRES for cell in self.cells)


def plan(goals: Iterable[Goal], settings: Settings) -> Plan:
    """Return what the figures need, each cell once."""
    ids = [goal.id for goal in goals]
    wanted = [cell for figure in ids for cell in cells_for(figure, every=settings.every_cell)]
    if settings.every_cell and "P6" in ids:
        wanted += [BARE_1, BARE_64, OURS_8, OURS_64]
    return Plan(
        cells=tuple(dict.fromkeys(wanted)),
        countings=_countings(ids, settings),
        cold_start="P20" in ids,
        recovery=any(figure.startswith("P14") for figure in ids),
        memory="M1" in ids,
    )


def one_at_a_time(settings: Settings) -> Counting:
    """The job that P1, P3 and P5 are read from."""
    return Counting(OURS_1, settings.counted_sagas)


def jittered(settings: Settings) -> Counting:
    """The job that P2 is read from: without jitter 64 sagas walk in lockstep, which flatters."""
    return Counting(OURS_64, settings.jittered_sagas, JITTER_MS)


def _countings(ids: list[str], settings: Settings) -> tuple[Counting, ...]:
    jobs: list[Counting] = []
    if {"P1", "P3", "P5"} & set(ids):
        jobs.append(one_at_a_time(settings))
        if settings.every_cell:
            peers = (DBOS_1, DBOS_AS_SHIPPED_1, BARE_1)
            jobs += [Counting(cell, settings.counted_sagas) for cell in peers]
    if "P2" in ids:
        jobs.append(jittered(settings))
        if settings.every_cell:
            jobs.append(Counting(BARE_64, settings.jittered_sagas, JITTER_MS))
    return tuple(jobs)
