"""S7: when the pivot registers, what waits for it, what its doubt comes to, and what holds after it."""

import asyncio

import pytest

from saga import SagaAborted, StepRejected
from tests.kernel._drive import Driven
from tests.kernel._runtime import Conducted
from tests.kernel._sagas import Pivotless, Steps, Unprobed, pivotless, transfer, unprobed


async def straight(saga: Steps, amount: int) -> str:
    await saga.debit(amount)
    credited = await saga.credit(amount)
    await saga.notify("done")
    return credited


async def bare(saga: Unprobed, amount: int) -> str:
    await saga.debit(amount)
    credited = await saga.credit(amount)
    await saga.notify("done")
    return credited


# -- registering -----------------------------------------------------------------------


def test_the_pivot_registers_only_when_nothing_is_in_flight() -> None:
    """A call made before it has to end first."""

    async def program(saga: Steps, amount: int) -> str:
        debit = asyncio.create_task(saga.debit(amount))
        await asyncio.sleep(0)
        credited = await saga.credit(amount)
        return credited + await debit

    driven = Driven(transfer(program))
    assert driven.in_flight == ["debit.1"]
    driven.done("debit.1", '"p"')
    assert driven.in_flight == ["credit.1"]


def test_a_read_only_call_in_flight_holds_the_pivot_up_too() -> None:
    """Nothing in flight means nothing."""

    async def program(saga: Steps, amount: int) -> str:
        rate = asyncio.create_task(saga.rate(amount))
        await asyncio.sleep(0)
        return await saga.credit(await rate)

    driven = Driven(transfer(program))
    assert driven.in_flight == ["rate.1"]


def test_a_call_made_while_the_pivot_waits_to_register_registers_first() -> None:
    """The pivot is decided once it has registered, not before."""

    async def program(saga: Steps, amount: int) -> str:
        async def pivot() -> str:
            return await saga.credit(amount)

        async def others() -> str:
            await saga.debit(amount)
            return await saga.fee(1)

        first, second = await asyncio.gather(others(), pivot())
        return first + second

    driven = Driven(transfer(program)).done("debit.1", '"p"')
    assert driven.in_flight == ["fee.1"]
    driven.done("fee.1", '"f"')
    assert driven.in_flight == ["credit.1"]


def test_a_cancelled_await_withdraws_a_pivot_that_has_not_registered() -> None:
    """It is never called, and its number is not used."""

    async def program(saga: Steps, amount: int) -> str:
        debit = asyncio.create_task(saga.debit(amount))
        await asyncio.sleep(0)
        try:
            await asyncio.wait_for(saga.credit(1), 1)
        except TimeoutError:
            await debit
        return await saga.credit(2)

    driven = Driven(transfer(program)).fire().done("debit.1", '"p"')
    assert driven.in_flight == ["credit.1"]
    assert driven.payload("credit.1") == "2"


def test_a_cancel_of_the_saga_withdraws_a_pivot_that_has_not_registered() -> None:
    """Recovery begins, and the pivot is never called."""

    async def program(saga: Steps, amount: int) -> str:
        debit = asyncio.create_task(saga.debit(amount))
        await asyncio.sleep(0)
        return await saga.credit(1) + await debit

    driven = Driven(transfer(program)).cancel().done("debit.1", '"p"').compensate_all()
    assert driven.registered == ["debit.1", "debit.1/compensation"]


def test_while_the_pivot_is_in_flight_other_calls_wait() -> None:
    """They register when it has settled."""

    async def program(saga: Steps, amount: int) -> str:
        pivot = asyncio.create_task(saga.credit(amount))
        await asyncio.sleep(1)
        rate = await saga.rate(1)
        return await pivot + str(rate)

    driven = Driven(transfer(program)).fire("timer.1")
    assert driven.in_flight == ["credit.1"]
    driven.done("credit.1", '"c"')
    assert driven.in_flight == ["rate.1"]


def test_a_waiting_call_that_may_not_follow_the_pivot_is_an_error_in_run() -> None:
    """A compensatable step that was called beside the pivot comes too late once it is done."""

    async def program(saga: Steps, amount: int) -> str:
        pivot = asyncio.create_task(saga.credit(amount))
        await asyncio.sleep(1)
        return await saga.debit(1) + await pivot

    driven = Driven(transfer(program)).fire("timer.1").done("credit.1", '"c"')
    assert driven.blocking == [(None, "bug")]
    failure = driven.instance.stuck[0].failure
    assert failure is not None
    assert failure.type == "StepOrderError"


