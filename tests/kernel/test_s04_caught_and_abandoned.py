"""S4: what `run` may catch, and that what is in doubt or abandoned is compensated before the point of no return."""

import asyncio

import pytest

from saga import StepInDoubt, StepRejected
from tests.kernel._drive import Driven
from tests.kernel._runtime import Conducted
from tests.kernel._sagas import Pivotless, Steps, pivotless, refused, transfer


async def other_way(saga: Steps, amount: int) -> str:
    try:
        await saga.debit(amount)
    except (StepRejected, StepInDoubt):
        await saga.debit(amount + 1)
    return await saga.credit(amount)


async def impatient(saga: Steps, amount: int) -> str:
    try:
        await asyncio.wait_for(saga.debit(amount), 10)
    except TimeoutError:
        await saga.fee(1)
    return await saga.credit(amount)


async def forgetful(saga: Steps, amount: int) -> str:
    task = asyncio.create_task(saga.debit(amount))
    await saga.fee(1)
    return str(task.done())


# -- catching --------------------------------------------------------------------------


def test_a_rejection_can_be_caught_and_read() -> None:
    """`run` learns the call, the participant's type and its words, and goes another way."""

    async def program(saga: Steps, amount: int) -> str:
        try:
            return await saga.debit(amount)
        except StepRejected as error:
            return refused(error)

    driven = Driven(transfer(program)).rejected("debit.1", "Closed", "shut")
    assert (driven.state, driven.result) == ("COMPLETED", '"debit.1 Closed shut"')


def test_after_a_caught_rejection_nothing_is_compensated() -> None:
    """It did not happen; the other way is all there is."""
    driven = Driven(transfer(other_way)).rejected("debit.1").done("debit.2", '"b"').done("credit.1", '"c"')
    assert (driven.state, driven.compensated) == ("COMPLETED", [])


def test_what_is_in_doubt_and_caught_is_compensated_before_the_pivot_registers() -> None:
    """The pivot waits until the doubtful effect is gone."""
    driven = Driven(transfer(other_way)).in_doubt("debit.1").done("debit.2", '"b"')
    assert driven.in_flight == ["debit.1/compensation"]
    assert driven.state == "RUNNING"
    driven.done("debit.1/compensation")
    assert driven.in_flight == ["credit.1"]
    driven.done("credit.1", '"c"')
    assert (driven.state, driven.compensated) == ("COMPLETED", ["debit.1"])


def test_what_is_in_doubt_and_caught_is_compensated_before_the_saga_completes() -> None:
    """Also where no pivot is called."""

    async def program(saga: Steps, amount: int) -> str:
        try:
            return await saga.debit(amount)
        except StepInDoubt:
            return "went without"

    driven = Driven(transfer(program)).in_doubt("debit.1")
    assert (driven.state, driven.in_flight) == ("RUNNING", ["debit.1/compensation"])
    driven.done("debit.1/compensation")
    assert (driven.state, driven.result) == ("COMPLETED", '"went without"')


def test_what_is_in_doubt_is_compensated_even_if_an_operator_learns_that_it_happened() -> None:
    """`run` has gone another way because of the doubt, so the effect must not stay."""
    driven = Driven(transfer(other_way)).in_doubt("debit.1").resolve_happened("debit.1", '"p"')
    driven.done("debit.2", '"b"')
    assert driven.in_flight == ["debit.1/compensation"]


def test_what_an_operator_learns_did_not_happen_is_not_compensated() -> None:
    """The doubt is gone, and so is the reason to compensate."""
    driven = Driven(transfer(other_way)).in_doubt("debit.1").resolve_did_not_happen("debit.1")
    driven.done("debit.2", '"b"')
    assert driven.in_flight == ["credit.1"]


# -- abandoning ------------------------------------------------------------------------


def test_a_cancelled_await_does_not_cancel_the_step() -> None:
    """The call stays in flight; `run` goes on."""
    driven = Driven(transfer(impatient)).fire("timer.1")
    assert driven.in_flight == ["debit.1", "fee.1"]


def test_an_abandoned_call_that_settles_done_is_compensated_before_the_pivot_registers() -> None:
    """It happened, and `run` does not know."""
    driven = Driven(transfer(impatient)).fire("timer.1").done("fee.1", '"f"')
    assert driven.in_flight == ["debit.1"]
    driven.done("debit.1", '"p"')
    assert driven.in_flight == ["debit.1/compensation"]
    driven.done("debit.1/compensation")
    assert driven.in_flight == ["credit.1"]


def test_an_abandoned_call_that_settles_rejected_needs_nothing() -> None:
    """Nothing happened."""
    driven = Driven(transfer(impatient)).fire("timer.1").done("fee.1", '"f"').rejected("debit.1")
    assert driven.in_flight == ["credit.1"]


def test_only_what_was_abandoned_is_compensated() -> None:
    """What `run` holds a result of stays."""
    driven = Driven(transfer(impatient)).fire("timer.1").done("debit.1", '"p"').done("fee.1", '"f"')
    driven.done("debit.1/compensation").done("credit.1", '"c"')
    assert (driven.state, driven.compensated) == ("COMPLETED", ["debit.1"])


def test_a_call_that_is_done_in_the_same_moment_as_its_await_is_cancelled_is_abandoned() -> None:
    """The outcome is there, but `run` cancelled the task before it could see it."""

    async def program(saga: Steps, amount: int) -> str:
        async def watch(other: "asyncio.Task[str]") -> None:
            await saga.fee(1)
            other.cancel()

        async def both() -> str:
            first = asyncio.create_task(saga.debit(amount))
            watching = asyncio.create_task(watch(first))
            await asyncio.wait([first, watching], return_when=asyncio.ALL_COMPLETED)
            return "cancelled" if first.cancelled() else "done"

        return await both()

    driven = Driven(transfer(program)).done("fee.1", '"f"')
    assert driven.in_flight == ["debit.1"]
    driven.done("debit.1", '"p"').done("debit.1/compensation")
    assert driven.result == '"cancelled"'


