"""S15: whether changed code may go on with an old journal is decided by replay alone; the first difference is shown."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from saga import Compensatable, Decision, Effect, Pivot, ReadOnly, Retriable, Saga, StepInDoubt, StepRejected
from saga.errors import ReplayMismatchError
from saga.kernel import Instance, replay, resume
from tests.kernel._drive import Driven, told
from tests.kernel._sagas import Bank, Steps, bank, transfer

Program = Callable[[Steps, int], Awaitable[str]]


async def before(saga: Steps, amount: int) -> str:
    await saga.debit(amount)
    await saga.fee(1)
    return await saga.credit(amount)


async def step_added_in_front(saga: Steps, amount: int) -> str:
    await saga.rate(amount)
    return await before(saga, amount)


async def step_added_between(saga: Steps, amount: int) -> str:
    await saga.debit(amount)
    await saga.rate(amount)
    await saga.fee(1)
    return await saga.credit(amount)


async def step_removed(saga: Steps, amount: int) -> str:
    await saga.fee(1)
    return await saga.credit(amount)


async def last_step_removed(saga: Steps, amount: int) -> str:
    return await saga.debit(amount)


async def steps_moved(saga: Steps, amount: int) -> str:
    await saga.fee(1)
    await saga.debit(amount)
    return await saga.credit(amount)


async def input_changed(saga: Steps, amount: int) -> str:
    await saga.debit(amount + 1)
    await saga.fee(1)
    return await saga.credit(amount)


async def called_twice(saga: Steps, amount: int) -> str:
    await saga.debit(amount)
    await saga.debit(amount)
    return await saga.credit(amount)


async def sleeps_first(saga: Steps, amount: int) -> str:
    await asyncio.sleep(1)
    return await before(saga, amount)


async def asks_first(saga: Steps, amount: int) -> str:
    await saga.review()
    return await before(saga, amount)


async def raises_first(saga: Steps, amount: int) -> str:
    raise TimeoutError


async def fails_first(saga: Steps, amount: int) -> str:
    raise KeyError("new bug")


@pytest.mark.parametrize(
    ("after", "position", "holds", "does"),
    [
        (step_added_in_front, 2, "call debit.1 (compensatable)", "call rate.1 (read-only)"),
        (step_added_between, 4, "call fee.1 (compensatable)", "call rate.1 (read-only)"),
        (step_removed, 2, "call debit.1 (compensatable)", "call fee.1 (compensatable)"),
        (last_step_removed, 4, "call fee.1 (compensatable)", "SagaCompleted"),
        (steps_moved, 2, "call debit.1 (compensatable)", "call fee.1 (compensatable)"),
        (input_changed, 2, "call debit.1 (compensatable)", "call debit.1 (compensatable) with another input"),
        (called_twice, 4, "call fee.1 (compensatable)", "call debit.2 (compensatable)"),
        (sleeps_first, 2, "call debit.1 (compensatable)", "TimerSet timer.1"),
        (asks_first, 2, "call debit.1 (compensatable)", "DecisionAwaited review.1"),
        (raises_first, 2, "call debit.1 (compensatable)", "RecoveryStarted"),
        (fails_first, 2, "call debit.1 (compensatable)", "SagaStuck"),
    ],
)
def test_code_that_does_something_else_is_told_apart_at_the_first_difference(
    after: Program, position: int, holds: str, does: str
) -> None:
    """The message shows the position, what the journal holds, and what the code does."""
    driven = Driven(transfer(before)).done("debit.1", '"p"')
    with pytest.raises(ReplayMismatchError) as caught:
        replay(transfer(after).__definition__, driven.facts)
    assert (caught.value.recorded, caught.value.replayed.split(" None")[0]) == (holds, does)
    assert str(caught.value).startswith(
        f"Transfer transfer-42: the code does not fit the journal at fact {position}.\n  the journal holds  {holds}\n"
    )


@pytest.mark.parametrize("after", [step_added_in_front, step_removed, fails_first, input_changed])
def test_an_instance_whose_code_does_not_fit_is_stuck_and_moves_no_money(after: Program) -> None:
    """Until code that fits is deployed and somebody retries."""
    driven = Driven(transfer(before), replayed=False).done("debit.1", '"p"').reload(transfer(after))
    assert (driven.state, driven.blocking) == ("STUCK", [(None, "code does not fit the journal")])
    assert driven.compensated == []
    driven.reload(transfer(before)).retry()
    assert (driven.state, driven.in_flight) == ("RUNNING", ["fee.1"])
    driven.done("fee.1", '"f"').done("credit.1", '"c"')
    assert (driven.state, driven.result) == ("COMPLETED", '"c"')


def test_an_instance_whose_code_does_not_fit_can_be_compensated() -> None:
    """Backward recovery does not need `run`."""
    driven = Driven(transfer(before), replayed=False).done("debit.1", '"p"').reload(transfer(steps_moved)).cancel()
    assert driven.state == "COMPENSATING"
    driven.done("fee.1", '"f"').compensate_all()
    assert (driven.state, driven.compensated) == ("COMPENSATED", ["fee.1", "debit.1"])


def test_code_that_differs_only_after_the_end_of_the_journal_goes_on() -> None:
    """What has not been done yet may change."""

    async def later(saga: Steps, amount: int) -> str:
        await saga.debit(amount)
        await saga.fee(1)
        await saga.rate(amount)
        return await saga.credit(amount)

    driven = Driven(transfer(before)).done("debit.1", '"p"').reload(transfer(later)).done("fee.1", '"f"')
    assert driven.in_flight == ["rate.1"]


def test_code_that_adds_a_step_where_the_journal_ends_makes_it_now() -> None:
    """The new call is registered when the instance resumes."""

    async def more(saga: Steps, amount: int) -> str:
        rate = asyncio.create_task(saga.rate(amount))
        await saga.debit(amount)
        return str(await rate)

    async def less(saga: Steps, amount: int) -> str:
        return await saga.debit(amount)

    driven = Driven(transfer(less), replayed=False).reload(transfer(more))
    assert driven.in_flight == ["debit.1", "rate.1"]


def test_a_journal_of_a_run_that_ended_is_not_replayed_when_it_is_looked_at() -> None:
    """Nothing will ever change again."""
    driven = Driven(transfer(before)).done("debit.1", '"p"').done("fee.1", '"f"').done("credit.1", '"c"')
    decider = resume(transfer(fails_first).__definition__, driven.facts)
    assert (decider.instance.state, decider.out) == ("COMPLETED", [])


# -- kinds and names -------------------------------------------------------------------


def with_debit(step: Any) -> type[Saga]:
    """A saga whose first step is `step`."""

    class Transfer(Saga):
        debit = step
        fee = Steps.fee

        async def run(self, request: int) -> str:
            await self.debit(request)
            return await self.fee(1)

    return Transfer


def test_a_step_whose_kind_changed_does_not_fit() -> None:
    """What was compensatable must stay compensatable."""
    old = with_debit(Compensatable(bank.debit).compensated_by(bank.refund))
    driven = Driven(old).done("debit.1", '"p"')
    with pytest.raises(ReplayMismatchError) as caught:
        replay(with_debit(ReadOnly(bank.debit)).__definition__, driven.facts)
    assert (caught.value.recorded, caught.value.replayed) == (
        "call debit.1 (compensatable)",
        "call debit.1 (read-only)",
    )


def test_a_step_that_was_renamed_does_not_fit() -> None:
    """Names are journaled."""

    class Transfer(Saga):
        take = Compensatable(bank.debit).compensated_by(bank.refund)

        async def run(self, request: int) -> str:
            return await self.take(request)

    driven = Driven(with_debit(Compensatable(bank.debit).compensated_by(bank.refund))).done("debit.1", '"p"')
    with pytest.raises(ReplayMismatchError) as caught:
        replay(Transfer.__definition__, driven.facts)
    assert (caught.value.recorded, caught.value.replayed) == (
        "call debit.1 (compensatable)",
        "call take.1 (compensatable)",
    )


def test_other_policies_do_not_matter() -> None:
    """Time limits and retries are how, not what."""
    old = with_debit(Compensatable(bank.debit).compensated_by(bank.refund))
    new = with_debit(Compensatable(bank.debit, timeout=timedelta(hours=1)).compensated_by(bank.refund))
    driven = Driven(old).done("debit.1", '"p"').reload(new)
    assert driven.in_flight == ["fee.1"]


def test_another_fingerprint_does_not_matter() -> None:
    """It explains, it never decides."""
    old = with_debit(Compensatable(bank.debit).compensated_by(bank.refund))

    class Transfer(Saga):
        debit = Compensatable(bank.debit).compensated_by(bank.refund)
        fee = Steps.fee
        never_called = ReadOnly(bank.rate)

        async def run(self, request: int) -> str:
            await self.debit(request)
            return await self.fee(1)

    assert old.__definition__.fingerprint != Transfer.__definition__.fingerprint
    assert Driven(old).done("debit.1", '"p"').reload(Transfer).in_flight == ["fee.1"]


# -- models ----------------------------------------------------------------------------


def with_model(fields: dict[str, Any], make: Callable[[Any], Any]) -> type[Saga]:
    """A saga that debits a model with the given fields."""
    model: Any = type(
        "Debit",
        (BaseModel,),
        {"__annotations__": {k: t for k, (t, _) in fields.items()}}
        | {name: default for name, (_, default) in fields.items() if default is not ...},
    )

    def debit_it(debit: Any) -> str:
        raise NotImplementedError

    def refund_it(effect: Any) -> None:
        raise NotImplementedError

    debit_it.__annotations__["debit"] = model
    refund_it.__annotations__["effect"] = Effect[model, str]

    class Transfer(Saga):
        debit = Compensatable(debit_it).compensated_by(refund_it)

        async def run(self, request: int) -> str:
            return await self.debit(make(model))

    return Transfer


def test_a_field_with_a_default_that_was_added_fits() -> None:
    """The recorded input decoded with today's model equals the new one."""
    old = with_model({"amount": (int, ...)}, lambda model: model(amount=5))
    new = with_model({"amount": (int, ...), "currency": (str, "EUR")}, lambda model: model(amount=5))
    driven = Driven(old)
    assert driven.payload("debit.1") == '{"amount":5}'
    assert resume(new.__definition__, driven.facts).instance.state == "RUNNING"