# -- a cancelled await -----------------------------------------------------------------


async def by_wait_for(saga: Steps, amount: int) -> str:
    try:
        return await asyncio.wait_for(saga.credit(amount), 1)
    except TimeoutError:
        return "gave up"


async def by_timeout(saga: Steps, amount: int) -> str:
    try:
        async with asyncio.timeout(1):
            return await saga.credit(amount)
    except TimeoutError:
        return "gave up"


async def by_cancel(saga: Steps, amount: int) -> str:
    task = asyncio.create_task(saga.credit(amount))
    await asyncio.sleep(1)
    task.cancel()
    try:
        return await task
    except asyncio.CancelledError:
        return "gave up"


async def by_group(saga: Steps, amount: int) -> str:
    task: asyncio.Task[str] | None = None

    async def fails() -> None:
        await asyncio.sleep(1)
        raise SagaAborted("sibling")

    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(saga.credit(amount))
            group.create_task(fails())
    except* SagaAborted:
        pass
    return "gave up" if task is None or task.cancelled() else task.result()


@pytest.mark.parametrize("program", [by_wait_for, by_timeout, by_cancel, by_group])
def test_a_cancelled_await_of_the_pivot_waits_for_its_outcome_done(program: object) -> None:
    """`run` gets what the pivot returned, though it no longer wanted to wait."""
    driven = Driven(transfer(program)).fire("timer.1")  # type: ignore[arg-type]  # one of the above
    assert (driven.state, driven.in_flight) == ("RUNNING", ["credit.1"])
    driven.done("credit.1", '"c"')
    assert (driven.state, driven.result) == ("COMPLETED", '"c"')


@pytest.mark.parametrize("program", [by_wait_for, by_timeout, by_cancel])
def test_a_cancelled_await_of_the_pivot_waits_for_its_outcome_rejected(program: object) -> None:
    """`run` gets the rejection, and nothing stays behind."""
    driven = Driven(transfer(program)).fire("timer.1")  # type: ignore[arg-type]  # one of the above
    driven.rejected("credit.1")
    assert driven.recovery.reason == "rejected"


def test_a_cancelled_await_of_a_later_step_waits_too() -> None:
    """After the pivot nothing is abandoned."""

    async def program(saga: Steps, amount: int) -> str:
        credited = await saga.credit(amount)
        async with asyncio.timeout(1):
            await saga.notify("slow")
        return credited

    driven = Driven(transfer(program)).done("credit.1", '"c"').fire("timer.1")
    assert (driven.state, driven.in_flight) == ("RUNNING", ["notify.1"])
    driven.done("notify.1")
    assert driven.state == "COMPLETED"


def test_two_cancels_of_the_await_wait_just_the_same() -> None:
    """Insisting does not help."""

    async def program(saga: Steps, amount: int) -> str:
        task = asyncio.create_task(saga.credit(amount))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.sleep(1)
        task.cancel()
        return await task

    driven = Driven(transfer(program)).fire("timer.1").fire("timer.2").done("credit.1", '"c"')
    assert (driven.state, driven.result) == ("COMPLETED", '"c"')


# -- in doubt --------------------------------------------------------------------------


def test_a_pivot_in_doubt_is_probed() -> None:
    """`run` is not told of the doubt; the probe is asked."""
    driven = Driven(transfer(straight)).done("debit.1", '"p"').in_doubt("credit.1")
    assert (driven.state, driven.in_flight) == ("RUNNING", ["credit.1/probe"])


def test_a_probe_that_says_happened_makes_it_done_with_its_output() -> None:
    """`run` goes on as if it had returned."""
    driven = Driven(transfer(straight)).done("debit.1", '"p"').in_doubt("credit.1").happened("credit.1", '"c"')
    assert driven.in_flight == ["notify.1"]
    driven.done("notify.1")
    assert (driven.state, driven.result) == ("COMPLETED", '"c"')


def test_a_probe_that_says_it_did_not_happen_makes_it_rejected() -> None:
    """Everything is compensated."""
    driven = Driven(transfer(straight)).done("debit.1", '"p"').in_doubt("credit.1").did_not_happen("credit.1")
    assert (driven.recovery.reason, driven.in_flight) == ("rejected", ["debit.1/compensation"])


