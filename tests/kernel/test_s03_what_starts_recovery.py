"""S3: what starts backward recovery, what is a bug, and that a bug never moves money."""

import asyncio
from datetime import timedelta

import pytest

from saga import DecisionTimedOut, SagaAborted, StepInDoubt, StepRejected
from saga.kernel import Reason
from saga.kernel._endings import why
from tests.kernel._drive import Driven
from tests.kernel._runtime import Conducted
from tests.kernel._sagas import Steps, transfer


async def debit_and_credit(saga: Steps, amount: int) -> str:
    await saga.debit(amount)
    return await saga.credit(amount)


def raising(error: BaseException) -> type[Steps]:
    """A saga that debits and then raises."""

    async def program(saga: Steps, amount: int) -> str:
        await saga.debit(amount)
        raise error

    return transfer(program)


def test_a_rejected_step_starts_recovery_and_names_the_call() -> None:
    """What `run` lets through starts backward recovery."""
    driven = Driven(transfer(debit_and_credit)).done("debit.1", '"a"').rejected("credit.1", "Closed", "shut")
    assert driven.state == "COMPENSATING"
    assert (driven.recovery.reason, driven.recovery.call) == ("rejected", "credit.1")
    assert driven.recovery.failure is not None
    assert (driven.recovery.failure.type, driven.recovery.failure.message) == ("Closed", "shut")


def test_a_step_in_doubt_starts_recovery() -> None:
    """Nobody knows, so it is compensated."""
    driven = Driven(transfer(debit_and_credit)).in_doubt("debit.1")
    assert (driven.recovery.reason, driven.recovery.call) == ("in doubt", "debit.1")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (SagaAborted("no"), "aborted"),
        (TimeoutError("slow"), "timed out"),
        (DecisionTimedOut("x.1"), "decision timed out"),
    ],
)
def test_an_error_that_means_giving_up_starts_recovery(error: Exception, reason: str) -> None:
    """`SagaAborted`, a timeout and an unanswered decision give up and compensate."""
    driven = Driven(raising(error)).done("debit.1", '"a"')
    assert (driven.state, driven.recovery.reason) == ("COMPENSATING", reason)
    assert driven.compensated == ["debit.1"]


def test_a_decision_nobody_answers_starts_recovery() -> None:
    """Its time limit is the saga's own timer."""

    async def program(saga: Steps, amount: int) -> str:
        await saga.debit(amount)
        await saga.review()
        return ""

    driven = Driven(transfer(program)).done("debit.1", '"a"').fire("review.1")
    assert (driven.recovery.reason, driven.recovery.call) == ("decision timed out", "review.1")


def test_the_deadline_starts_recovery() -> None:
    """When it passes before the pivot."""
    driven = Driven(transfer(debit_and_credit, within=timedelta(minutes=5))).done("debit.1", '"a"')
    driven = Driven(transfer(debit_and_credit, within=timedelta(minutes=5))).fire("deadline")
    assert (driven.state, driven.recovery.reason) == ("COMPENSATING", "deadline")


def test_a_cancel_starts_recovery() -> None:
    """When it comes before the pivot."""
    driven = Driven(transfer(debit_and_credit)).cancel()
    assert (driven.state, driven.recovery.reason) == ("COMPENSATING", "cancelled")


@pytest.mark.parametrize("error", [KeyError("x"), asyncio.CancelledError(), SystemExit(3)])
def test_anything_else_that_leaves_run_is_a_bug(error: BaseException) -> None:
    """The instance is STUCK with the traceback, and nothing is compensated."""
    driven = Driven(raising(error)).done("debit.1", '"a"')
    assert (driven.state, driven.blocking) == ("STUCK", [(None, "bug")])
    assert driven.compensated == []
    failure = driven.instance.stuck[0].failure
    assert failure is not None
    assert failure.type == type(error).__name__
    assert "in program" in (failure.traceback or "")


def test_whoever_wants_the_process_to_end_is_heard() -> None:
    """An interrupt from the keyboard says nothing about the saga."""
    driven = Driven(raising(KeyboardInterrupt()), replayed=False)
    with pytest.raises(KeyboardInterrupt):
        driven.done("debit.1", '"a"')
    assert "SagaStuck code bug" not in driven.log


def test_a_rejection_wrapped_in_another_error_is_a_bug() -> None:
    """Only what leaves `run` counts, not what caused it."""

    async def program(saga: Steps, amount: int) -> str:
        try:
            return await saga.debit(amount)
        except StepRejected as error:
            raise ValueError("lost") from error

    assert Driven(transfer(program)).rejected("debit.1").blocking == [(None, "bug")]


def test_a_result_that_does_not_fit_is_a_bug() -> None:
    """The result is checked where `run` returns it."""

    async def program(saga: Steps, amount: int) -> str:
        return 5  # type: ignore[return-value]  # wrong on purpose

    assert Driven(transfer(program)).blocking == [(None, "bug")]


def test_an_input_that_does_not_fit_is_a_bug_and_registers_nothing() -> None:
    """The input is checked before the call is registered."""

    async def program(saga: Steps, amount: int) -> str:
        return await saga.debit("five")  # type: ignore[arg-type]  # wrong on purpose

    driven = Driven(transfer(program))
    assert driven.log == ["SagaStarted", "SagaStuck code bug"]


