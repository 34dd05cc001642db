"""What each figure means, its floor and target, and the verdict on a value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

STEPS: Final = 3
EQUAL_WITHIN: Final = 0.05
"""A lease renewed now and then may add a hundredth of a flush to the mean."""


class Better(StrEnum):
    """Which way a figure improves."""

    HIGHER = "higher"
    LOWER = "lower"
    EQUAL = "equal"
    REPORTED = "reported"


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure's definition: what it must reach to ship, and what it aims at."""

    id: str
    name: str
    floor: float | None
    target: float | None
    better: Better

    def met(self, value: float, limit: float | None) -> bool:
        """Tell whether `value` reaches `limit`; no limit is always reached."""
        if limit is None or self.better is Better.REPORTED:
            return True
        if self.better is Better.EQUAL:
            return abs(value - limit) <= EQUAL_WITHIN
        return value >= limit if self.better is Better.HIGHER else value <= limit


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure, or the reason why there is none."""

    goal: Goal
    value: float | None
    reason: str | None = None
    rounds: tuple[float, ...] = ()

    @property
    def ok(self) -> bool:
        """True exactly when a value was measured and it meets the floor."""
        return self.value is not None and self.goal.met(self.value, self.goal.floor)

    @property
    def on_target(self) -> bool:
        """True exactly when a value was measured and it meets the target."""
        return self.value is not None and self.goal.met(self.value, self.goal.target)

    def as_json(self) -> dict[str, object]:
        """Return the figure as it stands in the JSON report."""
        shape: dict[str, object] = {
            "id": self.goal.id,
            "name": self.goal.name,
            "value": None if self.value is None else round(self.value, 3),
            "floor": self.goal.floor,
            "target": self.goal.target,
            "ok": self.ok,
            "better": self.goal.better.value,
        }
        if self.reason is not None:
            shape["reason"] = self.reason
        if self.rounds:
            shape["rounds"] = [round(value, 3) for value in self.rounds]
        return shape


def unmeasured(goal: Goal, reason: str) -> Figure:
    """Return the figure that says why it has no value."""
    return Figure(goal, None, reason=reason)


def _goal(name: str, better: Better, floor: float | None, target: float | None) -> Goal:
    """Split the id off the name, so that the table below stays readable."""
    figure_id, _, words = name.partition(" ")
    return Goal(figure_id, words, floor, target, better)


_HIGHER, _LOWER = Better.HIGHER, Better.LOWER

GOALS: Final = (
    _goal(
        "P1 flushes per 3-step saga, one at a time, SQLite",
        Better.EQUAL,
        STEPS + 1.0,
        STEPS + 1.0,
    ),
    _goal(
        "P2 flushes per saga, 64 in flight, activities of 0-5 ms, SQLite",
        _LOWER,
        0.25,
        0.15,
    ),
    _goal(
        "P3 SQL statements per 3-step saga, one at a time, SQLite",
        _LOWER,
        3.0 * (STEPS + 2),
        2.0 * (STEPS + 1),
    ),
    _goal("P5 journal bytes / payload bytes", _LOWER, 2.5, 1.6),
    _goal("P6 sagas/s ours / DBOS, one at a time, SQLite WAL+FULL", _HIGHER, 2.0, 3.0),
    _goal(
        "P7 sagas/s ours / DBOS' best cell, 64 in flight, SQLite WAL+FULL",
        _HIGHER,
        10.0,
        25.0,
    ),
    _goal("P9.1 sagas/s ours / DBOS, one at a time, PostgreSQL", _HIGHER, 1.5, 3.0),
    _goal(
        "P9.64 sagas/s ours / DBOS' best cell, 64 in flight, PostgreSQL",
        _HIGHER,
        8.0,
        20.0,
    ),
    _goal(
        "P10 sagas/s ours / bare group commit, 64 in flight, SQLite",
        _HIGHER,
        0.12,
        0.3,
    ),
    _goal("P11 latency p99 / p50, 8 in flight, SQLite", _LOWER, 5.0, 3.0),
    _goal(
        "P13 sagas/s ours / DBOS, one at a time, SQLite, each out of the box",
        _HIGHER,
        4.0,
        6.0,
    ),
    _goal(
        "P14 recovery: open sagas/s scanned, decoded, built / raw SELECT and decode",
        _HIGHER,
        0.4,
        0.6,
    ),
    _goal(
        "P14.replay recovery with replay: open sagas/s / raw SELECT and decode",
        _HIGHER,
        0.2,
        None,
    ),
    _goal(
        "P14.growth recovery time with many completed sagas / with none",
        _LOWER,
        1.3,
        1.1,
    ),
    _goal(
        "P20 cold start: import and first saga, ours / DBOS, seconds / seconds",
        _LOWER,
        0.7,
        0.6,
    ),
    _goal("M1 memory per open idle saga, KiB", Better.REPORTED, None, None),
)


TEMPORAL_GOALS: Final = (
    _goal("P4 history events per 3-step saga, ours minus hand-written, every step done", Better.EQUAL, 0.0, 0.0),
    _goal("P4.compensated the same, the pivot rejected and a step compensated", Better.EQUAL, 0.0, 0.0),
    _goal("P15 CPU of replaying a saga in the sandbox, ours / hand-written", _LOWER, 1.3, 1.1),
    _goal("P15.unsandboxed the same without the sandbox", Better.REPORTED, None, None),
    _goal("P16.1 sagas/s ours / hand-written, 1 in flight", _HIGHER, 0.87, 0.95),
    _goal("P16.16 sagas/s ours / hand-written, 16 in flight", _HIGHER, 0.87, 0.95),
    _goal("P16.64 sagas/s ours / hand-written, 64 in flight", _HIGHER, 0.87, 0.95),
    _goal("M2 memory that Python holds per cached saga that waits, ours / hand-written", _LOWER, 1.3, None),
    _goal("P16.embedded.1 sagas/s embedded engine / ours on Temporal, 1 in flight", Better.REPORTED, None, None),
    _goal("P16.embedded.16 the same, 16 in flight", Better.REPORTED, None, None),
    _goal("P16.embedded.64 the same, 64 in flight", Better.REPORTED, None, None),
)


def goals(only: frozenset[str], among: tuple[Goal, ...] = GOALS) -> tuple[Goal, ...]:
    """Return the goals named by `only`, in order; an empty set names them all.

    Args:
        only: ids such as `P6`; `P9` names `P9.1` and `P9.64` too.
        among: the goals of one benchmark.

    Raises:
        ValueError: if an id names no goal.

    >>> [goal.id for goal in goals(frozenset({"P9"}))]
    ['P9.1', 'P9.64']
    """
    known = {goal.id for goal in among} | {goal.id.split(".")[0] for goal in among}
    if unknown := sorted(only - known):
        raise ValueError(f"no figure is called {', '.join(unknown)}; there are {sorted(known)}")
    if not only:
        return among
    return tuple(g for g in among if {g.id, g.id.split(".")[0]} & only)