def test_the_probe_waits_until_the_pivot_has_settled() -> None:
    """Asked too early, it could say no about an attempt that still acts."""
    from datetime import timedelta  # noqa: PLC0415 - only here

    from saga import Pivot, Saga  # noqa: PLC0415 - only here
    from tests.kernel._sagas import bank  # noqa: PLC0415 - only here

    class Transfer(Saga):
        credit = Pivot(bank.credit, settle_time=timedelta(minutes=1)).probed_by(bank.find_credit)

        async def run(self, request: int) -> str:
            return await self.credit(request)

    driven = Driven(Transfer).in_doubt("credit.1", overdue=True)
    assert driven.in_flight == []
    driven.fire("credit.1/settle")
    assert driven.in_flight == ["credit.1/probe"]


def test_a_pivot_that_never_settles_by_itself_is_stuck_though_it_has_a_probe() -> None:
    """Nothing says when its late attempt can no longer act."""
    from saga import Pivot, Saga  # noqa: PLC0415 - only here
    from tests.kernel._sagas import bank  # noqa: PLC0415 - only here

    class Transfer(Saga):
        credit = Pivot(bank.credit).probed_by(bank.find_credit)

        async def run(self, request: int) -> str:
            return await self.credit(request)

    driven = Driven(Transfer).in_doubt("credit.1", overdue=True)
    assert driven.blocking == [("credit.1", "unsettled")]
    driven.resolve_happened("credit.1", '"c"')
    assert (driven.state, driven.result) == ("COMPLETED", '"c"')


def test_resolve_is_allowed_while_the_probe_is_asked() -> None:
    """The operator is faster; the probe is over."""
    driven = Driven(transfer(straight)).done("debit.1", '"p"').in_doubt("credit.1")
    driven.resolve_happened("credit.1", '"c"')
    assert driven.in_flight == ["notify.1"]


async def test_a_probe_that_was_asked_too_long_is_asked_to_stop_when_an_operator_resolves() -> None:
    """Once, and its late answer changes nothing."""
    from saga.kernel import Resolve  # noqa: PLC0415 - only here

    driven = Driven(transfer(straight)).done("debit.1", '"p"').in_doubt("credit.1")
    conducted = Conducted(transfer(straight), decider=driven.decider)
    conducted.runtime.facts, conducted.runtime.clock = list(driven.facts), driven.at
    await conducted.conduct()
    await conducted.ask(Resolve(call="credit.1", finding="happened", payload='"c"', by="olga", why="saw it"))
    assert conducted.runtime.stopped() == ["credit.1/probe"]
    conducted.runtime.done("credit.1/probe", '{"finding":"did_not_happen"}')
    await conducted.settle()
    assert conducted.runtime.stopped() == ["credit.1/probe"]
    assert conducted.decider.instance.calls["credit.1"].state == "done"
    await conducted.leave()


@pytest.mark.parametrize(
    ("answer", "fact"),
    [
        ('{"finding":"happened","output":"c-1"}', "record CallProbed credit.1 happened"),
        ('{"finding":"did_not_happen"}', "record CallProbed credit.1 did_not_happen"),
    ],
)
async def test_what_the_probe_found_is_a_fact(answer: str, fact: str) -> None:
    """With the output, if it happened."""
    driven = Driven(transfer(straight)).done("debit.1", '"p"').in_doubt("credit.1")
    conducted = Conducted(transfer(straight), decider=driven.decider)
    conducted.runtime.facts, conducted.runtime.clock = list(driven.facts), driven.at
    await conducted.conduct()
    call = conducted.runtime.calls["credit.1/probe"]
    assert call.activity.takes.decode(call.input) == 5
    conducted.runtime.done("credit.1/probe", answer)
    await conducted.settle()
    assert fact in conducted.runtime.diary
    expected = '"c-1"' if "output" in answer else None
    assert conducted.decider.instance.calls["credit.1"].output == expected
    await conducted.leave()


def test_a_pivot_in_doubt_without_a_probe_is_stuck() -> None:
    """Never a guess."""
    driven = Driven(unprobed(bare)).done("debit.1", '"p"').in_doubt("credit.1")
    assert (driven.state, driven.blocking) == ("STUCK", [("credit.1", "in doubt")])
    assert driven.compensated == []


def test_an_operator_says_that_an_unprobed_pivot_happened() -> None:
    """The saga goes forward."""
    driven = Driven(unprobed(bare)).done("debit.1", '"p"').in_doubt("credit.1")
    driven.resolve_happened("credit.1", '"c"').done("notify.1")
    assert (driven.state, driven.result) == ("COMPLETED", '"c"')


