"""S1: the registration is durable before the activity is scheduled; compensation is in reverse registration order."""

import asyncio

import pytest

from tests.kernel._drive import Driven
from tests.kernel._runtime import Conducted
from tests.kernel._sagas import Steps, transfer


async def debit_only(saga: Steps, amount: int) -> str:
    return await saga.debit(amount)


async def three(saga: Steps, amount: int) -> str:
    await saga.debit(amount)
    await saga.fee(1)
    await saga.debit(amount + 1)
    return await saga.credit(amount)


def test_a_call_is_registered_with_its_input_when_run_makes_it() -> None:
    """The journal holds the call and its input while the activity has not answered."""
    driven = Driven(transfer(debit_only))
    assert driven.log == ["SagaStarted", "CallRegistered debit.1"]
    assert driven.payload("debit.1") == "5"
    assert driven.in_flight == ["debit.1"]


async def test_the_activity_is_scheduled_after_its_registration_is_durable() -> None:
    """While the flush is under way nothing is performed."""
    conducted = Conducted(transfer(debit_only))
    conducted.runtime.gate.clear()
    await conducted.start()
    assert conducted.runtime.performed() == []
    conducted.runtime.gate.set()
    await conducted.settle()
    assert conducted.runtime.diary == [
        "record SagaStarted",
        "record CallRegistered debit.1",
        "flush",
        "flushed",
        "perform debit.1",
    ]
    await conducted.leave()


@pytest.mark.peer("RST-12")
async def test_a_registration_that_comes_during_a_flush_waits_for_the_next_flush() -> None:
    """What is recorded while a flush is under way is not durable when that flush ends."""

    async def two(saga: Steps, amount: int) -> str:
        await asyncio.gather(saga.debit(amount), saga.fee(1))
        return await saga.debit(2)

    conducted = await Conducted(transfer(two)).start()
    runtime = conducted.runtime
    runtime.gate.clear()
    runtime.done("debit.1", '"a"')
    await conducted.settle()  # its flush has begun
    runtime.done("fee.1", '"b"')
    await conducted.settle()
    assert "record CallRegistered debit.2" in runtime.diary
    runtime.gate.set()
    await conducted.settle()
    assert runtime.diary[-3:] == ["flush", "flushed", "perform debit.2"]
    await conducted.leave()


async def test_after_a_flush_that_failed_nothing_is_performed() -> None:
    """An unregistered activity never runs."""
    conducted = Conducted(transfer(debit_only))
    conducted.runtime.flush_fails = OSError("disk full")
    await conducted.start()
    assert conducted.runtime.performed() == []
    assert conducted.task is not None
    assert isinstance(conducted.task.exception(), OSError)


def test_compensations_come_in_reverse_order_of_registration() -> None:
    """The last registered is compensated first, one after the other."""
    driven = Driven(transfer(three)).done("debit.1", '"a"').done("fee.1", '"b"').done("debit.2", '"c"')
    driven.rejected("credit.1").compensate_all()
    assert driven.compensated == ["debit.2", "fee.1", "debit.1"]
    assert driven.state == "COMPENSATED"


def test_the_next_compensation_registers_after_the_one_before_is_done() -> None:
    """Two compensations never run side by side."""
    driven = Driven(transfer(three)).done("debit.1", '"a"').done("fee.1", '"b"').cancel()
    driven.done("debit.2", '"c"')
    assert driven.in_flight == ["debit.2/compensation"]
    driven.done("debit.2/compensation")
    assert driven.in_flight == ["fee.1/compensation"]


def test_the_order_of_registration_counts_and_not_the_order_of_outcomes() -> None:
    """Steps that ran side by side are compensated by when they registered."""

    async def side_by_side(saga: Steps, amount: int) -> str:
        await asyncio.gather(saga.debit(amount), saga.fee(1), saga.debit(2))
        return await saga.credit(amount)

    driven = Driven(transfer(side_by_side)).done("debit.2", '"c"').done("debit.1", '"a"').done("fee.1", '"b"')
    driven.rejected("credit.1").compensate_all()
    assert driven.compensated == ["debit.2", "fee.1", "debit.1"]