def test_a_field_whose_new_value_is_not_the_default_does_not_fit() -> None:
    """What was sent is not what would be sent."""
    old = with_model({"amount": (int, ...)}, lambda model: model(amount=5))
    new = with_model({"amount": (int, ...), "currency": (str, "EUR")}, lambda model: model(amount=5, currency="USD"))
    with pytest.raises(ReplayMismatchError, match="with another input"):
        replay(new.__definition__, Driven(old).facts)


def test_an_input_that_todays_model_cannot_read_does_not_fit() -> None:
    """A required field was added."""
    old = with_model({"amount": (int, ...)}, lambda model: model(amount=5))
    new = with_model({"amount": (int, ...), "iban": (str, ...)}, lambda model: model(amount=5, iban="nl"))
    with pytest.raises(ReplayMismatchError, match="with another input"):
        replay(new.__definition__, Driven(old).facts)


def test_an_output_that_todays_model_cannot_read_is_a_bug() -> None:
    """`run` is told so where it awaits the step; nothing is guessed."""

    class Counts(Bank):
        async def debit(self, amount: int) -> int:  # type: ignore[override]
            raise NotImplementedError

        async def refund(self, effect: Effect[int, int]) -> None:  # type: ignore[override]
            raise NotImplementedError

    from saga import participant  # noqa: PLC0415 - only here

    counts = participant(Counts, "bank")
    old = with_debit(Compensatable(bank.debit).compensated_by(bank.refund))
    new = with_debit(Compensatable(counts.debit).compensated_by(counts.refund))
    driven = Driven(old, replayed=False).resumed().reload(new).done("debit.1", '"p"')
    failure = driven.instance.stuck[0].failure
    assert failure is not None
    assert failure.type == "InvalidRequestError"
    assert failure.message.startswith("Transfer transfer-42 debit.1: what the journal holds does not fit int")


