"""The handle: what it asks of its engine, and what it refuses before it asks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from saga import DecisionTimedOut, DidNotHappen, Happened, SagaCompensatedError, SagaHandle, SagaStuckError
from saga.errors import ActRefusedError, InvalidRequestError, UnknownSagaError
from saga.kernel import Cancel, Decide, Fact, Instance, Resolve, RetryRequest, Skip
from saga.kernel._requests import Abort, Request
from tests.kernel._drive import START, Driven
from tests.kernel._sagas import Steps, Tentative, transfer
from tests.kernel.test_s16_nested import Business, Payment, ordered


async def straight(saga: Steps, amount: int) -> str:
    await saga.debit(amount)
    return await saga.credit(amount)


async def asks(saga: Steps, amount: int) -> str:
    return str(await saga.review()) + await saga.debit(amount)


async def works_first(saga: Steps, amount: int) -> str:
    return await saga.debit(amount) + str(await saga.review())


async def waits_twice(saga: Steps, amount: int) -> str:
    try:
        return str(await saga.review())
    except DecisionTimedOut:
        return await saga.debit(amount)


class Journal:
    """An engine that holds one instance, and keeps what it was sent."""

    def __init__(self, driven: Driven) -> None:
        self.driven = driven
        self.sent: list[Request] = []

    async def journal(self, id: str) -> list[Fact]:
        """Return its facts."""
        return self.driven.facts

    async def send(self, id: str, request: Request) -> None:
        """Keep the request, and take answers to decisions."""
        self.sent.append(request)
        if isinstance(request, Decide):
            self.driven.ask(request)

    async def at_rest(self, id: str) -> Instance:
        """It rests already."""
        return self.driven.instance

    async def follow(self, id: str) -> AsyncIterator[Fact]:
        """Yield its facts."""
        for fact in self.driven.facts:
            yield fact


Transfer = transfer(straight)


def handle_of(driven: Driven) -> tuple[SagaHandle[Any], list[Request]]:
    """A handle, and what it sends."""
    journal = Journal(driven)
    return SagaHandle(journal, driven.definition, "transfer-42"), journal.sent


async def test_the_result_of_a_completed_instance_is_decoded() -> None:
    """By the type that `run` returns."""
    handle, _ = handle_of(Driven(Transfer).done("debit.1", '"p"').done("credit.1", '"c"'))
    assert await handle.result() == "c"


async def test_the_result_of_a_compensated_instance_is_its_error() -> None:
    """With the reason."""
    handle, _ = handle_of(Driven(Transfer).rejected("debit.1"))
    with pytest.raises(SagaCompensatedError) as caught:
        await handle.result()
    assert (caught.value.reason, caught.value.step) == ("rejected", "debit.1")


async def test_the_result_of_a_stuck_instance_is_its_page() -> None:
    """An operator has to act."""
    handle, _ = handle_of(Driven(Transfer).in_doubt("debit.1", overdue=True))
    with pytest.raises(SagaStuckError, match="saga resolve transfer-42 debit.1"):
        await handle.result()


async def test_the_facts_are_a_stream() -> None:
    """From the first on."""
    handle, _ = handle_of(Driven(Transfer))
    assert [fact.fact async for fact in handle.facts()] == ["SagaStarted", "CallRegistered"]


async def test_acts_become_requests() -> None:
    """With names, payloads, who and why."""
    handle, sent = handle_of(Driven(Transfer))
    await handle.decide(Steps.review, answer=True, by="rita")
    await handle.resolve(Steps.credit, Happened(output="c"), call=2, by="olga", why="saw it")
    await handle.resolve(Steps.credit, DidNotHappen(), by="olga", why="looked")
    await handle.skip(Steps.debit, by="olga", why="by hand")
    await handle.retry(by="olga", why="fixed")
    await handle.abort(by="olga", why="hopeless")
    await handle.cancel(by="anna", why="changed my mind")
    assert sent == [
        Decide(call="review.1", payload="true", by="rita"),
        Resolve(call="credit.2", finding="happened", payload='"c"', by="olga", why="saw it"),
        Resolve(call="credit.1", finding="did_not_happen", by="olga", why="looked"),
        Skip(call="debit.1", by="olga", why="by hand"),
        RetryRequest(by="olga", why="fixed"),
        Abort(by="olga", why="hopeless"),
        Cancel(by="anna", why="changed my mind"),
    ]


async def test_a_call_that_was_handed_over_is_named_by_the_call_that_ran_its_saga() -> None:
    """As it stands on the page."""
    handle, sent = handle_of(ordered())
    await handle.skip(Payment.debit, within="pay.1", by="olga", why="by hand")
    await handle.resolve(Payment.fee, Happened(output="f"), call=2, within="pay.1", by="olga", why="saw it")
    assert sent == [
        Skip(call="pay.1/debit.1", by="olga", why="by hand"),
        Resolve(call="pay.1/fee.2", finding="happened", payload='"f"', by="olga", why="saw it"),
    ]


async def test_a_nested_saga_with_a_compensation_of_its_own_is_skipped_like_a_step() -> None:
    """It was compensated by hand as a whole."""
    handle, sent = handle_of(Driven(Business))
    await handle.skip(Business.order, by="olga", why="by hand")
    assert sent == [Skip(call="order.1", by="olga", why="by hand")]


@pytest.mark.parametrize("within", ["pay", "pay.0", "/pay.1", "pay.1/", "pay.x"])
async def test_within_names_calls(within: str) -> None:
    """Not steps."""
    handle, _ = handle_of(ordered())
    with pytest.raises(InvalidRequestError, match=r"such as pay\.1"):
        await handle.skip(Payment.debit, within=within, by="olga", why="by hand")


async def test_a_step_that_the_nested_saga_does_not_have_is_refused() -> None:
    """With those that it has."""
    handle, _ = handle_of(ordered())
    with pytest.raises(UnknownSagaError, match="Payment has no step 'hold'; it has rate, debit, fee"):
        await handle.skip(Tentative.hold, within="pay.1", by="olga", why="x")
    with pytest.raises(UnknownSagaError, match=r"Order has no nested saga 'debit\.1'"):
        await handle.skip(Payment.debit, within="debit.1", by="olga", why="x")


async def test_an_act_carries_how_much_was_seen() -> None:
    """The view that the operator looked at."""
    handle, sent = handle_of(Driven(Transfer))
    view = await handle.view()
    await handle.retry(by="olga", why="fixed", seen=view)
    await handle.skip(Steps.debit, by="olga", why="by hand", seen=view)
    assert [getattr(one, "seen", None) for one in sent] == [2, 2]
    other = view.model_copy(update={"id": "transfer-43"})
    with pytest.raises(InvalidRequestError, match="transfer-42: seen is a view of transfer-43"):
        await handle.abort(by="olga", why="hopeless", seen=other)


async def test_the_reply_to_a_decision_tells_whether_run_has_asked() -> None:
    """An early answer is kept for a call that may never come."""
    handle, _ = handle_of(Driven(transfer(asks)))
    early = await handle.decide(Steps.review, answer=True, call=99, by="rita")
    assert (early.call, early.due, early.answer) == ("review.99", None, "true")
    awaited = await handle.decide(Steps.review, answer=True, by="rita")
    assert (awaited.due, awaited.by) == (START + timedelta(hours=1), "rita")


async def test_an_answer_that_is_ignored_is_told() -> None:
    """It is in the journal, and nothing follows from it."""
    handle, _ = handle_of(Driven(transfer(works_first)))
    await handle.decide(Steps.review, answer=True, by="rita")
    assert (await handle.decide(Steps.review, answer=True, by="rita")).answer == "true"  # the same again is no error
    with pytest.raises(ActRefusedError, match=r"RUNNING: the answer to review\.1 is .* ignored, rita answered it al"):
        await handle.decide(Steps.review, answer=False, by="paul")


async def test_an_answer_to_an_instance_that_was_purged_meanwhile_counts() -> None:
    """It was durable before; there is nothing left to read."""

    class Purged(Journal):
        async def journal(self, id: str) -> list[Fact]:
            raise UnknownSagaError(id)

    driven = Driven(transfer(asks))
    handle: SagaHandle[Any] = SagaHandle(Purged(driven), driven.definition, "transfer-42")
    assert (await handle.decide(Steps.review, answer=True, by="rita")).answer == "true"


async def test_an_answer_that_came_too_late_is_told() -> None:
    """Time was up, or the saga compensates."""
    handle, _ = handle_of(Driven(transfer(waits_twice)).fire("review.1"))
    with pytest.raises(ActRefusedError, match="its time was up"):
        await handle.decide(Steps.review, answer=True, by="rita")
    handle, _ = handle_of(Driven(transfer(works_first)).cancel())
    with pytest.raises(ActRefusedError, match="the saga compensates"):
        await handle.decide(Steps.review, answer=True, by="rita")


async def test_a_decision_that_the_class_does_not_declare_is_refused() -> None:
    """With those that it does."""
    from saga import Decision, Saga  # noqa: PLC0415 - only here

    class Other(Saga):
        approval = Decision(bool, within=timedelta(hours=1))

        async def run(self, request: int) -> str:
            return ""

    handle, sent = handle_of(Driven(Transfer))
    with pytest.raises(UnknownSagaError, match="Transfer transfer-42 declares no decision 'approval'"):
        await handle.decide(Other.approval, answer=True, by="rita")
    assert sent == []


async def test_a_step_that_the_class_does_not_have_is_refused() -> None:
    """With those that it has."""
    handle, sent = handle_of(Driven(Transfer))
    with pytest.raises(UnknownSagaError, match="Transfer has no step 'hold'; it has rate, debit"):
        await handle.resolve(Tentative.hold, DidNotHappen(), by="olga", why="x")
    with pytest.raises(UnknownSagaError, match="Transfer has no step 'hold'"):
        await handle.skip(Tentative.hold, by="olga", why="x")
    assert sent == []


async def test_an_output_or_answer_of_the_wrong_type_is_refused() -> None:
    """Before anything is sent."""
    handle, sent = handle_of(Driven(Transfer))
    with pytest.raises(InvalidRequestError, match="does not fit str"):
        await handle.resolve(Steps.credit, Happened(output=5), by="olga", why="x")  # type: ignore[misc]  # wrong on purpose
    with pytest.raises(InvalidRequestError, match="does not fit bool"):
        await handle.decide(Steps.review, "maybe", by="rita")  # type: ignore[misc]  # as above
    assert sent == []


@pytest.mark.parametrize("call", [0, -1, True, "1", 1.0])
async def test_a_call_is_a_number_from_one(call: Any) -> None:
    """Anything else names no call."""
    handle, _ = handle_of(Driven(Transfer))
    with pytest.raises(InvalidRequestError, match="from 1"):
        await handle.skip(Steps.debit, call=call, by="olga", why="x")


async def test_words_that_are_too_long_are_refused() -> None:
    """With the field that is at fault."""
    handle, _ = handle_of(Driven(Transfer))
    with pytest.raises(InvalidRequestError, match="transfer-42: why: "):
        await handle.retry(by="olga", why="x" * 2001)


async def test_the_view_is_what_the_journal_tells() -> None:
    """Durable facts, nothing else."""
    handle, _ = handle_of(Driven(Transfer).done("debit.1", '"p"'))
    view = await handle.view()
    assert [(call.name, call.state) for call in view.calls] == [("debit.1", "done"), ("credit.1", "in flight")]
    assert repr(handle) == "SagaHandle(Transfer transfer-42)"


async def test_what_is_refused_names_the_instance_and_says_that_nothing_was_sent() -> None:
    """An operator has many windows open."""
    handle, sent = handle_of(Driven(Transfer))
    wrong: Any = "maybe"
    with pytest.raises(InvalidRequestError, match=r"Transfer transfer-42: the answer to review.1 .* nothing was sent"):
        await handle.decide(Transfer.review, wrong, by="ann")
    with pytest.raises(InvalidRequestError, match=r"Transfer transfer-42: call counts .* nothing was sent"):
        await handle.decide(Transfer.review, True, call=0, by="ann")
    assert sent == []
