"""S5: nothing is compensated while an attempt of its action can still act."""

from datetime import timedelta

import pytest

from saga import Compensatable, Saga
from saga.kernel import Cancel, Conductor
from tests.kernel._drive import Driven
from tests.kernel._runtime import Conducted
from tests.kernel._sagas import Steps, bank, transfer


async def debit_and_fee(saga: Steps, amount: int) -> str:
    await saga.debit(amount)
    return await saga.fee(1)


async def slow_only(saga: Steps, amount: int) -> str:
    await saga.debit(amount)
    await saga.slow(amount)
    return await saga.credit(amount)


def settling(**policy: object) -> type[Saga]:
    """A saga whose one step has the given policy."""

    class Transfer(Saga):
        debit = Compensatable(bank.debit, **policy).compensated_by(bank.refund)  # type: ignore[call-overload]

        async def run(self, request: int) -> str:
            return await self.debit(request)  # type: ignore[no-any-return]

    return Transfer


# -- asking to stop --------------------------------------------------------------------


async def test_recovery_asks_a_running_action_to_stop_once() -> None:
    """And waits for what it came to."""
    conducted = await Conducted(settling(settle_time=timedelta(minutes=1))).start()
    await conducted.ask(Cancel(by="anna"))
    await conducted.ask(Cancel(by="anna"))
    assert conducted.runtime.stopped() == ["debit.1"]
    assert conducted.decider.instance.in_flight.keys() == {"debit.1"}
    conducted.runtime.done("debit.1", '"p"')
    await conducted.settle()
    assert conducted.runtime.performed() == ["debit.1", "debit.1/compensation"]
    await conducted.leave()


async def test_an_action_that_nothing_could_settle_once_stopped_is_left_to_answer() -> None:
    """Stopping it would make the doubt that only an operator can resolve."""
    conducted = await Conducted(settling()).start()
    await conducted.ask(Cancel(by="anna"))
    assert conducted.runtime.stopped() == []
    conducted.runtime.done("debit.1", '"p"')
    await conducted.settle()
    assert conducted.runtime.performed() == ["debit.1", "debit.1/compensation"]
    await conducted.leave()


async def test_a_cancelled_await_inside_run_asks_nothing_to_stop() -> None:
    """Only recovery asks."""
    import asyncio  # noqa: PLC0415 - only here

    async def program(saga: Steps, amount: int) -> str:
        task = asyncio.create_task(saga.debit(amount))
        await saga.fee(1)
        task.cancel()
        return await saga.fee(2)

    conducted = await Conducted(transfer(program)).start()
    conducted.runtime.done("fee.1", '"f"')
    await conducted.settle()
    assert conducted.runtime.performed() == ["fee.1", "debit.1", "fee.2"]
    assert conducted.runtime.stopped() == []
    await conducted.leave()


def test_nothing_is_compensated_while_any_action_is_in_flight() -> None:
    """First everything settles, then everything is compensated."""
    driven = Driven(transfer(debit_and_fee)).done("debit.1", '"p"').cancel()
    assert (driven.state, driven.in_flight) == ("COMPENSATING", ["fee.1"])
    driven.rejected("fee.1")
    assert driven.in_flight == ["debit.1/compensation"]


async def test_a_call_that_was_registered_but_not_performed_when_recovery_began_is_never_performed() -> None:
    """It is known not to have happened, so it is rejected and not compensated."""
    conducted = Conducted(transfer(debit_and_fee))
    conducted.runtime.gate.clear()
    await conducted.start()
    await conducted.ask(Cancel(by="anna"))
    conducted.runtime.gate.set()
    await conducted.settle()
    assert conducted.runtime.performed() == []
    assert conducted.decider.instance.state == "COMPENSATED"
    assert "record CallRejected debit.1" in conducted.runtime.diary