def test_a_request_that_todays_model_cannot_read_does_not_fit() -> None:
    """The instance has begun, so it is not ended as undecodable but waits for code that fits."""

    class Transfer(Saga):
        debit = Compensatable(bank.debit).compensated_by(bank.refund)

        async def run(self, request: bool) -> str:
            return await self.debit(int(request))

    old = with_debit(Compensatable(bank.debit).compensated_by(bank.refund))
    driven = Driven(old, replayed=False).done("debit.1", '"p"').reload(Transfer)
    assert driven.blocking == [(None, "code does not fit the journal")]


# -- COMPENSATING ----------------------------------------------------------------------


def counted(program: Program, runs: list[int]) -> type[Steps]:
    """As `program`, and counts how often it is executed."""

    async def counting(saga: Steps, amount: int) -> str:
        runs.append(amount)
        return await program(saga, amount)

    return transfer(counting)


def test_once_compensating_is_journaled_run_is_never_executed_again() -> None:
    """Neither by a resume, nor by an act, nor at the end."""
    runs: list[int] = []
    saga = counted(before, runs)
    driven = Driven(saga, replayed=False).done("debit.1", '"p"').done("fee.1", '"f"').rejected("credit.1")
    assert len(runs) == 1
    driven.reload(saga).rejected("fee.1/compensation").reload(saga).done("debit.1/compensation").reload(saga)
    driven.retry().reload(saga).done("fee.1/compensation").reload(saga)
    assert (driven.state, len(runs)) == ("COMPENSATED", 1)


