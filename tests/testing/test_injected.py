"""A scenario is what was really injected: what was planned and never met counts for nothing and is not told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from saga import Compensatable, Saga
from saga.kernel import definition_of
from saga.testing import Exploration, explore
from saga.testing._faults import Fault, FaultKind, Scenario
from saga.testing._rules import Violation
from saga.testing._run import Plan, Run, simulate
from saga.testing._scenarios import Scenarios
from saga.testing._telling import story
from tests.testing import sagas
from tests.testing.sagas import answers_of, shelf, shelves


async def run(saga: type, *faults: tuple[Any, ...], patient: bool = False) -> Run:
    """A run for which these faults are planned."""
    definition = definition_of(saga)
    answers = {decision.name: ["true", "false"] for decision in answers_of(saga)}
    plan = Plan(definition, "3", shelves, answers)
    return await simulate(plan, Scenario(tuple(Fault(*one) for one in faults), patient=patient))


def met(run: Run) -> list[str]:
    """What the run met, in order."""
    return [f"{fault.target} {fault.kind.name}" for fault in run.scenario.faults]


class Pair(Saga):
    """Two steps at once."""

    left = Compensatable(shelf.put, barrier=True).compensated_by(shelf.take)
    right = Compensatable(shelf.put, barrier=True).compensated_by(shelf.take)

    async def run(self, amount: int) -> list[str]:
        return list(await asyncio.gather(self.left(amount), self.right(amount)))


PLANNED: dict[str, tuple[type, list[tuple[Any, ...]], list[str]]] = {
    "a step that is never called": (
        sagas.Transfer,
        [("credit.1", FaultKind.CRASH_BEFORE), ("debit.1", FaultKind.REJECTED)],
        ["debit.1 REJECTED"],
    ),
    "a flush that never comes": (
        sagas.Transfer,
        [("debit.1", FaultKind.REJECTED), ("flush 40", FaultKind.LOST_AT_FLUSH)],
        ["debit.1 REJECTED"],
    ),
    "a decision that is never asked": (
        sagas.Transfer,
        [("review.1", FaultKind.UNANSWERED), ("debit.1", FaultKind.REJECTED)],
        ["debit.1 REJECTED"],
    ),
    "an attempt that is stopped before it meets its fault": (
        Pair,
        [("left.1", FaultKind.CANCEL), ("right.1", FaultKind.CRASH_BEFORE)],
        ["left.1 CANCEL"],
    ),
    "an attempt that is stopped before its answer is lost": (
        Pair,
        [("right.1", FaultKind.ANSWER_LOST), ("left.1", FaultKind.CANCEL_ACTED)],
        ["left.1 CANCEL_ACTED"],
    ),
    "an outcome that is never recorded": (
        Pair,
        [("left.1", FaultKind.CANCEL), ("right.1/compensation", FaultKind.CRASH_RECORDED), ("x.1", FaultKind.SLOW)],
        ["left.1 CANCEL", "right.1/compensation CRASH_RECORDED"],
    ),
    "a deadline that passes after the end": (
        sagas.Transfer,
        [("debit.1", FaultKind.DEADLINE, 10_000)],
        [],
    ),
    "a deadline that passes": (sagas.Transfer, [("debit.1", FaultKind.DEADLINE, 0.002)], ["debit.1 DEADLINE"]),
    "what happens first is told first": (
        sagas.Transfer,
        [("notify.1", FaultKind.LATE_DUPLICATE), ("debit.1", FaultKind.CRASH_AFTER)],
        ["debit.1 CRASH_AFTER", "notify.1 LATE_DUPLICATE"],
    ),
}


@pytest.mark.parametrize("case", PLANNED)
async def test_a_run_knows_what_it_met(case: str) -> None:
    """And leaves out what it did not."""
    saga, planned, expected = PLANNED[case]
    assert met(await run(saga, *planned)) == expected


@pytest.mark.parametrize(
    "kind",
    [FaultKind.UNANSWERED, FaultKind.OTHER_ANSWER, FaultKind.ANSWERED_EARLY, FaultKind.ANSWERED_TWICE],
    ids=lambda kind: kind.name,
)
async def test_what_happens_to_a_decision_is_met(kind: FaultKind) -> None:
    """Each in its way, once somebody was asked."""
    assert met(await run(sagas.Transfer, ("review.1", kind, 1))) == [f"review.1 {kind.name}"]


async def test_an_answer_that_comes_after_the_end_is_not_met() -> None:
    """The deadline was faster."""
    planned = [("review.1", FaultKind.OTHER_ANSWER, 1), ("debit.1", FaultKind.DEADLINE, 5)]
    assert met(await run(sagas.Transfer, *planned)) == ["debit.1 DEADLINE"]


async def test_a_patient_operator_who_is_never_needed_is_none() -> None:
    """Only where a saga is STUCK it matters who acts."""
    assert not (await run(sagas.Transfer, ("debit.1", FaultKind.REJECTED), patient=True)).scenario.patient
    assert (await run(sagas.Unguarded, ("debit.1", FaultKind.LATE), patient=True)).scenario.patient


async def test_a_story_tells_only_what_was_met() -> None:
    """Not what was planned beyond the end."""
    short = await run(sagas.Transfer, ("debit.1", FaultKind.REJECTED), ("credit.1", FaultKind.CRASH_BEFORE))
    text = story(short, [Violation("invariant", "wrong")])
    assert "  debit.1: rejected" in text.splitlines()
    assert "crash before the effect" not in text


# -- counting ----------------------------------------------------------------------------


@pytest.mark.parametrize("saga", [sagas.Unguarded, sagas.Looking], ids=lambda one: one.__name__)
async def test_no_scenario_counts_twice(saga: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was planned, and in whatever order."""
    counted: list[Scenario] = []
    add = Exploration.add

    def adding(self: Exploration, run: Run) -> None:
        counted.append(run.scenario)
        add(self, run)

    monkeypatch.setattr(Exploration, "add", adding)
    report = await explore(saga, 3, participants=shelves, decisions=answers_of(saga), limit=400)
    assert report.scenarios == len(counted) == 400
    assert len({(frozenset(one.faults), one.patient) for one in counted}) == len(counted)


async def test_a_combination_that_was_not_met_counts_as_what_it_met() -> None:
    """Once: the run of the one fault that was met came before it."""
    scenarios = Scenarios(limit=None, seed=0)
    both = Scenario((Fault("debit.1", FaultKind.REJECTED), Fault("credit.1", FaultKind.CRASH_BEFORE)))
    one = Scenario(both.faults[:1])
    scenarios.run = scenarios.possible = 2
    assert scenarios.is_new(both, await run(sagas.Transfer, *[(fault.target, fault.kind) for fault in both.faults]))
    assert (scenarios.run, scenarios.possible) == (2, 2)
    assert not scenarios.is_new(one, await run(sagas.Transfer, ("debit.1", FaultKind.REJECTED)))
    assert scenarios.run == 1