def test_calls_in_flight_when_run_returns_are_abandoned() -> None:
    """They settle, are compensated, and only then the saga completes."""
    driven = Driven(transfer(forgetful)).done("fee.1", '"f"')
    assert (driven.state, driven.in_flight) == ("RUNNING", ["debit.1"])
    driven.done("debit.1", '"p"')
    assert driven.in_flight == ["debit.1/compensation"]
    driven.done("debit.1/compensation")
    assert (driven.state, driven.result) == ("COMPLETED", '"False"')


def test_nothing_is_called_after_run_returned() -> None:
    """A task that `run` left behind makes no further calls."""

    async def program(saga: Steps, amount: int) -> str:
        async def aside() -> None:
            while True:
                await saga.debit(1)

        task = asyncio.create_task(aside())
        await saga.fee(1)
        return task.get_name()

    driven = Driven(transfer(program)).done("fee.1", '"f"').done("debit.1", '"p"').done("debit.1/compensation")
    assert driven.state == "COMPLETED"
    assert driven.registered == ["fee.1", "debit.1", "debit.1/compensation"]


def test_a_finally_that_calls_a_step_while_recovery_begins_calls_nothing() -> None:
    """When recovery has begun, `run` is closed; what its `finally` would do is refused."""

    async def program(saga: Steps, amount: int) -> str:
        try:
            return await saga.debit(amount)
        finally:
            await saga.fee(1)

    driven = Driven(transfer(program)).cancel()
    assert driven.in_flight == ["debit.1"]
    driven.done("debit.1", '"p"')
    assert driven.registered == ["debit.1", "debit.1/compensation"]


@pytest.mark.parametrize("what", ["decision", "sleep"])
def test_a_finally_that_waits_while_recovery_begins_waits_for_nothing(what: str) -> None:
    """No timer is set and no decision is awaited for it."""

    async def program(saga: Steps, amount: int) -> str:
        try:
            return await saga.debit(amount)
        finally:
            await (saga.review() if what == "decision" else asyncio.sleep(1))

    driven = Driven(transfer(program)).cancel()
    assert driven.log == [
        "SagaStarted",
        "CallRegistered debit.1",
        "CancelRequested",
        "RecoveryStarted cancelled",
    ]


# -- in RUNNING ------------------------------------------------------------------------


def test_a_compensation_before_the_pivot_that_fails_makes_the_saga_stuck() -> None:
    """The pivot does not register while an effect that must go cannot."""
    driven = Driven(transfer(other_way)).in_doubt("debit.1").done("debit.2", '"b"')
    driven.rejected("debit.1/compensation")
    assert driven.blocking == [("debit.1/compensation", "rejected")]
    driven.skip("debit.1")
    assert (driven.state, driven.in_flight) == ("RUNNING", ["credit.1"])


def test_a_cancel_lets_such_a_compensation_finish_and_never_starts_it_again() -> None:
    """It is compensated once, whichever way the saga goes."""
    driven = Driven(transfer(other_way)).in_doubt("debit.1").done("debit.2", '"b"').cancel()
    assert (driven.state, driven.in_flight) == ("COMPENSATING", ["debit.1/compensation"])
    driven.done("debit.1/compensation").done("debit.2/compensation")
    assert driven.state == "COMPENSATED"
    assert driven.registered.count("debit.1/compensation") == 1


async def test_a_cancel_does_not_ask_such_a_compensation_to_stop() -> None:
    """Only actions are asked to stop."""
    driven = Driven(transfer(other_way)).in_doubt("debit.1").done("debit.2", '"b"')
    conducted = Conducted(transfer(other_way), decider=driven.decider)
    conducted.runtime.facts = list(driven.facts)
    await conducted.conduct()
    from saga.kernel import Cancel  # noqa: PLC0415 - only here

    await conducted.ask(Cancel(by="anna"))
    assert conducted.runtime.performed() == ["debit.1/compensation"]
    assert conducted.runtime.stopped() == []
    await conducted.leave()


def test_a_compensation_that_was_done_before_the_pivot_is_not_done_again_by_recovery() -> None:
    """Also not when the pivot is rejected afterwards."""
    driven = Driven(transfer(other_way)).in_doubt("debit.1").done("debit.2", '"b"').done("debit.1/compensation")
    driven.rejected("credit.1").compensate_all()
    assert driven.compensated == ["debit.1", "debit.2"]
    assert driven.state == "COMPENSATED"


def test_without_a_pivot_it_happens_before_the_first_retriable_registers() -> None:
    """The first retriable plays the pivot's part."""

    async def program(saga: Pivotless, amount: int) -> str:
        try:
            await saga.debit(amount)
        except StepInDoubt:
            await saga.fee(1)
        await saga.notify("done")
        return ""

    driven = Driven(pivotless(program)).in_doubt("debit.1").done("fee.1", '"f"')
    assert driven.in_flight == ["debit.1/compensation"]
    driven.done("debit.1/compensation")
    assert driven.in_flight == ["notify.1"]


def test_a_read_only_call_in_doubt_needs_no_compensation() -> None:
    """It changed nothing."""

    async def program(saga: Steps, amount: int) -> str:
        try:
            await saga.rate(amount)
        except StepInDoubt:
            pass
        return await saga.credit(amount)

    driven = Driven(transfer(program)).in_doubt("rate.1")
    assert driven.in_flight == ["credit.1"]
