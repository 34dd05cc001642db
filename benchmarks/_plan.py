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
    HAND_WRITTEN_16,
    OURS_1,
    OURS_8,
    OURS_64,
    OURS_TEMPORAL_16,
    Cell,
    Database,
    cells_for,
    temporal_cells,
)
from ._figures import Goal
from ._settings import Settings

JITTER_MS: Final = 5.0
MOST_TRACED: Final = 100
"""Sagas whose allocations are traced: tracing slows, and the number hardly varies."""


@dataclass(frozen=True, slots=True)
class Counting:
    """A job that counts instead of timing: whose sagas, how many, and with which jitter."""

    cell: Cell
    sagas: int
    jitter_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Job:
    """A child that has one answer: of which kind, on which cell, with how many sagas.

    Attributes:
        kind: which of the child's jobs to do; see `_child`.
        cell: who does it.
        sagas: how many sagas it needs.
        completed: completed sagas that lie beside the open ones.
        rounds: how often it comes back to each side, if it alternates between two.
    """

    kind: str
    cell: Cell
    sagas: int
    completed: int = 0
    rounds: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """The cells to time and the jobs to run.

    Attributes:
        cells: what is timed in interleaved rounds.
        countings: what is counted, for the figures and, in a full run, beside them.
        jobs: what else is measured, each by a child of its own.
        cold_start: measure P20.
        beside: those of the cells that are only shown beside the others.
    """

    cells: tuple[Cell, ...]
    countings: tuple[Counting, ...] = ()
    jobs: tuple[Job, ...] = ()
    cold_start: bool = False
    beside: frozenset[Cell] = frozenset()

    @property
    def databases(self) -> frozenset[Database]:
        """Where its cells and jobs lie."""
        return frozenset(one.database for one in (*self.cells, *(job.cell for job in self.jobs)))


def plan(goals: Iterable[Goal], settings: Settings) -> Plan:
    """Return what the figures need, each cell once."""
    ids = [goal.id for goal in goals]
    wanted = [cell for figure in ids for cell in cells_for(figure, every=settings.every_cell)]
    if settings.every_cell and "P6" in ids:
        wanted += [BARE_1, BARE_64, OURS_8, OURS_64]
    return Plan(
        cells=tuple(dict.fromkeys(wanted)),
        countings=_countings(ids, settings),
        jobs=tuple(_jobs(ids, settings)),
        cold_start="P20" in ids,
    )


def temporal_plan(goals: Iterable[Goal], settings: Settings) -> Plan:
    """Return what the figures of the Temporal engine need, each cell once."""
    ids = [goal.id for goal in goals]
    jobs: list[Job] = []
    if any(figure.startswith(("P4", "P15")) for figure in ids):
        jobs.append(histories(settings))
    sides = (OURS_TEMPORAL_16, HAND_WRITTEN_16)
    if "M2" in ids:
        jobs += [traced(side, settings) for side in sides]
        jobs += [weighed(side, settings) for side in sides if settings.every_cell]
    cells = dict.fromkeys(cell for figure in ids for cell in temporal_cells(figure))
    beside = frozenset(cell for cell in cells if cell.database is not Database.TEMPORAL)
    return Plan(tuple(cells), jobs=tuple(jobs), beside=beside)


def recovery(settings: Settings) -> Job:
    """The job that P14 is read from."""
    return Job("recovery", OURS_64, settings.open_sagas, settings.completed_sagas)


def weighed(cell: Cell, settings: Settings) -> Job:
    """The job that weighs open idle sagas of a cell."""
    return Job("memory", cell, settings.idle_sagas)


def traced(cell: Cell, settings: Settings) -> Job:
    """The job that counts what Python allocates for open idle sagas of a cell."""
    return Job("traced", cell, min(settings.idle_sagas, MOST_TRACED))


def histories(settings: Settings) -> Job:
    """The job that P4 and P15 are read from."""
    return Job("histories", OURS_TEMPORAL_16, settings.counted_sagas, rounds=settings.replay_rounds)


def _jobs(ids: list[str], settings: Settings) -> Iterable[Job]:
    if any(figure.startswith("P14") for figure in ids):
        yield recovery(settings)
    if "M1" in ids:
        yield weighed(OURS_64, settings)


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
