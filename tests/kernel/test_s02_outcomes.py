"""S2: done, rejected or in doubt; a rejection after an unanswered attempt is in doubt, unless a barrier recorded it."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from saga import Finding, ReadOnly, Saga, SagaError, StepRejected
from saga.errors import SuspendedError
from saga.kernel import RECORDED, Attempt, Call, CallState, Failure, Role, attempt, current_step, definition_of
from tests.kernel._drive import SECOND, START, Driven
from tests.kernel._runtime import Conducted
from tests.kernel._sagas import RefusedError, Steps, transfer


async def debit_only(saga: Steps, amount: int) -> str:
    return await saga.debit(amount)


async def debit_and_credit(saga: Steps, amount: int) -> str:
    await saga.debit(amount)
    return await saga.credit(amount)


async def tried(
    function: Any, *, saga: type | None = None, step: str = "debit", role: Role = Role.ACTION, input: str = "5"
) -> Attempt:
    """What one attempt of an activity comes to."""
    definition = definition_of(saga or transfer(debit_only)).step(step)
    call = Call("transfer-42", "Transfer", f"{step}.1", role, definition, input)

    async def in_thread(function: Any, value: Any) -> Any:
        return function(value)

    return await attempt(call, function, number=1, in_thread=in_thread, payload_limit=50)


# -- one attempt -----------------------------------------------------------------------


async def test_success_is_done_and_keeps_the_output() -> None:
    """What the activity returned is kept as JSON."""

    async def debit(amount: int) -> str:
        return f"p-{amount}"

    assert await tried(debit) == Attempt(CallState.DONE, '"p-5"')


async def test_a_function_that_is_not_async_is_an_activity_too() -> None:
    """Both colours of functions work."""

    def debit(amount: int) -> str:
        return f"p-{amount}"

    assert (await tried(debit)).state is CallState.DONE


@pytest.mark.parametrize("error", [RefusedError("no"), StepRejected("no"), SuspendedError("late")])
async def test_what_the_step_declares_as_a_rejection_is_one(error: Exception) -> None:
    """An instance of a type in `rejects`, or `StepRejected`, says that nothing happened."""

    async def debit(amount: int) -> str:
        raise error

    ended = await tried(debit)
    assert (ended.state, ended.final) == (CallState.REJECTED, True)
    assert ended.failure is not None
    assert ended.failure.type == type(error).__name__


async def test_a_subclass_of_a_rejection_is_a_rejection() -> None:
    """`rejects` means instances, so subclasses too."""

    class Frozen(RefusedError):
        pass

    async def debit(amount: int) -> str:
        raise Frozen("frozen")

    assert (await tried(debit)).state is CallState.REJECTED


@pytest.mark.parametrize("error", [ValueError("x"), TimeoutError(), ConnectionError("lost"), SagaError("x")])
async def test_every_unmarked_failure_is_in_doubt(error: Exception) -> None:
    """An error that nobody declared says nothing about whether it happened."""

    async def debit(amount: int) -> str:
        raise error

    assert (await tried(debit)).state is CallState.IN_DOUBT


async def test_an_error_that_another_attempt_cannot_cure_is_still_in_doubt() -> None:
    """A non-retryable error may have been raised after the effect, so it never means rejected."""
    step = definition_of(transfer(debit_only)).step("credit")
    assert RefusedError in step.rejects

    async def credit(amount: int) -> str:
        raise KeyError(amount)

    assert (await tried(credit, step="credit")).state is CallState.IN_DOUBT


async def test_a_rejection_that_a_barrier_recorded_says_so() -> None:
    """The mark of the barrier travels with the exception, whatever its type."""

    async def debit(amount: int) -> str:
        error = KeyError("no")
        setattr(error, RECORDED, True)
        raise error

    ended = await tried(debit)
    assert (ended.state, ended.recorded) == (CallState.REJECTED, True)


async def test_an_output_that_does_not_fit_happened_but_is_in_doubt() -> None:
    """The action acted, and nobody knows what it returned; another attempt cannot help."""

    async def debit(amount: int) -> object:
        return ["not", "a", "string"]

    ended = await tried(debit)
    assert (ended.state, ended.final) == (CallState.IN_DOUBT, True)
    assert ended.failure is not None
    assert "debit.1" in ended.failure.message


async def test_an_output_above_the_limit_is_in_doubt_and_names_the_step() -> None:
    """The limit counts bytes of JSON, not characters."""

    async def debit(amount: int) -> str:
        return "é" * 30  # 32 characters of JSON, 62 bytes

    ended = await tried(debit)
    assert (ended.state, ended.final) == (CallState.IN_DOUBT, True)
    assert ended.failure is not None
    assert "debit.1" in ended.failure.message
    assert "62 bytes" in ended.failure.message


async def test_an_input_that_todays_activity_cannot_read_is_in_doubt_without_running_it() -> None:
    """The activity is not called, and another attempt cannot help."""

    async def debit(amount: int) -> str:
        raise AssertionError

    ended = await tried(debit, input='"five"')
    assert (ended.state, ended.final) == (CallState.IN_DOUBT, True)
    assert ended.failure is not None
    assert ended.failure.type == "InvalidRequestError"


async def test_an_error_whose_data_is_no_json_still_has_an_outcome() -> None:
    """Drivers attach live objects to their errors; those are left out."""

    class DriverError(Exception):
        details = object()

        def __str__(self) -> str:
            raise RuntimeError("not even text")

    async def debit(amount: int) -> str:
        raise DriverError

    ended = await tried(debit)
    assert ended.state is CallState.IN_DOUBT
    assert ended.failure is not None
    assert ended.failure.model_dump_json()


async def test_text_that_is_no_unicode_still_has_an_outcome() -> None:
    """File names bring surrogates into messages; the journal cannot hold those."""

    async def debit(amount: int) -> str:
        raise OSError("no such file: \udcff")

    ended = await tried(debit)
    assert ended.failure is not None
    assert b"no such file" in ended.failure.model_dump_json().encode()


async def test_details_of_a_rejection_are_kept() -> None:
    """Data about a refusal reaches whoever catches it."""

    class Limit(BaseModel):
        cents: int

    async def debit(amount: int) -> str:
        raise StepRejected("too much", details={"limit": Limit(cents=7)})

    ended = await tried(debit)
    assert ended.failure is not None
    assert '"cents":7' in ended.failure.model_dump_json()


async def test_an_output_that_cannot_become_json_is_in_doubt() -> None:
    """A type that admits anything admits what JSON cannot hold."""

    class Anything(BaseModel):
        value: Any

    async def look(amount: int) -> Anything:
        return Anything(value=object())

    class Looking(Saga):
        look_at = ReadOnly(look)

        async def run(self, request: int) -> str:
            return str(await self.look_at(request))

    ended = await tried(look, saga=Looking, step="look_at")
    assert (ended.state, ended.final) == (CallState.IN_DOUBT, True)


async def test_the_activity_learns_its_step() -> None:
    """Key, attempt and role are there while it runs, and gone afterwards."""
    seen: list[str] = []

    async def debit(amount: int) -> str:
        step = current_step()
        seen.extend([step.key, step.action_key, step.call, step.role, step.saga, str(step.attempt)])
        return ""

    await tried(debit)
    assert seen == ["transfer-42/debit.1", "transfer-42/debit.1", "debit.1", "action", "Transfer", "1"]
    with pytest.raises(SagaError, match="current_step"):
        current_step()


@pytest.mark.parametrize("error", [RefusedError("no"), ValueError("x")])
async def test_the_error_of_a_probe_means_ask_again(error: Exception) -> None:
    """A probe cannot be rejected, and is never given up."""

    async def find(amount: int) -> Finding[str]:
        raise error

    ended = await tried(find, step="credit", role=Role.PROBE)
    assert (ended.state, ended.final) == (CallState.IN_DOUBT, False)


@pytest.mark.parametrize("answer", ["garbage", {"finding": "ask_again"}, None])
async def test_a_probe_that_answers_nonsense_or_not_yet_is_asked_again(answer: object) -> None:
    """Nothing but `Happened` and `DidNotHappen` ends the asking."""

    async def find(amount: int) -> object:
        return answer

    ended = await tried(find, step="credit", role=Role.PROBE)
    assert (ended.state, ended.final) == (CallState.IN_DOUBT, False)


# -- from an outcome to a fact ---------------------------------------------------------


async def outcome_of(**fields: Any) -> str:
    """The fact that a rejection of debit.1 comes to."""
    conducted = await Conducted(transfer(debit_only)).start()
    conducted.runtime.rejected("debit.1", **fields)
    await conducted.settle()
    await conducted.leave()
    return next(line for line in conducted.runtime.diary if line.startswith("record Call") and "Reg" not in line)


async def test_a_first_attempt_that_was_rejected_is_rejected() -> None:
    """Nothing happened."""
    assert await outcome_of() == "record CallRejected debit.1"


async def test_a_rejection_after_an_unanswered_attempt_is_in_doubt() -> None:
    """The attempt before may have acted."""
    assert await outcome_of(unanswered=True, attempts=2) == "record CallInDoubt debit.1"


async def test_a_rejection_that_a_barrier_recorded_is_certain_after_an_unanswered_attempt() -> None:
    """The barrier knows that no attempt under this key acted."""
    assert await outcome_of(unanswered=True, recorded=True) == "record CallRejected debit.1"


async def test_a_rejection_after_a_restart_is_in_doubt() -> None:
    """The attempt of the owner that crashed was never answered."""
    driven = Driven(transfer(debit_only))
    conducted = Conducted(transfer(debit_only), decider=driven.decider)
    conducted.runtime.facts = list(driven.facts)
    conducted.conductor.resumed(2, crashed=True)
    await conducted.conduct()
    assert conducted.decider.instance.calls["debit.1"].unanswered
    conducted.runtime.rejected("debit.1")
    await conducted.settle()
    assert "record CallInDoubt debit.1" in conducted.runtime.diary
    await conducted.leave()


async def test_a_compensation_that_is_rejected_is_rejected_whatever_came_before() -> None:
    """For a compensation there is nothing to be in doubt about: it has to be done, and it was refused."""
    driven = Driven(transfer(debit_and_credit)).done("debit.1", '"a"').rejected("credit.1")
    conducted = Conducted(transfer(debit_and_credit), decider=driven.decider)
    conducted.runtime.facts = list(driven.facts)
    await conducted.conduct()
    conducted.runtime.rejected("debit.1/compensation", unanswered=True)
    await conducted.settle()
    assert "record CallRejected debit.1/compensation" in conducted.runtime.diary
    await conducted.leave()


def test_what_is_in_doubt_is_compensated() -> None:
    """The compensation is told that nobody knows."""
    driven = Driven(transfer(debit_and_credit)).in_doubt("debit.1")
    assert driven.recovery.reason == "in doubt"
    assert driven.compensated == ["debit.1"]


def test_what_was_rejected_is_not_compensated() -> None:
    """Nothing happened, so there is nothing to compensate."""
    driven = Driven(transfer(debit_and_credit)).rejected("debit.1")
    assert driven.compensated == []
    assert driven.state == "COMPENSATED"


async def test_the_compensation_receives_input_output_and_doubt() -> None:
    """A done effect has its output, a doubtful one has none and says so."""
    effects: list[object] = []
    for program in ("done", "in doubt"):
        driven = Driven(transfer(debit_and_credit))
        if program == "done":
            driven.done("debit.1", '"p-1"').rejected("credit.1")
        else:
            driven.in_doubt("debit.1")
        conducted = Conducted(transfer(debit_and_credit), decider=driven.decider)
        conducted.runtime.facts = list(driven.facts)
        await conducted.conduct()
        call = conducted.runtime.calls["debit.1/compensation"]
        effects.append(call.activity.takes.decode(call.input).model_dump())
        await conducted.leave()
    assert effects == [
        {"input": 5, "output": "p-1", "in_doubt": False},
        {"input": 5, "output": None, "in_doubt": True},
    ]


async def test_failed_attempts_are_notes_that_ride_along() -> None:
    """Each failed attempt that another follows is a fact with its failure, and changes nothing."""
    conducted = await Conducted(transfer(debit_only)).start()
    conducted.runtime.failed["debit.1"](Failure(type="OSError", message="lost"), False)
    conducted.runtime.done("debit.1", '"a"', attempts=2, overdue_at=START + SECOND)
    await conducted.settle()
    record = conducted.decider.instance.calls["debit.1"]
    assert [one.attempt for one in record.failures] == [1]
    assert record.attempts == 2
    assert record.overdue_at == START + timedelta(seconds=1)
    await conducted.leave()
