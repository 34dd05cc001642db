from __future__ import annotations

from dataclasses import dataclass

import pytest

from saga.errors import KeyReusedError, StepRejected
from saga.kernel import PAYLOAD_LIMIT, RECORDED, Kind, Role
from saga.participant import is_recorded
from tests.participant.banks import OPENING, Bank, Books, Debit, InsufficientFunds, Posting, done, step


async def test_first_delivery_runs_the_body_and_records_it(bank: Bank, books: Books) -> None:
    """The business change and the barrier's row are there after the caller's commit."""
    with step():
        posting = await bank.debit(Debit(amount=10))
    assert posting == Posting(account="anna", amount=-10, balance=90)
    assert books.balance() == 90
    assert books.records() == [("transfer-42/debit.1", "", "done")]


@pytest.mark.peer("DTM-31")
async def test_repeat_returns_the_recorded_output(bank: Bank, books: Books) -> None:
    """A second delivery gets the first one's output, and the body does not run again."""
    with step():
        first = await bank.debit(Debit())
        second = await bank.debit(Debit())
    assert second == first
    assert isinstance(second, Posting)
    assert bank.script.runs == ["debit"]
    assert books.balance() == OPENING - 10


async def test_other_calls_and_other_sagas_have_keys_of_their_own(bank: Bank, books: Books) -> None:
    """The same input under another call or id is another request."""
    for saga, call in [("a", "debit.1"), ("a", "debit.2"), ("b", "debit.1")]:
        with step(id=saga, call=call):
            await bank.debit(Debit())
    assert books.balance() == OPENING - 30


async def test_same_key_with_another_input_is_refused(bank: Bank, books: Books) -> None:
    """Nothing changes, and the error says which key it is about."""
    with step():
        await bank.debit(Debit(amount=10))
        with pytest.raises(KeyReusedError, match=r"transfer-42/debit\.1 was used before with another input"):
            await bank.debit(Debit(amount=11))
        assert books.balance() == 90
        assert bank.script.runs == ["debit"]
        assert (await bank.debit(Debit(amount=10))).balance == 90


async def test_rejected_key_with_another_input_is_refused_too(bank: Bank) -> None:
    """Another request does not get the rejection of the first."""
    bank.script.raises = StepRejected("no")
    with step():
        with pytest.raises(StepRejected):
            await bank.debit(Debit(amount=10))
        with pytest.raises(KeyReusedError):
            await bank.debit(Debit(amount=11))


@pytest.mark.parametrize("error", [InsufficientFunds("only 100", {"missing": 5}), StepRejected("only 100")])
async def test_rejection_keeps_the_key_and_not_the_change(bank: Bank, books: Books, error: Exception) -> None:
    """The change that the body made before it refused is gone; the rejection is committed and marked."""
    bank.script.raises = error
    with step(), pytest.raises(type(error), match="only 100") as caught:
        await bank.debit(Debit())
    assert caught.value is error
    assert is_recorded(error)
    assert books.balance() == OPENING
    assert books.records() == [("transfer-42/debit.1", "", "rejected")]


async def test_repeat_of_a_rejection_raises_it_again(bank: Bank, books: Books) -> None:
    """Type name, message and details are the first one's; it is marked, and the body does not run."""
    bank.script.raises = InsufficientFunds("only 100", {"missing": 5})
    with step(), pytest.raises(InsufficientFunds):
        await bank.debit(Debit())
    bank.script.raises = None
    with step(), pytest.raises(StepRejected) as caught:
        await bank.debit(Debit())
    again = caught.value
    assert (again.type, again.message, again.details) == ("InsufficientFunds", "only 100", {"missing": 5})
    assert is_recorded(again)
    assert bank.script.runs == ["debit"]
    assert books.balance() == OPENING


