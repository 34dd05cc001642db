"""Which scenarios an exploration runs, found from what the runs before showed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final, TypeAlias

from saga.testing._faults import Fault, FaultKind, Scenario
from saga.testing._points import Points, points_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from saga.testing._run import Run

__all__ = ("Scenarios",)

_SHARES: Final = (1.0, 1.0, 0.7, 0.9)
"""How much of the limit may be used up after each round, so that something is left for the next."""
_DEEPEST: Final = 4
"""Most faults in one scenario."""
_FRUITLESS: Final = 1_000
"""After how many draws without a new scenario there are none left."""
_PATIENT: Final = 0.5
"""How likely a patient operator is drawn."""
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
        FaultKind.PAUSED,
        FaultKind.SLOW,
    }
)
"""After these a saga may go on, with something left that matters only later."""
_BLOWS: Final = frozenset({FaultKind.REJECTED, FaultKind.IN_DOUBT_ACTED, FaultKind.LATE_DUPLICATE, FaultKind.CANCEL})
"""These make it matter."""


_Key: TypeAlias = tuple[frozenset[Fault], bool]
"""What makes two scenarios the same: the order of their faults does not matter."""


class Scenarios:
    """Grows the scenarios of an exploration, round by round.

    1. One run without faults.
    2. One fault at every point of that run.
    3. Two faults: a second one at every point that only the first one showed (such as a compensation), at another
       activity where the first one leaves something behind, or at an activity that runs beside a slow one.
    4. Two faults, the second one at every flush of the journal.
    5. Up to four faults, drawn at random as long as the limit allows.

    Plainer scenarios come first in each round, so that what is told of a broken rule is plain. A run may end before
    it meets all that was planned for it; it counts as a run of what it met, and once only.

    Attributes:
        possible: How many scenarios were found in the first four rounds, and drawn in the fifth.
        run: How many were chosen, without those that came to the same as another one.
    """

    def __init__(self, *, limit: int | None, seed: int) -> None:
        self._limit = limit
        self._random = random.Random(seed)  # noqa: S311 - chooses scenarios, and must repeat
        self._known: set[_Key] = set()
        self._met: set[_Key] = set()
        self._shown: list[tuple[Scenario, Points]] = []
        self.possible = 0
        self.run = 0

    def rounds(self) -> Iterator[Scenario]:
        """Yield scenarios; what each run showed is told to `showed` before the next one is asked for."""
        yield from self._chosen([Scenario()], _SHARES[0])
        base = self._shown[0][1]
        yield from self._chosen(_singles(base), _SHARES[1])
        singles = self._shown[1:]
        yield from self._chosen(_pairs(base, singles), _SHARES[2])
        yield from self._chosen(_flushes(singles), _SHARES[3])
        fruitless = 0
        while self._limit is not None and self.run < self._limit and fruitless < _FRUITLESS:
            before = self.run
            yield from self._chosen(self._deeper(), 1.0)
            fruitless = 0 if self.run > before else fruitless + 1

    def is_new(self, planned: Scenario, run: Run) -> bool:
        """Take note of what a run that was planned has really met, and tell whether no other one met just that."""
        plan, met = _key(planned), _key(run.scenario)
        if met != plan:
            self.possible -= met in self._known
            self._known.add(met)
        if met in self._met:
            self.run -= 1
            return False
        self._met.add(met)
        return True

    def showed(self, run: Run) -> list[Scenario]:
        """Take note of a new run, and return the scenario that differs in the operator alone, if that matters."""
        if run.scenario.patient:
            return []
        self._shown.append((run.scenario, points_of(run)))
        if not run.world.operator.needed:
            return []
        return self._chosen([Scenario(run.scenario.faults, patient=True)], 1.0)

    def _chosen(self, found: Iterable[Scenario], share: float) -> list[Scenario]:
        named = {_key(one): one for one in found}
        fresh = sorted((one for key, one in named.items() if key not in self._known), key=lambda one: one.intricacy)
        self._known.update(named)
        self.possible += len(fresh)
        left = len(fresh) if self._limit is None else max(0, int(self._limit * share) - self.run)
        if len(fresh) > left:
            chosen = set(self._random.sample(range(len(fresh)), left))
            fresh = [one for number, one in enumerate(fresh) if number in chosen]
        self.run += len(fresh)
        return fresh

    def _deeper(self) -> Iterator[Scenario]:
        """Yield a scenario that was run, with one more fault at a point that it showed, if there is room for one."""
        scenario, points = self._random.choice(self._shown)
        taken = {fault.target for fault in scenario.faults}
        found = [fault for fault in points.all() if fault.target not in taken]
        if found and len(scenario.faults) < _DEEPEST:
            faults = (*scenario.faults, self._random.choice(found))
            yield Scenario(faults, patient=self._random.random() < _PATIENT)


def _key(scenario: Scenario) -> _Key:
    return frozenset(scenario.faults), scenario.patient


def _singles(base: Points) -> Iterator[Scenario]:
    for faults in (*base.activities.values(), *base.decisions.values(), base.flushes):
        yield from (Scenario((fault,)) for fault in faults)


def _pairs(base: Points, singles: list[tuple[Scenario, Points]]) -> Iterator[Scenario]:
    for one, other in base.beside:
        yield from _slow_beside(base, one, other)
        yield from _slow_beside(base, other, one)
    yield from _scarred(base)
    for scenario, points in singles:
        yield from (Scenario((*scenario.faults, fault)) for fault in points.stuck)
        taken = {fault.target for fault in scenario.faults}
        known = {*base.activities, *base.decisions, *taken}
        for target, faults in (points.activities | points.decisions).items():
            if target not in known:
                yield from (Scenario((*scenario.faults, fault)) for fault in faults)


def _slow_beside(base: Points, slow: str, other: str) -> Iterator[Scenario]:
    for fault in base.activities[slow]:
        if fault.kind is FaultKind.SLOW:
            yield from (Scenario((fault, one)) for one in base.activities[other])


def _scarred(base: Points) -> Iterator[Scenario]:
    """Yield a fault that one activity survives, with one that makes another activity fail."""
    for target, faults in base.activities.items():
        scars = [fault for fault in faults if fault.kind in _SCARS]
        for other, others in base.activities.items():
            if target != other:
                blows = [fault for fault in others if fault.kind in _BLOWS]
                yield from (Scenario((scar, blow)) for scar in scars for blow in blows)


def _flushes(singles: list[tuple[Scenario, Points]]) -> Iterator[Scenario]:
    for scenario, points in singles:
        if not any(fault.at_flush for fault in scenario.faults):
            yield from (Scenario((*scenario.faults, fault)) for fault in points.flushes)
