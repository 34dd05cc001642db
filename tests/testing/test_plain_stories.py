"""Stories of broken rules: the plainest fault that breaks them, and nothing told twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from saga import Compensatable, Effect, Pivot, Retry, Saga, SagaView, StepRejected, current_step, participant
from saga.kernel import definition_of
from saga.testing import ExplorationError, behind_barrier, explore
from saga.testing._faults import Fault, FaultKind, Scenario
from saga.testing._plainer import plainer
from saga.testing._run import Plan, simulate
from saga.testing._telling import story


class Money(BaseModel):
    """What is asked for."""

    cents: int


class Bank:
    """Holds cents, and acts as often as it is asked."""

    def __init__(self, cents: int = 0) -> None:
        self.cents = cents

    async def debit(self, money: Money) -> int:
        self.cents -= money.cents
        return self.cents

    async def refund(self, effect: Effect[Money, int]) -> None:
        self.cents += effect.input.cents

    async def credit(self, money: Money) -> int:
        self.cents += money.cents
        return self.cents


class RefundsAgain(Bank):
    """Debits once, and refunds as often as it is asked."""

    def __init__(self, cents: int) -> None:
        super().__init__(cents)
        self.debited: set[str] = set()
        self.suspended: set[str] = set()

    async def debit(self, money: Money) -> int:
        key = current_step().key
        if key in self.suspended:
            raise StepRejected("it was refunded before it came")
        if key not in self.debited:
            self.debited.add(key)
            await super().debit(money)
        return self.cents

    async def refund(self, effect: Effect[Money, int]) -> None:
        self.suspended.add(current_step().action_key)
        if current_step().action_key in self.debited:
            await super().refund(effect)


source, target = participant(Bank, "source"), participant(Bank, "target")


class Transfer(Saga):
    """Moves cents."""

    debit = Compensatable(source.debit, barrier=True).compensated_by(source.refund)
    credit = Pivot(target.credit, barrier=True)

    async def run(self, money: Money) -> int:
        await self.debit(money)
        return await self.credit(money)


def all_there(banks: Mapping[str, Bank], view: SagaView) -> bool:
    """No cent is lost."""
    return banks["source"].cents + banks["target"].cents == 100


def a_source(bank: Callable[[int], Bank]) -> Callable[[], dict[str, Bank]]:
    """Banks of which the source is not behind a barrier."""
    return lambda: {"source": bank(100), "target": behind_barrier(Bank())}


async def told(participants: Callable[[], dict[str, Bank]], **options: Any) -> ExplorationError:
    """What an exploration finds."""
    with pytest.raises(ExplorationError) as caught:
        await explore(Transfer, Money(cents=30), participants=participants, invariant=all_there, **options)
    return caught.value


# -- the plainest fault ------------------------------------------------------------------


async def test_a_doubt_is_told_before_a_crash_or_a_pause() -> None:
    """A bank that refunds what it never took does so after each of them; repeats are told once."""
    assert str(await told(a_source(Bank))).splitlines() == [
        "Transfer broke a rule.",
        "",
        "Injected:",
        "  debit.1: in doubt, never acted",
        "",
        "Broken:",
        "  invariant (the test's own invariant): it returned False with COMPENSATED",
        "",
        "What happened:",
        "     0:00.000  journal      SagaStarted",
        "     0:00.000  journal      CallRegistered debit.1",
        "     0:00.000  began        debit.1, 3 times",
        "     0:00.005  answered     debit.1: in doubt (ConnectionError: injected: the connection was lost), 3 times",
        "     0:00.615  journal      AttemptFailed debit.1 (ConnectionError: injected: the connection was lost), 2 times",
        "     0:00.615  journal      CallInDoubt debit.1 (ConnectionError: injected: the connection was lost)",
        "     0:00.615  journal      RecoveryStarted debit.1 in doubt (ConnectionError: injected: the connection was lost)",
        "     0:00.615  journal      CallRegistered debit.1/compensation",
        "     0:00.615  began        debit.1/compensation #1",
        "     0:00.620  acted        debit.1/compensation #1: done",
        "     0:00.625  answered     debit.1/compensation #1: done",
        "     0:00.625  journal      CallDone debit.1/compensation",
        "     0:00.625  journal      SagaCompensated",
    ]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("limit", [120, 1_000])
async def test_the_story_is_plain_whichever_run_breaks_the_rule_first(seed: int, limit: int) -> None:
    """Where the limit leaves the plainest scenarios out, they are run for the story all the same."""
    error = await told(a_source(RefundsAgain), seed=seed, limit=limit)
    assert [str(fault) for fault in error.scenario.faults][1:] == [
        "debit.1/compensation: an attempt acted but its answer was lost, the next one is done"
    ]
    first = error.scenario.faults[0]
    assert first.kind.intricacy <= FaultKind.IN_DOUBT_ACTED.intricacy, str(first)


def test_the_order_of_faults_is_written_down_once() -> None:
    """From what a participant says to what an owner does."""
    order = [
        FaultKind.REJECTED,
        FaultKind.IN_DOUBT,
        FaultKind.LATE,
        FaultKind.CRASH_BEFORE,
        FaultKind.CANCEL,
        FaultKind.DEADLINE,
        FaultKind.PAUSED,
    ]
    assert sorted(order, key=lambda kind: kind.intricacy) == order


async def _run(*faults: tuple[str, FaultKind], patient: bool = False) -> Any:
    banks = {"source": behind_barrier(Bank(100)), "target": behind_barrier(Bank())}
    plan = Plan(definition_of(Transfer), Money(cents=30).model_dump_json(), lambda: banks, {})
    return await simulate(plan, Scenario(tuple(Fault(*one) for one in faults), patient=patient))


async def test_what_is_tried_for_a_story_is_plainer() -> None:
    """A fault less, or a plainer one in the same place; at a flush, anywhere."""
    paused = await _run(("debit.1", FaultKind.PAUSED))
    tried = list(plainer(paused))
    assert tried[0] == Scenario()
    assert {fault.target for one in tried for fault in one.faults} == {"debit.1"}
    assert all(one.intricacy < paused.scenario.intricacy for one in tried)
    at_flush = await _run(("flush 2", FaultKind.PAUSED_AT_FLUSH))
    tried = list(plainer(at_flush))
    assert {"debit.1", "credit.1", "flush 2"} <= {fault.target for one in tried for fault in one.faults}
    assert all(one.intricacy < at_flush.scenario.intricacy for one in tried)


# -- repeats -----------------------------------------------------------------------------


class Patient(Saga):
    """Tries for long."""

    credit = Pivot(target.credit, retry=Retry(attempts=8, first=timedelta(seconds=1), factor=1.0), barrier=True)

    async def run(self, money: Money) -> int:
        return await self.credit(money)


async def test_a_first_attempt_that_differs_is_told_apart() -> None:
    """It acted, the seven after it did not."""
    plan = Plan(definition_of(Patient), Money(cents=30).model_dump_json(), lambda: {"target": Bank()}, {})
    run = await simulate(plan, Scenario((Fault("credit.1", FaultKind.IN_DOUBT_ACTED),)))
    lines = [line[15:] for line in story(run, []).splitlines() if " credit.1" in line]
    lost = "in doubt (ConnectionError: injected: the connection was lost)"
    assert lines[2:7] == [
        "began        credit.1 #1",
        "acted        credit.1 #1: done",
        f"answered     credit.1 #1: {lost}",
        "began        credit.1, 7 times",
        f"answered     credit.1: {lost}, 7 times",
    ]
