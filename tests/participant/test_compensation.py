from __future__ import annotations

import pytest

from saga.errors import KeyReusedError, StepRejected, SuspendedError
from saga.kernel import Role
from saga.participant import is_recorded
from tests.participant.banks import OPENING, Bank, Books, Debit, Posting, done, in_doubt, step

ACTION = "transfer-42/debit.1"


async def debited(bank: Bank) -> Posting:
    """Deliver the action."""
    with step():
        return await bank.debit(Debit())


@pytest.mark.peer("DTM-12")
async def test_compensation_brings_the_balance_back(bank: Bank, books: Books) -> None:
    """Balances are equal before and after."""
    posting = await debited(bank)
    with step(Role.COMPENSATION):
        await bank.refund(done(posting))
    assert books.balance() == OPENING
    assert books.records() == [(ACTION, "", "compensated")]


async def test_compensation_runs_once(bank: Bank, books: Books) -> None:
    """A repeated compensation does nothing."""
    posting = await debited(bank)
    with step(Role.COMPENSATION):
        await bank.refund(done(posting))
        await bank.refund(done(posting))
    assert bank.script.runs == ["debit", "refund"]
    assert books.balance() == OPENING


@pytest.mark.peer("DTM-32")
async def test_empty_compensation_succeeds_and_changes_nothing(bank: Bank, books: Books) -> None:
    """The action never ran: its key is suspended and no body runs."""
    with step(Role.COMPENSATION):
        await bank.refund(in_doubt())
    assert bank.script.runs == []
    assert books.balance() == OPENING
    assert books.records() == [(ACTION, "", "suspended")]


@pytest.mark.peer("DTM-33")
@pytest.mark.peer("NEW-07")
async def test_action_that_arrives_after_its_compensation_is_refused(bank: Bank, books: Books) -> None:
    """Compensation twice, then the late action: the action is told so and changes nothing."""
    with step(Role.COMPENSATION):
        await bank.refund(in_doubt())
        await bank.refund(in_doubt())
    with step():
        for _ in range(2):
            with pytest.raises(SuspendedError, match=r"transfer-42/debit\.1 arrived after") as caught:
                await bank.debit(Debit())
            assert is_recorded(caught.value)
    assert bank.script.runs == []
    assert books.balance() == OPENING
    assert books.records() == [(ACTION, "", "suspended")]


async def test_repeat_of_an_action_that_was_compensated_is_refused(bank: Bank, books: Books) -> None:
    """Its recorded output would be a lie by now, for instance after a reset to before the compensation."""
    posting = await debited(bank)
    with step(Role.COMPENSATION):
        await bank.refund(done(posting))
    with step(), pytest.raises(SuspendedError):
        await bank.debit(Debit())
    assert books.balance() == OPENING


async def test_rejected_action_needs_no_compensation(bank: Bank, books: Books) -> None:
    """Nothing happened, so the compensation has nothing to do, and the rejection stays."""
    bank.script.raises = StepRejected("no")
    with step(), pytest.raises(StepRejected):
        await bank.debit(Debit())
    bank.script.raises = None
    with step(Role.COMPENSATION):
        await bank.refund(in_doubt())
    assert bank.script.runs == ["debit"]
    assert books.balance() == OPENING
    assert books.records() == [(ACTION, "", "rejected")]


async def test_effect_in_doubt_is_completed_from_the_record(bank: Bank) -> None:
    """The saga does not know what its action returned; the barrier does."""
    posting = await debited(bank)
    with step(Role.COMPENSATION):
        await bank.refund(in_doubt())
    (effect,) = bank.script.effects
    assert (effect.in_doubt, effect.output) == (False, posting)
    assert isinstance(effect.output, Posting)