def test_running_journals_execute_run_at_each_resume() -> None:
    """The counter counts."""
    runs: list[int] = []
    saga = counted(before, runs)
    Driven(saga, replayed=False).done("debit.1", '"p"').reload(saga).done("fee.1", '"f"').reload(saga)
    assert len(runs) == 3


def test_a_compensating_journal_goes_on_with_code_whose_run_changed() -> None:
    """Only the steps' compensations matter."""
    driven = Driven(transfer(before), replayed=False).done("debit.1", '"p"').done("fee.1", '"f"').rejected("credit.1")
    driven.reload(transfer(fails_first)).compensate_all()
    assert (driven.state, driven.compensated) == ("COMPENSATED", ["fee.1", "debit.1"])


@pytest.mark.parametrize("new", ["removed", "read-only"])
def test_a_compensating_journal_whose_compensation_is_gone_is_stuck(new: str) -> None:
    """Money is never left where it is because a class forgot about it."""
    old = with_debit(Compensatable(bank.debit).compensated_by(bank.refund))

    class Transfer(Saga):
        if new == "read-only":
            debit = ReadOnly(bank.debit)
        fee = Steps.fee

        async def run(self, request: int) -> str:
            return await self.fee(1)

    driven = Driven(old, replayed=False).done("debit.1", '"p"').rejected("fee.1").resumed()
    assert driven.in_flight == ["debit.1/compensation"]
    half = Driven(old, replayed=False).done("debit.1", '"p"').cancel()
    half.reload(Transfer).rejected("fee.1")
    assert (half.state, half.blocking) == ("STUCK", [(None, "code does not fit the journal")])
    failure = half.instance.stuck[0].failure
    assert failure is not None
    assert "debit" in failure.message
    half.reload(old).retry()
    assert (half.state, half.in_flight) == ("COMPENSATING", ["debit.1/compensation"])


def test_a_removed_read_only_step_does_not_stop_recovery() -> None:
    """Nothing is compensated for it."""

    async def program(saga: Steps, amount: int) -> str:
        await saga.rate(amount)
        return await saga.debit(amount)

    class Transfer(Saga):
        debit = Steps.debit

        async def run(self, request: int) -> str:
            return await self.debit(request)

    driven = Driven(transfer(program), replayed=False).done("rate.1", "1").in_doubt("debit.1").reload(Transfer)
    assert driven.done("debit.1/compensation").state == "COMPENSATED"


# -- stuck journals and fixed code -----------------------------------------------------


