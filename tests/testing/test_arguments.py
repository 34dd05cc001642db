"""What `explore` and `given` are given: refused before anything runs, by name, with what to give instead."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from saga import Compensatable, Decision, Effect, Nested, Pivot, ReadOnly, Retriable, Saga, participant
from saga.errors import InvalidIdError, InvalidRequestError, ParticipantError, SagaError
from saga.testing import behind_barrier, explore, given
from tests.testing import sagas


class Amount(BaseModel):
    """What is asked for."""

    cents: int


class Bank:
    """Holds cents."""

    def __init__(self) -> None:
        self.cents = 100

    def debit(self, amount: Amount) -> int:
        self.cents -= amount.cents
        return self.cents

    def refund(self, effect: Effect[Amount, int]) -> None:
        self.cents += effect.input.cents

    def look(self, amount: Amount) -> int:
        return self.cents


bank, fees = participant(Bank, "bank"), participant(Bank, "fees")


class Payment(Saga):
    """Holds money, asks, and pays."""

    look = ReadOnly(bank.look)
    hold = Compensatable(bank.debit, barrier=True).compensated_by(bank.refund)
    review = Decision(bool, within=timedelta(hours=1))
    pay = Pivot(fees.debit)

    async def run(self, amount: Amount) -> int:
        await self.look(amount)
        await self.hold(amount)
        await self.review()
        return await self.pay(amount)


def banks() -> dict[str, Bank]:
    """What a payment needs."""
    return {"bank": behind_barrier(Bank()), "fees": Bank()}


VALUE = "a hundred"
FITS = Amount(cents=30)


async def refused(kind: type[SagaError] = SagaError, request: Any = FITS, **options: Any) -> str:
    """What `explore` says."""
    with pytest.raises(kind) as caught:
        await explore(Payment, request, **{"participants": banks, **options})
    assert type(caught.value) is kind
    return str(caught.value)


# -- values that do not fit --------------------------------------------------------------


async def test_a_request_to_explore_names_saga_id_and_field() -> None:
    """And says what to give; the value stays out of it."""
    assert (await refused(InvalidRequestError, {"cents": VALUE})).splitlines() == [
        "Payment explored: the request was refused and nothing was run; this does not fit Amount:",
        "  cents: Input should be a valid integer, unable to parse string as an integer",
        "Give what Payment.run takes.",
    ]


async def test_an_answer_names_its_decision_and_which_it_is() -> None:
    """With the words in which answers are given."""
    text = await refused(InvalidRequestError, decisions={Payment.review: [True, VALUE]})
    assert text.startswith("Payment explored: answer 2 of 2 to Payment.review was refused and nothing was run; ")
    assert text.endswith("Give answers that fit, as decisions={Payment.review: [...]}.")
    assert VALUE not in text


def test_a_request_to_a_story_names_saga_id_and_field() -> None:
    """As an engine would."""
    with pytest.raises(InvalidRequestError) as caught:
        given(Payment, {"cents": VALUE}, id="payment-42")
    assert str(caught.value).splitlines() == [
        "Payment payment-42: the request was refused and nothing was run; this does not fit Amount:",
        "  cents: Input should be a valid integer, unable to parse string as an integer",
        "Give what Payment.run takes.",
    ]


def test_an_id_of_a_story_names_the_saga() -> None:
    """And what to give instead."""
    with pytest.raises(InvalidIdError, match=r"^Payment: saga id 'a/b' holds '/'.*Give another `id=`, or none$"):
        given(Payment, FITS, id="a/b")


# -- arguments of another kind -----------------------------------------------------------


async def later() -> dict[str, object]:
    """Participants that come too late."""
    return {}


ARGUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "no limit": ({"limit": 0}, "limit is 0; give 1 or more, or None for all scenarios"),
    "a limit of another kind": ({"limit": "many"}, "limit is 'many'; give 1 or more"),
    "participants themselves": ({"participants": {}}, "give a function that returns them"),
    "participants that are awaited": ({"participants": later}, "give a function that returns them"),
    "an invariant that is none": ({"invariant": True}, "invariant is True; give a function of the participants"),
    "a decision that is none": (
        {"decisions": {"review": [True]}},
        "'review' is no decision of Payment; it declares Payment.review",
    ),
    "decisions without answers": ({"decisions": [Payment.review]}, "decisions is a list; give a mapping"),
    "an answer instead of answers": (
        {"decisions": {Payment.review: True}},
        "Payment.review is given bool as its answers; give a list, such as [True]",
    ),
    "a text instead of answers": ({"decisions": {Payment.review: "yes"}}, "give a list, such as [True]"),
}


@pytest.mark.parametrize("case", ARGUMENTS)
async def test_arguments_of_another_kind_are_refused(case: str) -> None:
    """The message says of which saga, that nothing was run, and of which kind they should be."""
    arguments, text = ARGUMENTS[case]
    message = await refused(**arguments)
    assert message.startswith("Payment cannot be explored, and nothing was run: ")
    assert text in message


# -- participants ------------------------------------------------------------------------


class Lazy:
    """Has nothing that a shelf has."""


async def test_missing_participants_are_named_all_at_once() -> None:
    """Those that are not there, and those that lack a method, each with the step that needs it."""
    with pytest.raises(ParticipantError) as caught:
        await explore(sagas.Transfer, 3, participants=lambda: {"shelf": Lazy()})
    lines = str(caught.value).splitlines()
    assert lines[0] == "Transfer cannot be explored with these participants, and nothing was run:"
    assert "  participant 'shelf', a Lazy, has no method 'put' (Transfer.debit)" in lines
    assert "  participant 'other' is missing (Transfer.credit)" in lines
    assert lines[-1] == "Give each by the name that the saga class gives it."


async def test_participants_of_another_kind_are_refused() -> None:
    """A mapping of names is what they are."""
    text = await refused(ParticipantError, participants=lambda: [Bank()])
    assert "they are a list; return a mapping, such as {'bank': Bank()}" in text


class Paying(Saga):
    """Nests what says nothing of a barrier."""

    payment = Nested(Payment).compensated_by(bank.refund)
    tell = Retriable(fees.look)

    async def run(self, amount: Amount) -> None:
        await self.payment(amount)


@pytest.mark.parametrize(
    ("saga", "steps"),
    [(Payment, ["Payment.pay"]), (Paying, ["Paying.tell", "Payment.pay"])],
    ids=["a saga", "what is nested in it"],
)
async def test_a_barrier_of_the_test_alone_is_refused(saga: Any, steps: list[str]) -> None:
    """A step that does not say `barrier=True` would be made safe by its test only; both ways out are told."""

    def guarded() -> dict[str, Bank]:
        return {"bank": behind_barrier(Bank()), "fees": behind_barrier(Bank())}

    with pytest.raises(ParticipantError) as caught:
        await explore(saga, FITS, participants=guarded)
    lines = str(caught.value).splitlines()
    assert sorted(lines[1:-1]) == [
        f"  {step} has no barrier=True, but participant 'fees' is behind_barrier" for step in steps
    ]
    assert "say barrier=True on the step; if it has none, give the fake without behind_barrier" in lines[-1]


async def test_a_barrier_that_is_declared_is_taken() -> None:
    """And so is one before a step that only reads."""
    report = await explore(Payment, FITS, participants=banks, decisions={Payment.review: [True]}, limit=5)
    assert report.scenarios == 5


async def test_a_bug_that_the_barrier_of_a_test_would_hide_is_found_without_it() -> None:
    """A lost answer makes the plain fake pay twice."""

    def pays_once(participants: Any, view: Any) -> bool:
        return bool(participants["fees"].cents in {70, 100})

    with pytest.raises(AssertionError, match="acted but its answer was lost"):
        await explore(Payment, FITS, participants=banks, decisions={Payment.review: [True]}, invariant=pays_once)


@pytest.mark.parametrize("tell", [lambda: given(object, 3), lambda: given(Bank, 3)], ids=["object", "a participant"])  # type: ignore[type-var]
def test_what_is_no_saga_is_refused(tell: Callable[[], object]) -> None:
    """By the name of what was given."""
    with pytest.raises(SagaError, match="is no saga class"):
        tell()
