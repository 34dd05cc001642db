"""Exploration: it finds what is wrong and tells it shortly, it finds nothing where nothing is, and it misses no fault."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from itertools import count
from typing import Any, Final

import pytest
from pydantic import BaseModel

from saga import (
    Compensatable,
    Decision,
    Effect,
    Pivot,
    ReadOnly,
    Retriable,
    Saga,
    SagaView,
    StepRejected,
    participant,
)
from saga.testing import Exploration, ExplorationError, behind_barrier, explore
from saga.testing._faults import FaultKind
from tests.testing import sagas
from tests.testing.sagas import EVERY_SHAPE, all_or_nothing, answers_of, shelves

# -- what holds, holds -------------------------------------------------------------------

SHAPE_LIMIT: Final = 250
"""Scenarios for each saga of `EVERY_SHAPE`."""


@pytest.fixture(scope="module")
def explored() -> dict[str, Exploration]:
    """What was explored by the tests of this file."""
    return {}


@pytest.mark.parametrize("saga", EVERY_SHAPE, ids=lambda one: one.__name__)
async def test_every_rule_holds_for_every_shape(saga: type, explored: dict[str, Exploration]) -> None:
    """No fault at any point breaks a rule, and a compensated saga leaves nothing."""
    report = await explore(
        saga,
        3,
        participants=shelves,
        decisions=answers_of(saga),
        invariant=all_or_nothing,
        limit=SHAPE_LIMIT,
        seed=len(saga.__name__),
    )
    assert report.scenarios == SHAPE_LIMIT
    explored[saga.__name__] = report


def test_at_least_a_thousand_scenarios_are_run() -> None:
    """Each test above asserts that so many were; the examples and generated sagas come on top."""
    assert len(EVERY_SHAPE) * SHAPE_LIMIT >= 1_000


def test_every_fault_and_every_rare_thing_is_met(explored: dict[str, Exploration]) -> None:
    """A rule that is never put to the test proves nothing."""
    if len(explored) < len(EVERY_SHAPE):
        pytest.skip("needs the reports of every test of this file")
    faults = Counter[str]()
    seen = Counter[str]()
    endings = Counter[str]()
    for report in explored.values():
        faults.update(report.faults)
        seen.update(report.seen)
        endings.update(report.endings)
    assert {kind.value for kind in FaultKind} - set(faults) == set()
    assert set(RARE) - set(seen) == set()
    # What fails always is tried for ever, so these runs were left where they were.
    assert set(endings) == {"COMPLETED", "COMPENSATED", "COMPENSATING", "RUNNING"}


RARE: Final = (
    "a compensation was skipped",
    "a flush failed and all was written",
    "a flush failed and nothing was written",
    "a former owner acted after it was taken over",
    "a nested saga ran",
    "a nested saga was ended before it began",
    "a probe found: did not happen",
    "a probe found: happened",
    "a request was refused",
    "an action that had acted was compensated",
    "an activity was performed again under the same key",
    "an attempt acted after its time limit",
    "an operator did it by hand",
    "an operator resolved: did not happen",
    "an operator resolved: happened",
    "an owner paused and was taken over",
    "backward recovery: aborted",
    "backward recovery: cancelled",
    "backward recovery: deadline",
    "backward recovery: in doubt",
    "backward recovery: rejected",
    "cancelled while compensating",
    "crash between effect and record",
    "empty compensation",
    "recovery was resumed by another owner",
    "STUCK: unsettled",
    "STUCK: no progress after several resumes",
)


async def test_an_exploration_repeats() -> None:
    """The same seed, the same scenarios; another one, others."""
    one, again, other = [
        str(await explore(sagas.Transfer, 3, participants=shelves, limit=60, seed=seed)) for seed in (1, 1, 2)
    ]
    assert one == again
    assert one != other


async def test_without_a_limit_everything_that_was_found_is_run() -> None:
    """Pairs of faults included."""
    report = await explore(sagas.Looking, 3, participants=shelves, limit=None)
    assert report.scenarios == report.possible > 500
    assert str(report).startswith(f"Looking: {report.scenarios} scenarios, {report.replays} beginnings of journals")


async def test_a_limit_says_how_much_was_left_out() -> None:
    """And is kept."""
    report = await explore(sagas.Looking, 3, participants=shelves, limit=20)
    assert report.scenarios == 20
    assert f"20 scenarios of {report.possible} found" in str(report)


class Nothing(Saga):
    """Does nothing."""

    async def run(self, amount: int) -> int:
        return amount


async def test_a_saga_without_steps_has_an_end_of_scenarios() -> None:
    """There are fewer than the limit; the exploration ends all the same."""
    report = await explore(Nothing, 3, limit=1_000)
    assert 50 < report.scenarios < 1_000
    assert set(report.endings) == {"COMPLETED"}


# -- planted bugs ------------------------------------------------------------------------


class Money(BaseModel):
    """What is asked for."""

    cents: int


class Bank:
    """Holds cents, behind a barrier unless a test says otherwise."""

    def __init__(self, cents: int = 0) -> None:
        self.cents = cents

    async def debit(self, money: Money) -> int:
        self.cents -= money.cents
        return self.cents

    async def refund(self, effect: Effect[Money, int]) -> None:
        self.cents += effect.input.cents

    def credit(self, money: Money) -> int:
        self.cents += money.cents
        return self.cents


class Forgetful(Bank):
    """Refunds only what it has a receipt for."""

    async def refund(self, effect: Effect[Money, int]) -> None:
        if effect.output != 1:
            await super().refund(effect)


source, target = participant(Bank, "source"), participant(Bank, "target")


class Transfer(Saga):
    """Moves cents."""

    debit = Compensatable(source.debit, barrier=True).compensated_by(source.refund)
    credit = Pivot(target.credit, barrier=True)

    async def run(self, money: Money) -> int:
        await self.debit(money)
        return await self.credit(money)


def guarded_banks() -> dict[str, Bank]:
    """Banks behind barriers."""
    return {"source": behind_barrier(Bank(100)), "target": behind_barrier(Bank())}


def all_there(banks: Mapping[str, Bank], view: SagaView) -> bool:
    """No cent is lost."""
    return banks["source"].cents + banks["target"].cents == 100


async def broken(saga: Any, request: Any = 3, **options: Any) -> ExplorationError:
    """What an exploration finds."""
    with pytest.raises(ExplorationError) as caught:
        await explore(saga, request, **options)
    return caught.value


async def test_guarded_banks_keep_every_cent() -> None:
    """The three lines of a test of a whole saga."""
    report = await explore(Transfer, Money(cents=30), participants=guarded_banks, invariant=all_there, limit=300)
    assert {"COMPLETED", "COMPENSATED"} <= set(report.endings)


async def test_a_participant_that_acts_twice_is_found() -> None:
    """The story is as short as can be: one lost answer, and the money that came twice."""

    def banks() -> dict[str, Bank]:
        return {"source": behind_barrier(Bank(100)), "target": Bank()}

    error = await broken(Transfer, Money(cents=30), participants=banks, invariant=all_there)
    assert error.rule == "invariant"
    assert str(error).splitlines() == [
        "Transfer broke a rule.",
        "",
        "Injected:",
        "  credit.1: an attempt acted but its answer was lost, the next one is done",
        "",
        "Broken:",
        "  invariant (the test's own invariant): it returned False with COMPLETED",
        "",
        "What happened:",
        "     0:00.000  journal      SagaStarted",
        "     0:00.000  journal      CallRegistered debit.1",
        "     0:00.000  began        debit.1 #1",
        "     0:00.005  acted        debit.1 #1: done",
        "     0:00.010  answered     debit.1 #1: done",
        "     0:00.010  journal      CallDone debit.1",
        "     0:00.010  journal      CallRegistered credit.1",
        "     0:00.010  began        credit.1 #1",
        "     0:00.015  acted        credit.1 #1: done",
        "     0:00.020  answered     credit.1 #1: in doubt (ConnectionError: injected: the connection was lost)",
        "     0:00.220  began        credit.1 #2",
        "     0:00.225  acted        credit.1 #2: done",
        "     0:00.230  answered     credit.1 #2: done",
        "     0:00.230  journal      AttemptFailed credit.1 (ConnectionError: injected: the connection was lost)",
        "     0:00.230  journal      CallDone credit.1",
        "     0:00.230  journal      SagaCompleted",
    ]


async def test_a_compensation_that_does_too_little_is_found() -> None:
    """What it forgets is missing when the saga is compensated."""

    def banks() -> dict[str, Bank]:
        return {"source": behind_barrier(Forgetful(31)), "target": behind_barrier(Bank(69))}

    error = await broken(Transfer, Money(cents=30), participants=banks, invariant=all_there)
    assert error.rule == "invariant"
    assert len(error.scenario.faults) == 1
    assert "it returned False with COMPENSATED" in str(error)


class NotDeterministic(Saga):
    """Looks at another thing each time."""

    turns = count()
    look = ReadOnly(sagas.shelf.look)

    async def run(self, amount: int) -> int:
        return await self.look(amount + next(self.turns))


class AfterPivot(Saga):
    """Wants to go back where there is no way back."""

    pay = Pivot(sagas.other.put, barrier=True).probed_by(sagas.other.find)
    tell = Retriable(sagas.other.tell)

    async def run(self, amount: int) -> str:
        paid = await self.pay(amount)
        raise StepRejected("too late")
        return paid


class OnlyIfRefused(Saga):
    """Has a bug where hardly anybody looks."""

    hold = Compensatable(sagas.shelf.put, rejects=[sagas.Refused], barrier=True).compensated_by(sagas.shelf.take)

    async def run(self, amount: int) -> str:
        try:
            return await self.hold(amount)
        except StepRejected as error:
            return {"known": "reason"}[str(error.details)]


class Endless(Saga):
    """Never stops trying."""

    look = ReadOnly(sagas.shelf.look)

    async def run(self, amount: int) -> int:
        while True:
            await self.look(amount)


class Waiting(Saga):
    """Waits for what nobody brings."""

    async def run(self, amount: int) -> int:
        return await asyncio.get_running_loop().create_future()


BUGS: dict[str, tuple[type, str, int, tuple[str, ...]]] = {
    "code that is not deterministic": (NotDeterministic, "S15", 0, ("nothing; this is how it always runs",)),
    "a failure after the pivot": (AfterPivot, "S3", 0, ("is STUCK by its code (bug)", "StepRejected: too late")),
    "a bug on a way that is rarely taken": (OnlyIfRefused, "S3", 1, ("hold.1: rejected", "KeyError")),
    "a saga that never ends": (Endless, "end", 0, ("it goes on for ever",)),
    "a saga that waits for nothing": (Waiting, "S3", 0, ("no step, timer or decision will bring",)),
}


@pytest.mark.parametrize("case", BUGS)
async def test_bugs_of_a_saga_are_found(case: str) -> None:
    """The rule is named, the story holds no fault too many, and it shows what is wrong."""
    saga, rule, faults, texts = BUGS[case]
    error = await broken(saga, participants=shelves)
    assert (error.rule, len(error.scenario.faults)) == (rule, faults), str(error)
    for text in texts:
        assert text in str(error)


async def test_a_bug_is_told_with_its_traceback() -> None:
    """The line of `run` is in the story."""
    assert 'return {"known": "reason"}[str(error.details)]' in str(await broken(OnlyIfRefused, participants=shelves))


def never(participants: Any, view: SagaView) -> None:
    """Always broken."""
    raise AssertionError(f"{view.id} is wrong")


async def never_async(participants: Any, view: SagaView) -> None:
    """The same, as a coroutine."""
    await asyncio.sleep(0)
    never(participants, view)


@pytest.mark.parametrize("invariant", [never, never_async])
async def test_an_invariant_may_raise(invariant: Callable[..., object]) -> None:
    """What it says is in the story; with nothing injected, that is said."""
    error = await broken(sagas.Looking, participants=shelves, invariant=invariant)
    assert "with COMPLETED: explored is wrong" in str(error)
    assert "nothing; this is how it always runs" in str(error)


# -- time and the world outside -----------------------------------------------------------


class Patient(Saga):
    """Sleeps for a year, then asks."""

    ask = Decision(bool, within=timedelta(days=365))

    async def run(self, amount: int) -> bool:
        await self.sleep(timedelta(days=365))
        return await self.ask()


async def test_a_long_story_is_shortened() -> None:
    """Its beginning and its end are told."""
    lines = str(await broken(Endless, participants=shelves)).splitlines()
    assert len(lines) < 300
    assert any(line.strip().startswith("...") for line in lines)


async def test_a_year_takes_no_time() -> None:
    """Time is virtual; a decision without answers times out."""
    answered = await explore(Patient, 3, decisions={Patient.ask: [True]}, limit=30)
    assert "COMPLETED" in answered.endings
    unanswered = await explore(Patient, 3, limit=30)
    assert set(unanswered.endings) == {"COMPENSATED"}
    assert unanswered.seen["backward recovery: decision timed out"] > 0


class Outside:
    """Does what only a real event loop can."""

    def __init__(self) -> None:
        self.threads = 0

    async def look(self, amount: int) -> int:
        self.threads += await asyncio.to_thread(lambda: 1)
        return amount


class Reaching(Saga):
    """Performs an activity that does I/O."""

    look = ReadOnly(participant(Outside, "outside").look)

    async def run(self, amount: int) -> int:
        return await self.look(amount)


async def test_activities_may_use_the_real_event_loop() -> None:
    """Virtual time stands still while they run."""
    made: list[Outside] = []

    def fresh() -> dict[str, object]:
        made.append(Outside())
        return {"outside": made[-1]}

    report = await explore(Reaching, 3, participants=fresh, limit=40)
    assert len(made) >= report.scenarios == 40
    assert made[0].threads == 1


async def test_an_invariant_that_falls_over_tells_its_story() -> None:
    """Whatever it raises, the run that it met is what the author has to see."""

    def looks_up(participants: Any, view: SagaView) -> bool:
        empty: dict[str, bool] = {}
        return empty[view.state]

    with pytest.raises(ExplorationError, match=r"it raised KeyError"):
        await explore(sagas.Transfer, 5, participants=shelves, invariant=looks_up, limit=20)


class _Crediting:
    async def credit(self, amount: int) -> int:
        return amount


_bank = participant(_Crediting, "bank")


class OnlyPivot(Saga):
    """A single step, and no way back."""

    credit = Pivot(_bank.credit)

    async def run(self, amount: int) -> int:
        return await self.credit(amount)


class OnlyRetriable(Saga):
    """A single step that has to happen."""

    credit = Retriable(_bank.credit)

    async def run(self, amount: int) -> int:
        return await self.credit(amount)


@pytest.mark.parametrize("saga", [OnlyPivot, OnlyRetriable])
async def test_the_simplest_sagas_hold(saga: type[OnlyPivot]) -> None:
    """An act that leads to the end may be journaled in one flush, and the end be lost with the next."""
    report = await explore(saga, 5, participants=lambda: {"bank": _Crediting()})
    assert report.scenarios >= 500
