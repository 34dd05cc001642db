"""Which scenarios an exploration runs, found from what the runs before showed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from saga.testing._faults import FaultKind, Scenario
from saga.testing._points import Points, points_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from saga.testing._faults import Fault
    from saga.testing._run import Run

__all__ = ("Scenarios",)


class Scenarios:
    """Grows the scenarios of an exploration, round by round.

    The first round is one run without faults, the second puts one fault at every point of it. The third combines
    each of those with a fault at every point that only it showed (such as its compensations), and with a slow
    neighbour where activities run at the same time. The fourth combines them with a fault at every flush.

    Attributes:
        possible: How many scenarios were found.
        run: How many were chosen.
    """

    def __init__(self, *, limit: int | None, seed: int) -> None:
        self._limit = limit
        self._random = random.Random(seed)  # noqa: S311 - chooses scenarios, and must repeat
        self._known: set[Scenario] = set()
        self._shown: list[tuple[Scenario, Points]] = []
        self._base: Points | None = None
        self.possible = 0
        self.run = 0

    def rounds(self) -> Iterator[list[Scenario]]:
        """Yield the scenarios of each round; what their runs showed is told to `showed` before the next."""
        yield self._chosen([Scenario()])
        yield self._chosen(self._singles())
        singles = list(self._shown)
        yield self._chosen(self._pairs(singles))
        yield self._chosen(self._flushes(singles))

    def showed(self, run: Run) -> list[Scenario]:
        """Take note of a run, and return the scenario that differs from it in the operator alone, if one acted."""
        points = points_of(run)
        if self._base is None:
            self._base = points
        elif not run.scenario.patient:
            self._shown.append((run.scenario, points))
        if run.world.operator.acts and not run.scenario.patient:
            return self._chosen([Scenario(run.scenario.faults, patient=True)])
        return []

    def _chosen(self, found: Iterable[Scenario]) -> list[Scenario]:
        fresh = [one for one in dict.fromkeys(found) if one not in self._known]
        self._known.update(fresh)
        self.possible += len(fresh)
        left = len(fresh) if self._limit is None else max(0, self._limit - self.run)
        if len(fresh) > left:
            chosen = set(self._random.sample(range(len(fresh)), left))
            fresh = [one for number, one in enumerate(fresh) if number in chosen]
        self.run += len(fresh)
        return fresh

    def _singles(self) -> Iterator[Scenario]:
        base = self._base
        if base is None:
            return
        for faults in (*base.activities.values(), *base.decisions.values(), base.flushes):
            yield from (Scenario((fault,)) for fault in faults)

    def _pairs(self, singles: list[tuple[Scenario, Points]]) -> Iterator[Scenario]:
        base = self._base
        if base is None:
            return
        for one, other in base.beside:
            yield from _slow_beside(base, one, other)
            yield from _slow_beside(base, other, one)
        yield from _scarred(base)
        for scenario, points in singles:
            yield from (Scenario((*scenario.faults, fault)) for fault in points.stuck)
            for known, found in ((base.activities, points.activities), (base.decisions, points.decisions)):
                for target, faults in found.items():
                    if target not in known and target not in _targets(scenario):
                        yield from (Scenario((*scenario.faults, fault)) for fault in faults)

    def _flushes(self, singles: list[tuple[Scenario, Points]]) -> Iterator[Scenario]:
        for scenario, points in singles:
            if not any(fault.target.startswith("flush ") for fault in scenario.faults):
                yield from (Scenario((*scenario.faults, fault)) for fault in points.flushes)


_SCARS: Final = frozenset(
    {
        FaultKind.FAILED_ONCE,
        FaultKind.ANSWER_LOST,
        FaultKind.LATE_DUPLICATE,
        FaultKind.LATE,
        FaultKind.CRASH_BEFORE,
        FaultKind.CRASH_AFTER,
        FaultKind.IN_DOUBT_ACTED,
        FaultKind.LEAVE,
        FaultKind.SLOW,
    }
)
"""After which a saga may go on, with something left that matters only later."""
_BLOWS: Final = frozenset({FaultKind.REJECTED, FaultKind.IN_DOUBT_ACTED, FaultKind.LATE_DUPLICATE, FaultKind.CANCEL})
"""What makes it matter."""


def _scarred(base: Points) -> Iterator[Scenario]:
    """Yield a fault that one activity survives, with one that makes another activity fail."""
    for target, faults in base.activities.items():
        for other, others in base.activities.items():
            if target != other:
                scars = [fault for fault in faults if fault.kind in _SCARS]
                blows = [fault for fault in others if fault.kind in _BLOWS]
                yield from (Scenario((scar, blow)) for scar in scars for blow in blows)


def _targets(scenario: Scenario) -> set[str]:
    return {fault.target for fault in scenario.faults}


def _slow_beside(base: Points, slow: str, other: str) -> Iterator[Scenario]:
    for fault in base.activities[slow]:
        if fault.kind is FaultKind.SLOW:
            yield from (Scenario((fault, one)) for one in base.activities[other])


def without(scenario: Scenario, fault: Fault) -> Scenario:
    """Return a scenario without one of its faults."""
    return Scenario(tuple(one for one in scenario.faults if one is not fault), patient=scenario.patient)