def test_a_journal_that_was_stuck_twice_replays_with_the_fixed_code() -> None:
    """Each time somebody retried, the old code was stuck again; today's goes on."""

    async def buggy(saga: Steps, amount: int) -> str:
        await saga.debit(amount)
        raise KeyError("x")

    driven = Driven(transfer(buggy), replayed=False).done("debit.1", '"p"').retry().retry()
    driven.reload(transfer(before)).retry()
    assert driven.in_flight == ["fee.1"]
    driven.done("fee.1", '"f"').done("credit.1", '"c"').reload(transfer(before))
    assert [told(fact) for fact in replay(transfer(before).__definition__, driven.facts).out] == []


def test_a_probe_that_was_added_is_asked_when_the_pivot_is_in_doubt_again() -> None:
    """A pivot in doubt without a probe was STUCK; retry tries the pivot itself once more."""

    class Unsure(Saga):
        credit = Pivot(bank.credit)

        async def run(self, request: int) -> str:
            return await self.credit(request)

    class Transfer(Saga, name="Unsure"):
        credit = Pivot(bank.credit).probed_by(bank.find_credit)

        async def run(self, request: int) -> str:
            return await self.credit(request)

    driven = Driven(Unsure, replayed=False).in_doubt("credit.1").reload(Transfer)
    assert driven.state == "STUCK"
    assert driven.retry().in_flight == ["credit.1"]
    assert driven.in_doubt("credit.1").in_flight == ["credit.1/probe"]
    driven.happened("credit.1", '"c"')
    assert Instance().fold_all(driven.facts).state == driven.state == "COMPLETED"


def test_what_a_fixed_bug_had_left_in_flight_is_still_in_flight() -> None:
    """Its outcome reaches the new code."""

    async def buggy(saga: Steps, amount: int) -> str:
        fee = asyncio.create_task(saga.fee(1))
        await saga.debit(amount)
        raise KeyError(fee)

    async def fixed(saga: Steps, amount: int) -> str:
        fee = asyncio.create_task(saga.fee(1))
        await saga.debit(amount)
        return await fee

    driven = Driven(transfer(buggy), replayed=False).done("debit.1", '"p"')
    driven.reload(transfer(fixed)).retry().done("fee.1", '"f"')
    assert (driven.state, driven.result) == ("COMPLETED", '"f"')


def test_a_rejection_that_the_old_code_let_through_cannot_be_undone() -> None:
    """Recovery is journaled; code that would catch it today comes too late."""

    async def catches(saga: Steps, amount: int) -> str:
        try:
            return await saga.debit(amount)
        except StepRejected:
            return "caught"

    driven = Driven(transfer(before), replayed=False).rejected("debit.1")
    assert driven.reload(transfer(catches)).state == "COMPENSATED"


def test_kinds_of_steps_that_are_unused_do_not_matter() -> None:
    """A class may grow."""

    class Grown(Steps, name="Transfer"):
        more = Retriable(bank.notify)
        ask = Decision(bool, within=timedelta(hours=1))

        async def run(self, request: int) -> str:
            return await before(self, request)

    driven = Driven(transfer(before)).done("debit.1", '"p"').reload(Grown)
    assert driven.in_flight == ["fee.1"]


async def void(posting: str) -> None:
    """A compensation that takes a posting."""


def posting_of(effect: Effect[int, str]) -> str:
    """What it takes."""
    return str(effect.output)


class Mapped(Saga, name="Transfer"):
    """The compensation is given what a mapping makes."""

    debit = Compensatable(bank.debit).given(posting_of).compensated_by(void)
    credit = Pivot(bank.credit)

    async def run(self, request: int) -> str:
        try:
            return await self.debit(request)
        except StepInDoubt:
            return await self.credit(request)


class Unmapped(Saga, name="Transfer"):
    """It takes the effect."""

    debit = Compensatable(bank.debit).compensated_by(bank.refund)
    credit = Pivot(bank.credit)

    async def run(self, request: int) -> str:
        try:
            return await self.debit(request)
        except StepInDoubt:
            return await self.credit(request)


def test_a_compensation_that_no_longer_takes_what_was_recorded_is_a_mismatch() -> None:
    """It would be given what another activity took."""
    driven = Driven(Mapped).in_doubt("debit.1")
    assert driven.payload("debit.1/compensation") == '"None"'
    with pytest.raises(ReplayMismatchError, match="call debit.1/compensation with another input"):
        replay(Unmapped.__definition__, driven.facts)
