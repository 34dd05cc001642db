"""S19: decisions are awaited in `run`, answered from outside, early or in time, once per call."""

import asyncio
from datetime import timedelta

import pytest

from saga import DecisionTimedOut
from saga.errors import ActRefusedError, InvalidRequestError
from tests.kernel._drive import START, Driven
from tests.kernel._sagas import Steps, transfer


async def asks(saga: Steps, amount: int) -> str:
    return f"approved {await saga.review()}"


async def works_first(saga: Steps, amount: int) -> str:
    await saga.debit(amount)
    return f"approved {await saga.review()}"


async def asks_twice(saga: Steps, amount: int) -> str:
    first = await saga.review()
    second = await saga.review()
    return f"{first} {second}"


def test_awaiting_a_decision_is_a_fact_with_its_time_limit() -> None:
    """It can be seen who has to answer until when."""
    driven = Driven(transfer(asks))
    assert driven.log == ["SagaStarted", "DecisionAwaited review.1"]
    assert driven.decider.next_due() == ("review.1", START + timedelta(hours=1))


def test_an_answer_goes_to_run() -> None:
    """With who gave it."""
    driven = Driven(transfer(asks)).decide("review.1", "true")
    assert (driven.state, driven.result) == ("COMPLETED", '"approved True"')
    record = driven.instance.decisions["review.1"]
    assert (record.answer, record.by) == ("true", "rita")


def test_an_answer_that_comes_early_is_kept() -> None:
    """`run` does not wait for it then."""
    driven = Driven(transfer(works_first)).decide("review.1", "false")
    assert driven.in_flight == ["debit.1"]
    driven.done("debit.1", '"p"')
    assert (driven.state, driven.result) == ("COMPLETED", '"approved False"')


def test_an_early_answer_survives_a_restart() -> None:
    """It is a fact."""
    driven = Driven(transfer(works_first)).decide("review.1", "true").resumed().done("debit.1", '"p"')
    assert driven.result == '"approved True"'


def test_a_second_answer_to_one_call_is_ignored_with_a_fact() -> None:
    """The first one counts."""
    driven = Driven(transfer(works_first)).decide("review.1", "true").decide("review.1", "false", by="paul")
    assert driven.log[-1] == "DecisionIgnored review.1"
    assert driven.done("debit.1", '"p"').result == '"approved True"'


def test_an_answer_after_the_time_limit_is_ignored_with_a_fact() -> None:
    """`run` has been told that nobody answered."""

    async def program(saga: Steps, amount: int) -> str:
        try:
            await saga.review()
        except DecisionTimedOut as error:
            return await saga.debit(amount) + error.decision
        return "answered"

    driven = Driven(transfer(program)).fire("review.1").decide("review.1", "true")
    assert driven.log[-1] == "DecisionIgnored review.1"
    assert driven.done("debit.1", '"p"').result == '"preview.1"'


def test_an_answer_after_recovery_began_is_ignored_with_a_fact() -> None:
    """Nobody waits for it any more."""
    driven = Driven(transfer(works_first)).cancel().decide("review.1", "true")
    assert driven.log[-1] == "DecisionIgnored review.1"


def test_an_answer_after_the_end_is_refused() -> None:
    """Nothing can change."""
    driven = Driven(transfer(asks)).decide("review.1", "true")
    with pytest.raises(ActRefusedError, match="COMPLETED: decide is refused, nobody waits for review.1"):
        driven.decide("review.1", "true")


def test_each_call_of_a_decision_has_its_own_answer() -> None:
    """As in a cycle."""
    driven = Driven(transfer(asks_twice)).decide("review.2", "false")
    assert driven.log[-1] == "DecisionAnswered review.2"
    driven.decide("review.1", "true")
    assert (driven.state, driven.result) == ("COMPLETED", '"True False"')


@pytest.mark.parametrize(
    "call", ["approval.1", "debit.1", "review", "review.0", "review.-1", "review.01", "review.x", ""]
)
def test_an_answer_to_what_is_no_call_of_a_decision_is_refused(call: str) -> None:
    """Nobody would ever read it."""
    with pytest.raises(ActRefusedError, match=r"no such decision; it has review\.1"):
        Driven(transfer(asks)).decide(call, "true")


@pytest.mark.parametrize("answer", ['"maybe"', "", "{", "null"])
def test_an_answer_of_another_type_is_refused(answer: str) -> None:
    """Before it is a fact."""
    driven = Driven(transfer(asks))
    with pytest.raises(InvalidRequestError, match="Transfer transfer-42 review.1: this does not fit bool"):
        driven.decide("review.1", answer)
    assert driven.log[-1] == "DecisionAwaited review.1"


def test_an_early_answer_that_todays_type_cannot_read_is_a_bug_that_says_where() -> None:
    """The code changed between the answer and the question; the answer is not lost."""
    from saga import Decision  # noqa: PLC0415 - only here

    class Today(transfer(works_first), name="Transfer"):  # type: ignore[misc, call-arg]  # made on the way
        review = Decision(str, within=timedelta(hours=1))

    driven = (
        Driven(transfer(works_first), replayed=False).decide("review.1", "true").reload(Today).done("debit.1", '"p"')
    )
    assert (driven.state, driven.blocking) == ("STUCK", [(None, "bug")])
    failure = driven.instance.stuck[0].failure
    assert failure is not None
    assert failure.type == "InvalidRequestError"
    assert failure.message.startswith("Transfer transfer-42 review.1: what the journal holds does not fit str:")
    driven.reload(transfer(works_first)).retry()
    assert driven.result == '"approved True"'


def test_waiting_for_a_decision_can_be_given_up() -> None:
    """Like any other wait; a late answer changes nothing."""

    async def program(saga: Steps, amount: int) -> str:
        try:
            return str(await asyncio.wait_for(saga.review(), 60))
        except TimeoutError:
            return await saga.debit(amount)

    driven = Driven(transfer(program)).fire("timer.1").decide("review.1", "true")
    assert driven.in_flight == ["debit.1"]
    assert driven.done("debit.1", '"p"').result == '"p"'


def test_two_decisions_may_be_awaited_side_by_side() -> None:
    """The answers come in any order."""

    async def program(saga: Steps, amount: int) -> str:
        first, second = await asyncio.gather(saga.review(), saga.review())
        return f"{first} {second}"

    driven = Driven(transfer(program)).decide("review.2", "false").decide("review.1", "true")
    assert driven.result == '"True False"'


def test_code_that_waits_another_time_keeps_the_recorded_limit() -> None:
    """What was journaled holds."""
    from saga import Decision, Saga  # noqa: PLC0415 - only here

    class Asking(Saga):
        review = Decision(bool, within=timedelta(hours=1))

        async def run(self, request: int) -> str:
            return str(await self.review())

    class Patient(Saga, name="Asking"):
        review = Decision(bool, within=timedelta(hours=9))

        async def run(self, request: int) -> str:
            return str(await self.review())

    driven = Driven(Asking).reload(Patient)
    assert driven.decider.next_due() == ("review.1", START + timedelta(hours=1))
