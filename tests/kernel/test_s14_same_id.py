"""S14: the same id is the same saga; whether a request is the same is judged by today's model."""

import pytest
from pydantic import BaseModel

from saga.errors import JournalOrderError
from saga.kernel import Instance, codec_of
from tests.kernel._drive import Driven
from tests.kernel._sagas import Steps, transfer


class Request(BaseModel):
    """A request with a field that was added later."""

    amount: int
    currency: str = "EUR"


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ('{"amount":5,"currency":"EUR"}', True),
        ('{"currency":"EUR","amount":5}', True),
        ('{"amount": 5}', True),
        ('{"amount":5,"currency":"USD"}', False),
        ('{"amount":6}', False),
        ('{"total":5}', False),
        ("nonsense", False),
    ],
)
def test_two_requests_are_the_same_if_todays_model_reads_the_same(other: str, same: bool) -> None:
    """Neither the order of fields nor a default that was added makes another request."""
    assert codec_of(Request).same('{"amount":5,"currency":"EUR"}', other) is same


def test_an_instance_starts_once() -> None:
    """A second start in the same journal is out of order."""

    async def program(saga: Steps, amount: int) -> str:
        return await saga.debit(amount)

    driven = Driven(transfer(program))
    with pytest.raises(JournalOrderError, match="SagaStarted cannot happen while the instance is RUNNING"):
        Instance().fold_all([driven.facts[0], driven.facts[0]])


def test_an_instance_has_the_id_that_its_caller_gave() -> None:
    """It names the instance in the journal, in keys and in errors."""

    async def program(saga: Steps, amount: int) -> str:
        return await saga.debit(amount)

    assert Driven(transfer(program), id="order 7").instance.id == "order 7"
