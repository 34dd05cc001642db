"""What a scenario does to a run: which fault meets which attempt, flush and decision."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from saga.testing._faults import ATTEMPTS_ENOUGH, Behaviour, FaultKind, behaviour

if TYPE_CHECKING:
    from saga.testing._faults import Fault, Scenario

__all__ = ("Script", "target_of")

_DEADLINES = frozenset({FaultKind.DEADLINE, FaultKind.DEADLINE_ACTED})


def target_of(root: str, instance: str, name: str) -> str:
    """Return the name of an activity in the whole run: `debit.1`, or `pay.1/debit.1` in a child."""
    return f"{instance}/{name}"[len(root) + 1 :].replace("~", "/")


class Script:
    """Applies the faults of one scenario.

    Attributes:
        scenario: The faults that are planned.
        flushes: How many flushes there were so far.
        injected: The faults that the run really met, in the order in which it met them.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.flushes = 0
        self.injected: dict[Fault, None] = {}
        self._faults: dict[str, Fault] = {fault.target: fault for fault in scenario.faults}
        self._attempts: Counter[str] = Counter()
        self._recorded: set[str] = set()
        self._healed = False

    def inject(self, target: str) -> None:
        """Take note that what is planned for a target was really done to it."""
        self.injected[self._faults[target]] = None

    def heal(self) -> None:
        """Nothing fails from now on: the cause was removed."""
        self._healed = True

    def attempt(self, target: str) -> tuple[int, Behaviour]:
        """Return the number of the next attempt of an activity, over all owners, and what it does."""
        self._attempts[target] += 1
        number = self._attempts[target]
        fault = self._faults.get(target)
        return number, Behaviour.DONE if fault is None or self._healed else behaviour(fault.kind, number)

    @property
    def failed_enough(self) -> str:
        """The activity that failed so often that it always will, or the empty text."""
        for target, fault in self._faults.items():
            if fault.kind is FaultKind.FAILS_ALWAYS and self._attempts[target] >= ATTEMPTS_ENOUGH and not self._healed:
                return target
        return ""

    def crashes_when_recorded(self, target: str) -> bool:
        """Tell, once, whether the owner crashes right after the outcome of this activity is durable."""
        fault = self._faults.get(target)
        if fault is None or fault.kind is not FaultKind.CRASH_RECORDED or target in self._recorded:
            return False
        self._recorded.add(target)
        self.inject(target)
        return True

    def at_flush(self) -> FaultKind | None:
        """Return what happens at the next flush."""
        self.flushes += 1
        fault = self._faults.get(target := f"flush {self.flushes}")
        if fault is None:
            return None
        self.inject(target)
        return fault.kind

    def for_decision(self, call: str) -> Fault | None:
        """Return what happens to a decision."""
        return self._faults.get(call)

    def early_decisions(self) -> list[str]:
        """Return the decisions that are answered before they are asked."""
        return [fault.target for fault in self._faults.values() if fault.kind is FaultKind.ANSWERED_EARLY]

    def deadline(self, start: datetime) -> datetime | None:
        """Return the deadline that the scenario wants."""
        fault = self._deadline
        return None if fault is None else start + timedelta(seconds=fault.offset)

    def deadline_passed(self) -> None:
        """Take note that the deadline passed while the root instance was open."""
        if self._deadline is not None:
            self.inject(self._deadline.target)

    @property
    def _deadline(self) -> Fault | None:
        return next((fault for fault in self._faults.values() if fault.kind in _DEADLINES), None)