async def test_what_run_calls_in_the_moment_of_its_end_is_never_performed() -> None:
    """A call that was made and recovery that began by the same fact."""
    import asyncio  # noqa: PLC0415 - only here

    async def program(saga: Steps, amount: int) -> str:
        await saga.debit(amount)
        task = asyncio.create_task(saga.fee(1))
        await asyncio.sleep(0)
        raise TimeoutError(task.get_name())

    conducted = await Conducted(transfer(program)).start()
    conducted.runtime.done("debit.1", '"p"')
    await conducted.settle()
    conducted.runtime.done("debit.1/compensation")
    await conducted.settle()
    assert conducted.runtime.performed() == ["debit.1", "debit.1/compensation"]
    assert conducted.decider.instance.state == "COMPENSATED"


async def test_an_action_taken_over_while_compensating_is_in_doubt_and_not_performed_again() -> None:
    """Recovery never goes forward; the taken-over attempt counts as one whose time limit passed."""
    saga = settling(settle_time=timedelta(minutes=1))
    driven = Driven(saga).cancel()
    conducted = Conducted(saga, decider=driven.decider)
    conducted.runtime.facts, conducted.runtime.clock = list(driven.facts), driven.at
    conducted.conductor.resumed(2, crashed=True)
    await conducted.conduct()
    assert conducted.runtime.performed() == []
    assert "record CallInDoubt debit.1" in conducted.runtime.diary
    assert conducted.runtime.wakes[-1] == driven.at + timedelta(minutes=1)
    conducted.runtime.clock = driven.at + timedelta(minutes=1)
    conducted.conductor.tick()
    await conducted.settle()
    assert conducted.runtime.performed() == ["debit.1/compensation"]
    await conducted.leave()


# -- settled ---------------------------------------------------------------------------


def test_an_attempt_that_raised_by_itself_is_settled() -> None:
    """It returned, so nothing acts any more."""
    driven = Driven(settling()).in_doubt("debit.1")
    assert driven.in_flight == ["debit.1/compensation"]


@pytest.mark.parametrize("policy", [{"barrier": True}, {"safe_to_overtake": True}])
def test_a_barrier_or_a_declared_step_may_be_compensated_at_once(policy: dict[str, bool]) -> None:
    """A late action cannot do harm there."""
    driven = Driven(settling(**policy)).in_doubt("debit.1", overdue=True)
    assert driven.in_flight == ["debit.1/compensation"]


def test_an_attempt_whose_time_limit_passed_is_settled_after_settle_time() -> None:
    """Recovery waits for it, durably."""
    driven = Driven(settling(settle_time=timedelta(minutes=1))).in_doubt("debit.1", overdue=True)
    assert driven.in_flight == []
    assert driven.decider.next_due() == ("debit.1/settle", driven.at + timedelta(minutes=1))
    driven.fire("debit.1/settle")
    assert driven.in_flight == ["debit.1/compensation"]


def test_settle_time_counts_from_when_the_attempt_was_given_up() -> None:
    """Not from when its outcome was journaled."""
    driven = Driven(settling(settle_time=timedelta(minutes=1)))
    driven.in_doubt("debit.1", overdue_at=driven.at - timedelta(minutes=2))
    assert driven.in_flight == ["debit.1/compensation"]


def test_every_attempt_counts_also_of_a_call_that_is_done() -> None:
    """The second attempt returned, the first was given up and can still act."""
    driven = Driven(transfer(slow_only)).done("debit.1", '"p"').done("slow.1", '"h"', overdue=True, attempts=2)
    driven.rejected("credit.1")
    assert driven.in_flight == []
    driven.fire("slow.1/settle")
    assert driven.in_flight == ["slow.1/compensation"]


def test_the_order_is_kept_while_waiting() -> None:
    """What registered earlier is not compensated before."""
    driven = Driven(transfer(slow_only)).done("debit.1", '"p"').in_doubt("slow.1", overdue=True)
    assert driven.in_flight == []
    driven.fire("slow.1/settle").done("slow.1/compensation")
    assert driven.in_flight == ["debit.1/compensation"]


def test_if_nothing_settles_it_the_saga_is_stuck_until_resolve() -> None:
    """No barrier, no declaration, no settle time: only an operator knows."""
    driven = Driven(settling()).in_doubt("debit.1", overdue=True)
    assert (driven.state, driven.blocking) == ("STUCK", [("debit.1", "unsettled")])