def test_an_operator_says_that_an_unprobed_pivot_did_not_happen() -> None:
    """It counts as rejected."""
    driven = Driven(unprobed(bare)).done("debit.1", '"p"').in_doubt("credit.1").resolve_did_not_happen("credit.1")
    assert (driven.recovery.reason, driven.recovery.call) == ("rejected", "credit.1")
    assert driven.compensate_all().state == "COMPENSATED"


def test_an_operator_lets_an_unprobed_pivot_be_tried_again() -> None:
    """Under the same key; whether that is safe is the operator's to know."""
    driven = Driven(unprobed(bare)).done("debit.1", '"p"').in_doubt("credit.1").retry()
    assert (driven.state, driven.in_flight) == ("RUNNING", ["credit.1"])
    driven.done("credit.1", '"c"').done("notify.1")
    assert driven.state == "COMPLETED"


# -- rejected --------------------------------------------------------------------------


def test_a_rejected_pivot_may_be_called_again() -> None:
    """As another call, under another key."""

    async def program(saga: Steps, amount: int) -> str:
        try:
            return await saga.credit(amount)
        except StepRejected:
            await saga.debit(1)
            return await saga.credit(amount + 1)

    driven = Driven(transfer(program)).rejected("credit.1").done("debit.1", '"p"')
    assert driven.in_flight == ["credit.2"]
    driven.done("credit.2", '"c"')
    assert (driven.state, driven.result) == ("COMPLETED", '"c"')


def test_between_a_rejected_pivot_and_the_next_one_a_cancel_is_possible() -> None:
    """The point of no return has not passed."""

    async def program(saga: Steps, amount: int) -> str:
        try:
            return await saga.credit(amount)
        except StepRejected:
            await saga.debit(1)
            return await saga.credit(amount + 1)

    driven = Driven(transfer(program)).rejected("credit.1").cancel().done("debit.1", '"p"').compensate_all()
    assert (driven.state, driven.compensated) == ("COMPENSATED", ["debit.1"])


# -- after it --------------------------------------------------------------------------


def test_after_the_pivot_a_cancel_is_noted_only() -> None:
    """It is a fact, and the saga goes forward."""
    driven = Driven(transfer(straight)).done("debit.1", '"p"').done("credit.1", '"c"').cancel()
    assert (driven.state, driven.in_flight) == ("RUNNING", ["notify.1"])
    driven.done("notify.1")
    assert driven.state == "COMPLETED"


def test_after_the_pivot_the_deadline_is_noted_only() -> None:
    """It is a fact, and the saga goes forward."""
    from datetime import timedelta  # noqa: PLC0415 - only here

    driven = Driven(transfer(straight, within=timedelta(minutes=5))).done("debit.1", '"p"').done("credit.1", '"c"')
    driven.fire("deadline")
    assert (driven.state, driven.log[-1]) == ("RUNNING", "TimerFired deadline")
    driven.done("notify.1")
    assert driven.state == "COMPLETED"


def test_a_cancel_of_a_saga_that_is_stuck_after_the_pivot_is_noted_only() -> None:
    """It frees nothing."""
    driven = Driven(unprobed(bare)).done("debit.1", '"p"').done("credit.1", '"c"').in_doubt("notify.1").cancel()
    assert (driven.state, driven.log[-1]) == ("STUCK", "CancelRequested")


def test_a_cancel_of_a_saga_whose_pivot_is_in_doubt_waits_for_the_operator() -> None:
    """Once it is known not to have happened, the cancel holds."""
    driven = Driven(unprobed(bare)).done("debit.1", '"p"').in_doubt("credit.1").cancel()
    assert (driven.state, driven.log[-1]) == ("STUCK", "CancelRequested")
    driven.resolve_did_not_happen("credit.1")
    assert driven.recovery.reason == "cancelled"


def test_a_step_that_fails_for_good_after_the_pivot_makes_the_saga_stuck() -> None:
    """There is no way back; the call is tried again when an operator says so."""
    driven = Driven(unprobed(bare)).done("debit.1", '"p"').done("credit.1", '"c"').rejected("notify.1")
    assert (driven.state, driven.blocking) == ("STUCK", [("notify.1", "rejected")])
    driven.retry()
    assert (driven.state, driven.in_flight) == ("RUNNING", ["notify.1"])
    driven.done("notify.1")
    assert driven.state == "COMPLETED"


def test_run_cannot_catch_that_a_later_step_failed() -> None:
    """It is not shown; an operator decides."""

    async def program(saga: Unprobed, amount: int) -> str:
        credited = await saga.credit(amount)
        try:
            await saga.notify("done")
        except Exception:
            return "went on"
        return credited

    driven = Driven(unprobed(program)).done("credit.1", '"c"').in_doubt("notify.1")
    assert driven.state == "STUCK"


