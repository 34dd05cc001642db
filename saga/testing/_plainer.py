"""What is tried to tell a story more plainly: a fault less, or a plainer fault in the place of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saga.testing._faults import Scenario
from saga.testing._points import points_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from saga.testing._faults import Fault
    from saga.testing._run import Run

__all__ = ("plainer",)


def plainer(run: Run) -> Iterator[Scenario]:
    """Yield the scenarios that are plainer than a run's, those that may leave most away first."""
    scenario = run.scenario
    for fault in scenario.faults:
        yield Scenario(_without(scenario, fault), patient=scenario.patient)
    if scenario.patient:
        yield Scenario(scenario.faults)
    seen = sorted(points_of(run).all(), key=lambda fault: fault.kind.intricacy)
    for fault in scenario.faults:
        others = _without(scenario, fault)
        taken = {one.target for one in others}
        for other in seen:
            if other.kind.intricacy < fault.kind.intricacy and _may_replace(fault, other) and other.target not in taken:
                yield Scenario((*others, other), patient=scenario.patient)


def _without(scenario: Scenario, fault: Fault) -> tuple[Fault, ...]:
    return tuple(one for one in scenario.faults if one is not fault)


def _may_replace(fault: Fault, other: Fault) -> bool:
    # What a flush stands for is clearer at an activity; elsewhere the place is part of the story.
    return other.target == fault.target or fault.at_flush