def test_a_bug_moves_no_money_while_others_are_in_flight() -> None:
    """What is in flight ends; what its task would have called next is never called."""

    async def program(saga: Steps, amount: int) -> str:
        async def aside() -> None:
            await saga.fee(1)
            await saga.fee(2)

        task = asyncio.create_task(aside())
        await saga.debit(amount)
        raise KeyError(task)

    driven = Driven(transfer(program)).done("debit.1", '"a"')
    assert (driven.state, driven.in_flight) == ("STUCK", ["fee.1"])
    driven.done("fee.1", '"b"')
    assert (driven.state, driven.in_flight) == ("STUCK", [])
    assert driven.compensated == []


def test_a_bug_resumes_with_fixed_code() -> None:
    """Retry replays the journal with today's code, and the saga goes on."""
    fixed = transfer(debit_and_credit)

    async def buggy(saga: Steps, amount: int) -> str:
        await saga.debit(amount)
        raise KeyError("x")

    driven = Driven(transfer(buggy), replayed=False).done("debit.1", '"a"')
    driven.reload(fixed)
    assert driven.state == "STUCK"
    driven.retry()
    assert driven.state == "RUNNING"
    assert driven.log[-3:] == ["Retried", "RunContinued", "CallRegistered credit.1"]
    driven.done("credit.1", '"c"')
    assert (driven.state, driven.result) == ("COMPLETED", '"c"')


def test_a_bug_that_is_not_fixed_is_stuck_again() -> None:
    """Retry with the same code comes to the same end."""
    driven = Driven(raising(KeyError("x")), replayed=False).done("debit.1", '"a"').retry()
    assert driven.log[-3:] == ["Retried", "RunContinued", "SagaStuck code bug"]
    driven.retry()
    assert driven.state == "STUCK"


def test_a_bug_in_the_end_of_a_task_that_a_group_waits_for_wins() -> None:
    """Groups are flattened, however deep; one bug among the leaves makes it a bug."""
    group = ExceptionGroup("", [StepRejected("no"), ExceptionGroup("", [SagaAborted("x"), KeyError("bug")])])
    reason, error = why(group)
    assert reason is Reason.BUG
    assert isinstance(error, KeyError)


def test_without_a_bug_the_first_leaf_of_a_group_speaks() -> None:
    """Nested groups are read from the left."""
    group = ExceptionGroup("", [ExceptionGroup("", [StepInDoubt("?", step="debit.1")]), StepRejected("no")])
    assert why(group)[0] is Reason.IN_DOUBT


def test_a_task_group_with_a_rejected_step_starts_recovery() -> None:
    """What a `TaskGroup` raises is a group."""

    async def program(saga: Steps, amount: int) -> str:
        async with asyncio.TaskGroup() as group:
            group.create_task(saga.debit(amount))
            group.create_task(saga.fee(1))
        return ""

    driven = Driven(transfer(program)).rejected("fee.1")
    assert (driven.recovery.reason, driven.recovery.call) == ("rejected", "fee.1")


async def test_a_request_that_cannot_be_decoded_ends_the_instance_compensated() -> None:
    """Nothing was done, so there is nothing to compensate; the error says why."""
    driven = Driven(transfer(debit_and_credit), request='{"not": "an amount"}')
    assert driven.log == ["SagaStarted", "RecoveryStarted undecodable request", "SagaCompensated"]
    assert driven.recovery.failure is not None
    assert driven.recovery.failure.type == "InvalidRequestError"


def test_a_saga_object_that_cannot_be_made_is_a_bug() -> None:
    """An `__init__` that wants more than the engine has is the author's fault, shown as such."""

    class Wants(Steps):
        def __init__(self, more: int) -> None:
            self.more = more

        async def run(self, request: int) -> str:
            return ""

    driven = Driven(Wants)
    assert driven.blocking == [(None, "bug")]
    assert driven.instance.stuck[0].failure is not None
    assert "more" in driven.instance.stuck[0].failure.message


async def test_after_a_bug_nothing_new_is_performed() -> None:
    """Neither what run called in the moment of the bug, nor anything after it."""

    async def program(saga: Steps, amount: int) -> str:
        await saga.debit(amount)
        task = asyncio.create_task(saga.fee(1))
        await asyncio.sleep(0)
        raise KeyError(task)

    conducted = await Conducted(transfer(program)).start()
    conducted.runtime.done("debit.1", '"a"')
    await conducted.settle()
    assert conducted.decider.instance.state == "STUCK"
    assert conducted.runtime.performed() == ["debit.1"]
    await conducted.leave()


def test_a_task_that_exits_the_process_is_a_bug() -> None:
    """`sys.exit` inside a task of `run` ends neither the process nor the other instances."""

    async def program(saga: Steps, amount: int) -> str:
        async def leave() -> None:
            raise SystemExit(3)

        await asyncio.gather(leave())
        return ""

    assert Driven(transfer(program)).blocking == [(None, "bug")]


@pytest.mark.parametrize("state", ["RUNNING", "STUCK"])
def test_a_run_that_waits_for_nothing_that_can_come_is_a_bug(state: str) -> None:
    """Waiting for ever, with nothing in flight, is seen at once; with something in flight, afterwards."""

    async def program(saga: Steps, amount: int) -> str:
        if state == "RUNNING":
            await saga.debit(amount)
        await asyncio.get_running_loop().create_future()
        return ""

    driven = Driven(transfer(program))
    assert driven.state == state
    if state == "RUNNING":
        driven.done("debit.1", '"a"')
    failure = driven.instance.stuck[0].failure
    assert failure is not None
    assert (driven.state, failure.type) == ("STUCK", "NotDeterministicError")