def test_what_an_operator_says_happened_is_compensated_with_its_output() -> None:
    """The doubt is gone and nothing acts any more."""
    driven = Driven(settling()).in_doubt("debit.1", overdue=True).resolve_happened("debit.1", '"p-1"')
    assert (driven.state, driven.in_flight) == ("COMPENSATING", ["debit.1/compensation"])
    assert driven.instance.calls["debit.1"].output == '"p-1"'


def test_what_an_operator_says_did_not_happen_is_not_compensated() -> None:
    """There is nothing to compensate."""
    driven = Driven(settling()).in_doubt("debit.1", overdue=True).resolve_did_not_happen("debit.1")
    assert (driven.state, driven.compensated) == ("COMPENSATED", [])


def test_an_unsettled_call_that_is_done_is_resolved_too() -> None:
    """Its recorded output stands; what was open is whether anything still acts."""
    driven = Driven(transfer(debit_and_fee)).done("debit.1", '"p"', overdue=True, attempts=2).rejected("fee.1")
    assert driven.blocking == [("debit.1", "unsettled")]
    driven.resolve_happened("debit.1", '"p"').compensate_all()
    assert (driven.state, driven.compensated) == ("COMPENSATED", ["debit.1"])


def test_the_others_are_compensated_before_the_saga_is_stuck() -> None:
    """What cannot be settled holds up nothing else."""

    async def program(saga: Steps, amount: int) -> str:
        await saga.fee(1)
        await saga.debit(amount)
        return ""

    driven = Driven(transfer(program)).done("fee.1", '"f"').in_doubt("debit.1", overdue=True)
    assert (driven.state, driven.in_flight) == ("COMPENSATING", ["fee.1/compensation"])
    driven.done("fee.1/compensation")
    assert driven.blocking == [("debit.1", "unsettled")]


def test_a_taken_over_attempt_counts_as_one_whose_time_limit_passed() -> None:
    """Nobody knows what the process that crashed still has on its way."""
    driven = Driven(settling(settle_time=timedelta(minutes=1))).resumed(crashed=True).in_doubt("debit.1")
    assert driven.decider.next_due() is not None
    assert driven.in_flight == []


def test_it_happens_before_the_pivot_too() -> None:
    """What is in doubt and caught settles before it is compensated, and then the pivot registers."""
    from saga import StepInDoubt  # noqa: PLC0415 - only here

    async def program(saga: Steps, amount: int) -> str:
        try:
            await saga.slow(amount)
        except StepInDoubt:
            await saga.debit(amount)
        return await saga.credit(amount)

    driven = Driven(transfer(program)).in_doubt("slow.1", overdue=True).done("debit.1", '"p"')
    assert driven.in_flight == []
    driven.fire("slow.1/settle").done("slow.1/compensation")
    assert driven.in_flight == ["credit.1"]


def test_while_it_waits_a_cancel_is_possible() -> None:
    """The wait for settling is no point of no return."""
    driven = Driven(transfer(slow_only)).done("debit.1", '"p"').in_doubt("slow.1", overdue=True).cancel()
    assert driven.recovery.reason == "in doubt"
    assert driven.decider.next_due() is not None


def test_a_settle_time_is_over_at_its_end() -> None:
    """Not one instant later: the timer fires at the due time and that is enough."""
    driven = Driven(settling(settle_time=timedelta(0))).in_doubt("debit.1", overdue=True)
    assert driven.in_flight == ["debit.1/compensation"]


async def test_a_tick_with_nothing_due_records_nothing() -> None:
    """A timer that fires early on the host finds nothing to do."""
    driven = Driven(settling(settle_time=timedelta(minutes=1))).in_doubt("debit.1", overdue=True)
    conducted = Conducted(settling(), decider=driven.decider)
    conducted.runtime.clock = driven.at
    conductor = Conductor(driven.decider, conducted.runtime)
    conductor.tick()
    assert conducted.runtime.diary == []