def test_what_an_operator_did_by_hand_after_the_pivot_is_resolved_as_happened() -> None:
    """`run` gets the operator's output."""
    driven = Driven(unprobed(bare)).done("debit.1", '"p"').done("credit.1", '"c"').in_doubt("notify.1")
    driven.resolve_happened("notify.1")
    assert (driven.state, driven.result) == ("COMPLETED", '"c"')


@pytest.mark.parametrize("error", [SagaAborted("late"), TimeoutError("late"), StepRejected("late")])
def test_giving_up_after_the_pivot_is_a_bug(error: Exception) -> None:
    """There is no way back, so nothing is compensated."""

    async def program(saga: Steps, amount: int) -> str:
        await saga.debit(amount)
        await saga.credit(amount)
        raise error

    driven = Driven(transfer(program)).done("debit.1", '"p"').done("credit.1", '"c"')
    assert (driven.blocking, driven.compensated) == ([(None, "bug")], [])


def test_giving_up_while_the_pivot_is_in_flight_waits_for_its_outcome() -> None:
    """Rejected: the saga is compensated for the reason that `run` gave."""

    async def program(saga: Steps, amount: int) -> str:
        await saga.debit(amount)
        task = asyncio.create_task(saga.credit(amount))
        await asyncio.sleep(1)
        raise SagaAborted(task.get_name())

    driven = Driven(transfer(program)).done("debit.1", '"p"').fire("timer.1")
    assert (driven.state, driven.in_flight) == ("RUNNING", ["credit.1"])
    driven.rejected("credit.1")
    assert driven.recovery.reason == "aborted"
    again = Driven(transfer(program)).done("debit.1", '"p"').fire("timer.1").done("credit.1", '"c"')
    assert again.blocking == [(None, "bug")]


def test_a_pivot_in_flight_when_run_returns_is_awaited() -> None:
    """It may still be rejected, or be the point of no return."""

    async def program(saga: Steps, amount: int) -> str:
        task = asyncio.create_task(saga.credit(amount))
        await asyncio.sleep(1)
        return task.get_name()

    driven = Driven(transfer(program)).fire("timer.1")
    assert driven.state == "RUNNING"
    assert driven.done("credit.1", '"c"').state == "COMPLETED"
    assert Driven(transfer(program)).fire("timer.1").rejected("credit.1").state == "COMPLETED"


# -- without a pivot -------------------------------------------------------------------


async def no_pivot(saga: Pivotless, amount: int) -> str:
    debited = await saga.debit(amount)
    await saga.notify("one")
    await saga.archive("two")
    return debited


def test_the_first_retriable_plays_the_pivots_part_when_it_registers() -> None:
    """From its registration a cancel is noted only, whatever becomes of it."""
    driven = Driven(pivotless(no_pivot)).done("debit.1", '"p"').cancel()
    assert (driven.state, driven.in_flight) == ("RUNNING", ["notify.1"])
    driven.done("notify.1").done("archive.1")
    assert (driven.state, driven.compensated) == ("COMPLETED", [])


def test_the_first_retriable_waits_until_nothing_is_in_flight() -> None:
    """As a pivot does."""

    async def program(saga: Pivotless, amount: int) -> str:
        debit = asyncio.create_task(saga.debit(amount))
        await asyncio.sleep(0)
        await saga.notify("one")
        return await debit

    assert Driven(pivotless(program)).in_flight == ["debit.1"]


def test_a_first_retriable_that_fails_for_good_makes_the_saga_stuck() -> None:
    """It is past the point of no return."""

    async def program(saga: Pivotless, amount: int) -> str:
        debited = await saga.debit(amount)
        await saga.archive("two")
        return debited

    driven = Driven(pivotless(program)).done("debit.1", '"p"').in_doubt("archive.1")
    assert (driven.state, driven.blocking) == ("STUCK", [("archive.1", "in doubt")])


def test_without_pivot_and_retriable_a_cancel_is_possible_to_the_end() -> None:
    """Nothing is final before COMPLETED."""

    async def program(saga: Pivotless, amount: int) -> str:
        await saga.debit(amount)
        return await saga.fee(1)

    driven = Driven(pivotless(program)).done("debit.1", '"p"').cancel().done("fee.1", '"f"').compensate_all()
    assert (driven.state, driven.compensated) == ("COMPENSATED", ["fee.1", "debit.1"])
