"""Reads figures off measurements: ratios round by round, their median, and the reason where something is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ._arithmetic import median, ratios
from ._cells import Cell
from ._figures import Figure, Goal, unmeasured
from ._load import Round
from ._measure import Measurements
from ._plan import Job
from ._settings import Settings

Sources: TypeAlias = dict[str, Callable[[Goal], Figure]]


class UnmeasuredError(Exception):
    """What a figure needs was not measured; the message says why."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Reads figures off one run's measurements; what each figure is made of, a benchmark says."""

    results: Measurements
    settings: Settings

    def figures(self, goals: Iterable[Goal]) -> list[Figure]:
        """Return one figure per goal, measured or with the reason why not."""
        return [self._figure(goal) for goal in goals]

    def sources(self) -> Sources:
        """Return what each figure is read from, by its id."""
        raise NotImplementedError

    def _figure(self, goal: Goal) -> Figure:
        try:
            return self.sources()[goal.id](goal)
        except UnmeasuredError as absent:
            return unmeasured(goal, str(absent))

    def _rates(self, cell: Cell) -> list[float]:
        return [r.sagas_per_second for r in self._rounds(cell)]

    def _rounds(self, cell: Cell) -> list[Round]:
        if not (rounds := self.results.rounds.get(cell)):
            raise UnmeasuredError(f"{cell.name}: {self._why(cell)}")
        return rounds

    def _answer(self, job: Job, name: str) -> float:
        number: float = self._told(job, name)
        return number

    def _answers(self, job: Job, name: str) -> list[float]:
        """Return what a job answered round by round."""
        numbers: list[float] = self._told(job, name)
        return numbers

    def _told(self, job: Job, name: str) -> Any:  # numbers, or a list of them
        if name not in (told := self.results.answers.get(job, {})):
            raise UnmeasuredError(self._why(job))
        return told[name]

    def _why(self, what: object) -> str:
        return self.results.failures.get(what, self.results.missing)


def compared(goal: Goal, ours: Sequence[float], theirs: Sequence[float]) -> Figure:
    """Return the median of the ratios of the rounds.

    >>> from ._figures import TEMPORAL_GOALS
    >>> compared(TEMPORAL_GOALS[2], [2.0, 3.0, 4.0], [2.0, 2.0, 2.0]).value
    1.5
    """
    per_round = ratios(ours, theirs)
    return Figure(goal, median(per_round), rounds=per_round)
