"""S8: kinds are checked when the class is made, and when a step is called."""

# pyright: reportUnusedClass=false
# A class that is refused when it is made is never used.

import pytest

from saga import Compensatable, Nested, Pivot, ReadOnly, Retriable, Saga, SagaDefinitionError
from tests.kernel._drive import Driven
from tests.kernel._sagas import Steps, bank, transfer


def faults(error: SagaDefinitionError) -> list[str]:
    """The names that are at fault."""
    return [fault.name for fault in error.faults]


def failure_of(driven: Driven) -> str:
    """The type of the error that made an instance STUCK."""
    assert driven.blocking == [(None, "bug")]
    failure = driven.instance.stuck[0].failure
    assert failure is not None
    return failure.type


# -- when the class is made ------------------------------------------------------------


def test_a_compensatable_step_declared_after_the_pivot_is_refused() -> None:
    """Declaration order is compensatable, pivot, retriable."""
    with pytest.raises(SagaDefinitionError, match="a compensatable step after the pivot step credit") as caught:

        class Transfer(Saga):
            credit = Pivot(bank.credit)
            debit = Compensatable(bank.debit).compensated_by(bank.refund)

            async def run(self, request: int) -> str:
                return ""

    assert faults(caught.value) == ["debit"]


def test_a_second_pivot_is_refused() -> None:
    """There is one point of no return."""
    with pytest.raises(SagaDefinitionError, match="a second pivot beside credit"):

        class Transfer(Saga):
            credit = Pivot(bank.credit)
            charge = Pivot(bank.credit)

            async def run(self, request: int) -> str:
                return ""


def test_a_pivot_declared_after_a_retriable_step_is_refused() -> None:
    """What is retried for ever must not come before the decision."""
    with pytest.raises(SagaDefinitionError, match="a pivot step after the retriable step notify"):

        class Transfer(Saga):
            notify = Retriable(bank.notify)
            credit = Pivot(bank.credit)

            async def run(self, request: int) -> str:
                return ""


def test_a_compensatable_step_declared_after_a_retriable_step_is_refused() -> None:
    """Also without a pivot."""
    with pytest.raises(SagaDefinitionError, match="a compensatable step after the retriable step notify"):

        class Transfer(Saga):
            notify = Retriable(bank.notify)
            debit = Compensatable(bank.debit).compensated_by(bank.refund)

            async def run(self, request: int) -> str:
                return ""


def test_a_nested_saga_declared_after_the_pivot_is_refused() -> None:
    """It is compensated like a compensatable step."""

    class Child(Saga):
        debit = Compensatable(bank.debit).compensated_by(bank.refund)

        async def run(self, request: int) -> str:
            return ""

    with pytest.raises(SagaDefinitionError, match="a nested step after the pivot step credit"):

        class Transfer(Saga):
            credit = Pivot(bank.credit)
            child = Nested(Child)

            async def run(self, request: int) -> str:
                return ""


def test_a_read_only_step_may_be_declared_anywhere() -> None:
    """It changes nothing."""

    class Transfer(Saga):
        first = ReadOnly(bank.rate)
        credit = Pivot(bank.credit)
        second = ReadOnly(bank.rate)
        notify = Retriable(bank.notify)
        third = ReadOnly(bank.rate)

        async def run(self, request: int) -> str:
            return ""

    assert Transfer.second.kind == "read-only"


# -- when a step is called -------------------------------------------------------------


def test_a_compensatable_step_called_after_the_pivot_is_an_error() -> None:
    """It could never be compensated."""

    async def program(saga: Steps, amount: int) -> str:
        await saga.credit(amount)
        return await saga.debit(1)

    driven = Driven(transfer(program)).done("credit.1", '"c"')
    assert failure_of(driven) == "StepOrderError"
    assert "debit.1" not in driven.registered


def test_the_pivot_called_again_after_it_was_done_is_an_error() -> None:
    """It was decided."""

    async def program(saga: Steps, amount: int) -> str:
        await saga.credit(amount)
        return await saga.credit(amount)

    assert failure_of(Driven(transfer(program)).done("credit.1", '"c"')) == "StepOrderError"


def test_a_retriable_step_called_before_the_pivot_is_an_error() -> None:
    """It would be final while everything else can still be compensated."""

    async def program(saga: Steps, amount: int) -> str:
        await saga.notify("early")
        return await saga.credit(amount)

    assert failure_of(Driven(transfer(program))) == "StepOrderError"


def test_a_retriable_step_called_where_the_pivot_was_never_called_is_an_error() -> None:
    """A saga that declares a pivot decides with it."""

    async def program(saga: Steps, amount: int) -> str:
        debited = await saga.debit(amount)
        await saga.notify("done")
        return debited

    driven = Driven(transfer(program)).done("debit.1", '"p"')
    assert failure_of(driven) == "StepOrderError"


def test_the_error_names_saga_step_and_what_is_wrong() -> None:
    """The author reads where and why."""

    async def program(saga: Steps, amount: int) -> str:
        await saga.credit(amount)
        return await saga.debit(1)

    driven = Driven(transfer(program)).done("credit.1", '"c"')
    failure = driven.instance.stuck[0].failure
    assert failure is not None
    assert failure.message == (
        "Transfer transfer-42: debit is compensatable and was called after the point of no return, credit.1; "
        "call it before, or make it a retriable step"
    )


def test_read_only_steps_may_be_called_anywhere() -> None:
    """Before and after the pivot."""

    async def program(saga: Steps, amount: int) -> str:
        await saga.rate(amount)
        credited = await saga.credit(amount)
        await saga.rate(amount)
        return credited

    driven = Driven(transfer(program)).done("rate.1", "1").done("credit.1", '"c"').done("rate.2", "1")
    assert driven.state == "COMPLETED"


def test_a_step_that_is_never_called_is_fine() -> None:
    """`run` decides what it calls."""

    async def program(saga: Steps, amount: int) -> str:
        return "nothing to do"

    assert Driven(transfer(program)).state == "COMPLETED"
