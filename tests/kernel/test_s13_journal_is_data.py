"""S13: the journal is data: payloads beside the facts, and none above the limit."""

import json
from typing import get_args

import pytest
from pydantic import BaseModel, Field

from saga import Compensatable, Effect, Saga
from saga.errors import InvalidRequestError, PayloadTooLargeError
from saga.kernel import _facts as f
from saga.kernel import encode_fact
from tests.kernel._drive import Driven
from tests.kernel._sagas import Steps, transfer


async def straight(saga: Steps, amount: int) -> str:
    await saga.debit(amount)
    return await saga.credit(amount)


def big(saga: type[Steps]) -> Driven:
    """An instance whose journal takes 20 bytes per payload."""
    return Driven(saga, payload_limit=20)


def test_no_fact_holds_a_payload_in_its_body() -> None:
    """Payloads are stored beside, so that they can be encrypted while instances stay listable."""
    driven = Driven(transfer(straight), request="77777").done("debit.1", '"secret"').done("credit.1", '"hidden"')
    bodies = [encode_fact(fact) for fact in driven.facts]
    assert not any("77777" in body or "secret" in body or "hidden" in body for body in bodies)
    assert [fact.payload for fact in driven.facts] == ["77777", "77777", '"secret"', "77777", '"hidden"', '"hidden"']


def test_facts_are_small() -> None:
    """What is not set is not written."""
    driven = Driven(transfer(straight)).done("debit.1", '"p"')
    body = encode_fact(driven.facts[-2])
    assert json.loads(body).keys() == {"at", "fact", "call", "attempts"}
    assert max(len(encode_fact(fact)) for fact in driven.facts) < 200


def test_an_input_above_the_limit_is_refused_with_the_steps_name() -> None:
    """Where `run` calls the step; nothing is registered."""

    class Transfer(Saga):
        notify = Steps.notify

        async def run(self, request: int) -> str:
            await self.notify("x" * 100)
            return ""

    driven = Driven(Transfer, payload_limit=20)
    failure = driven.instance.stuck[0].failure
    assert failure is not None
    assert failure.type == "PayloadTooLargeError"
    assert failure.message.startswith("Transfer transfer-42 notify: 102 bytes of JSON, the limit is 20")


def test_the_limit_counts_bytes_and_not_characters() -> None:
    """Twelve characters can be thirty bytes."""

    class Transfer(Saga):
        notify = Steps.notify

        async def run(self, request: int) -> str:
            await self.notify("€" * 10)
            return ""

    assert Driven(Transfer, payload_limit=20).state == "STUCK"
    assert Driven(Transfer, payload_limit=32).state == "RUNNING"


def test_a_result_above_the_limit_is_refused() -> None:
    """It is a payload like the others."""

    async def program(saga: Steps, amount: int) -> str:
        return "x" * 100

    failure = big(transfer(program)).instance.stuck[0].failure
    assert failure is not None
    assert "Transfer transfer-42 run" in failure.message


def test_an_answer_above_the_limit_is_refused() -> None:
    """Before it is a fact."""
    driven = big(transfer(straight))
    with pytest.raises(PayloadTooLargeError, match="review.1"):
        driven.decide("review.1", " " * 30 + "true")


def test_an_operators_output_above_the_limit_is_refused() -> None:
    """Before it is a fact."""
    driven = big(transfer(straight)).in_doubt("debit.1", overdue=True)
    with pytest.raises(PayloadTooLargeError, match="debit.1"):
        driven.resolve_happened("debit.1", json.dumps("x" * 30))


class Account(BaseModel):
    """A model whose fields have other names outside."""

    number: str = Field(alias="accountNumber")


def test_models_with_aliases_survive_the_journal() -> None:
    """What was written can be read, by the names that the model has outside."""

    def debit(account: Account) -> Account:
        raise NotImplementedError

    def refund(effect: Effect[Account, Account]) -> None:
        raise NotImplementedError

    class Transfer(Saga):
        debit_it = Compensatable(debit).compensated_by(refund)

        async def run(self, request: Account) -> Account:
            return await self.debit_it(request)

    driven = Driven(Transfer, request='{"accountNumber":"nl-1"}')
    assert driven.payload("debit_it.1") == '{"accountNumber":"nl-1"}'
    driven.done("debit_it.1", '{"accountNumber":"nl-2"}')
    assert driven.result == '{"accountNumber":"nl-2"}'


def test_an_error_about_a_payload_shows_paths_and_no_values() -> None:
    """Values may be secret."""
    codec = Driven(transfer(straight)).definition.request
    with pytest.raises(InvalidRequestError) as caught:
        codec.decode('"top secret"')
    assert "secret" not in str(caught.value)
    assert "(value)" in str(caught.value)


def test_every_kind_of_fact_says_what_it_is_in_a_replay() -> None:
    """From outside, concluded, or for readers only."""
    kinds = {kind: kind.role_in_replay for kind in get_args(f.Fact)}
    assert len(kinds) == 24
    assert {kind.__name__ for kind, role in kinds.items() if role is f.FactKind.NOTE} == {"AttemptFailed"}