@pytest.mark.peer("DTM-35")
async def test_any_other_exception_takes_the_row_with_it(bank: Bank, books: Books) -> None:
    """After a failure in the body nothing is recorded, and the next delivery runs again."""
    bank.script.raises = ZeroDivisionError("a bug")
    with step(), pytest.raises(ZeroDivisionError) as caught:
        await bank.debit(Debit())
    assert not is_recorded(caught.value)
    assert books.records() == []
    assert books.balance() == OPENING
    bank.script.raises = None
    with step():
        assert (await bank.debit(Debit())).balance == 90
    assert bank.script.runs == ["debit", "debit"]


async def test_rejection_of_a_retriable_step_does_not_stay(bank: Bank, books: Books) -> None:
    """After the pivot an operator retries a rejected call under the same key, once its cause is fixed."""
    bank.script.raises = StepRejected("closed on Sunday")
    with step(kind=Kind.RETRIABLE):
        for _ in range(2):
            with pytest.raises(StepRejected) as caught:
                await bank.debit(Debit())
            assert is_recorded(caught.value)
        assert books.records() == [("transfer-42/debit.1", "", "rejected")]
        bank.script.raises = None
        await bank.debit(Debit())
        await bank.debit(Debit())
    assert books.balance() == 90
    assert books.records() == [("transfer-42/debit.1", "", "done")]


async def test_forgetting_runs_once_and_may_be_retried_after_a_rejection(bank: Bank, books: Books) -> None:
    """It stands for itself under its own key, and a repeat returns its output."""
    with step():
        posting = await bank.debit(Debit())
    with step(Role.FORGET):
        bank.script.raises = StepRejected("not yet")
        with pytest.raises(StepRejected):
            await bank.forget(posting)
        bank.script.raises = None
        assert await bank.forget(posting) == "forgotten"
        assert await bank.forget(posting) == "forgotten"
    assert books.balance() == 89
    assert books.records() == [
        ("transfer-42/debit.1", "", "done"),
        ("transfer-42/debit.1/forget", "", "done"),
    ]


async def test_outside_a_saga_a_key_does_the_same(bank: Bank, books: Books) -> None:
    """A plain caller gives the key; its last segment names the role."""
    first = await bank.debit(Debit(), key="order-7/debit.1")
    assert await bank.debit(Debit(), key="order-7/debit.1") == first
    await bank.refund(done(first), key="order-7/debit.1/compensation")
    await bank.refund(done(first), key="order-7/debit.1/compensation")
    assert books.balance() == OPENING
    assert bank.script.runs == ["debit", "refund"]


@dataclass(frozen=True)
class FrozenRefusal(Exception):
    """A rejection type that refuses attributes."""

    reason: str


@pytest.mark.parametrize(
    ("details", "kept"),
    [
        pytest.param(object(), None, id="object"),
        pytest.param("x" * 16_382, "x" * 16_382, id="as large as may be"),
        pytest.param(
            "x" * 16_383, "16385 bytes of details were left out; a fact holds 16384 at most", id="a byte too large"
        ),
        pytest.param(
            "x" * PAYLOAD_LIMIT,
            f"{PAYLOAD_LIMIT + 2} bytes of details were left out; a fact holds 16384 at most",
            id="large",
        ),
    ],
)
async def test_details_that_cannot_be_recorded_are_left_out(bank: Bank, details: object, kept: object) -> None:
    """The rejection is recorded all the same; where details were too large, a text says so."""
    bank.script.raises = InsufficientFunds("only 100", details)
    with step(), pytest.raises(InsufficientFunds):
        await bank.debit(Debit())
    with step(), pytest.raises(StepRejected) as caught:
        await bank.debit(Debit())
    assert (caught.value.message, caught.value.details) == ("only 100", kept)


def test_frozen_exception_can_be_marked() -> None:
    """The mark does not go through the exception's own `__setattr__`."""
    from saga.participant._errors import recorded  # noqa: PLC0415 - private

    error = recorded(FrozenRefusal("no"))
    assert getattr(error, RECORDED) is True
    assert is_recorded(error)