async def test_compensation_for_another_input_is_refused(bank: Bank, books: Books) -> None:
    """The effect is not that of the recorded action: nothing changes."""
    posting = await debited(bank)
    with step(Role.COMPENSATION), pytest.raises(KeyReusedError, match="another input"):
        await bank.refund(done(posting, Debit(amount=99)))
    assert books.balance() == 90
    with step(Role.COMPENSATION):
        await bank.refund(done(posting))
    assert books.balance() == OPENING


async def test_done_action_without_a_record_is_not_taken_for_an_empty_one(bank: Bank, books: Books) -> None:
    """The saga knows that it happened: someone forgot the barrier there, and must be told."""
    posting = Posting(account="anna", amount=-10, balance=90)
    with step(Role.COMPENSATION), pytest.raises(StepRejected, match="does not know of it") as caught:
        await bank.refund(done(posting))
    assert caught.value.type == "ActionNotRecorded"
    assert books.records() == []


async def test_rejected_compensation_may_be_retried(bank: Bank, books: Books) -> None:
    """The rejection is recorded and marked, but an operator's retry runs the body again."""
    posting = await debited(bank)
    bank.script.raises = StepRejected("account frozen")
    with step(Role.COMPENSATION):
        for _ in range(2):
            with pytest.raises(StepRejected, match="account frozen") as caught:
                await bank.refund(done(posting))
            assert is_recorded(caught.value)
        assert books.balance() == 90
        assert books.records() == [(ACTION, "", "done"), (f"{ACTION}/compensation", "", "rejected")]
        bank.script.raises = None
        await bank.refund(done(posting))
    assert books.balance() == OPENING
    assert bank.script.runs == ["debit", "refund", "refund", "refund"]


@pytest.mark.peer("DTM-35")
async def test_compensation_that_fails_leaves_the_action_done(bank: Bank, books: Books) -> None:
    """Any other exception takes everything back, and the next delivery runs again."""
    posting = await debited(bank)
    with step(Role.COMPENSATION):
        bank.script.raises = ZeroDivisionError("a bug")
        with pytest.raises(ZeroDivisionError):
            await bank.refund(done(posting))
        assert books.records() == [(ACTION, "", "done")]
        bank.script.raises = None
        await bank.refund(done(posting))
    assert books.balance() == OPENING


async def test_confirmation_runs_once(bank: Bank, books: Books) -> None:
    """A repeat does nothing, and the action is confirmed."""
    posting = await debited(bank)
    with step(Role.CONFIRMATION):
        await bank.confirm(posting)
        await bank.confirm(posting)
    assert bank.script.runs == ["debit", "confirm"]
    assert books.records() == [(ACTION, "", "confirmed")]
    with step():
        assert await bank.debit(Debit()) == posting


async def test_confirmation_of_a_compensated_action_is_refused(bank: Bank, books: Books) -> None:
    """Of confirmation and compensation there is never both."""
    posting = await debited(bank)
    with step(Role.COMPENSATION):
        await bank.refund(done(posting))
    with step(Role.CONFIRMATION), pytest.raises(SuspendedError, match="is compensated") as caught:
        await bank.confirm(posting)
    assert is_recorded(caught.value)
    assert bank.script.runs == ["debit", "refund"]
    assert books.balance() == OPENING


async def test_compensation_of_a_confirmed_action_is_refused(bank: Bank, books: Books) -> None:
    """What is final stays."""
    posting = await debited(bank)
    with step(Role.CONFIRMATION):
        await bank.confirm(posting)
    with step(Role.COMPENSATION), pytest.raises(StepRejected, match="is confirmed"):
        await bank.refund(done(posting))
    assert bank.script.runs == ["debit", "confirm"]
    assert books.records() == [(ACTION, "", "confirmed")]


async def test_confirmation_of_an_unknown_action_is_refused(bank: Bank, books: Books) -> None:
    """There is nothing to confirm, and the key is not suspended by asking."""
    with step(Role.CONFIRMATION), pytest.raises(StepRejected, match="does not know of it"):
        await bank.confirm(Posting(account="anna", amount=-10, balance=90))
    assert bank.script.runs == []
    assert books.records() == []
