"""Decisions, cancel and deadline: what somebody outside, or the clock, says to a running saga."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from saga import DecisionTimedOut, SagaCompensatedError
from saga.errors import ActRefusedError, InvalidRequestError, UnknownSagaError
from saga.kernel import Decision
from saga.kernel import _facts as f
from tests.embedded._shop import Booking, Purchase, Shop, hangs, waits_for
from tests.embedded.conftest import MakeEngine


class Reviewed(Purchase):
    """Asks once for every booking, then pays."""

    review = Decision(bool, within=timedelta(hours=1))

    async def run(self, bookings: int) -> list[str]:
        keys = []
        for number in range(bookings):
            keys.append(await self.book(number))
            if not await self.review():
                return [*keys, "refused"]
        return [*keys, await self.pay(0)]


class Hurried(Booking):
    """Gives nobody time to answer."""

    review = Decision(bool, within=timedelta(milliseconds=30))

    async def run(self, bookings: int) -> list[str]:
        keys = [await self.book(number) for number in range(bookings)]
        try:
            await self.review()
        except DecisionTimedOut:
            if bookings == 1:
                raise
        return keys


async def test_a_decision_lets_the_saga_go_on(make_engine: MakeEngine) -> None:
    """Who answered what is in the view."""
    async with make_engine(sagas=[Reviewed]) as engine:
        handle = await engine.start(Reviewed, 1, id="r-1")
        while not (await handle.view()).decisions:
            await asyncio.sleep(0.002)
        await handle.decide(Reviewed.review, answer=True, by="rita", why="looks good")
        assert await handle.result() == ["r-1/book.1", "r-1/pay.1"]
        [decision] = (await handle.view()).decisions
        [act] = (await handle.view()).acts
    assert (decision.call, decision.answer, decision.by) == ("review.1", "true", "rita")
    assert (act.act, act.by, act.why) == ("decide", "rita", "looks good")


async def test_an_early_answer_is_kept_and_a_second_one_is_ignored(make_engine: MakeEngine, shop: Shop) -> None:
    """Per call: the second use of the decision in `run` has an answer of its own (S19)."""
    gate = asyncio.Event()
    shop.before["book.1"] = [waits_for(gate)]
    async with make_engine(sagas=[Reviewed]) as engine:
        handle = await engine.start(Reviewed, 2, id="r-1")
        await handle.decide(Reviewed.review, answer=False, call=2, by="rita")
        await handle.decide(Reviewed.review, answer=True, by="rita")
        with pytest.raises(ActRefusedError, match="journaled and ignored, rita answered it already"):
            await handle.decide(Reviewed.review, answer=False, by="otto")
        gate.set()
        assert await handle.result() == ["r-1/book.1", "r-1/book.2", "refused"]
        ignored = [fact async for fact in handle.facts() if isinstance(fact, f.DecisionIgnored)]
        with pytest.raises(ActRefusedError, match="COMPLETED"):
            await handle.decide(Reviewed.review, answer=True, by="otto")
    assert [(fact.call, fact.by) for fact in ignored] == [("review.1", "otto")]


async def test_a_decision_that_nobody_makes_times_out(make_engine: MakeEngine, shop: Shop) -> None:
    """`run` may catch it; what it lets through starts backward recovery."""
    async with make_engine(sagas=[Hurried]) as engine:
        with pytest.raises(SagaCompensatedError, match="decision timed out.*review.1"):
            await engine.run(Hurried, 1, id="h-1")
        assert await engine.run(Hurried, 2, id="h-2") == ["h-2/book.1", "h-2/book.2"]
    assert shop.effects == {"h-2/book.1": 1, "h-2/book.2": 1}


async def test_a_decision_survives_the_engine(make_engine: MakeEngine, shop: Shop) -> None:
    """What was answered early is still there, and what is awaited is still awaited."""
    async with make_engine(sagas=[Reviewed]) as engine:
        handle = await engine.start(Reviewed, 2, id="r-1")
        await handle.decide(Reviewed.review, answer=True, call=2, by="rita")
    async with make_engine(sagas=[Reviewed]) as engine:
        handle = await engine.get(Reviewed, "r-1")
        await handle.decide(Reviewed.review, answer=True, by="rita")
        assert len(await handle.result()) == 3
    assert shop.repeated <= {"r-1/book.1"}
    assert set(shop.effects.values()) == {1}


async def test_a_decision_that_makes_no_sense_is_refused(make_engine: MakeEngine, shop: Shop) -> None:
    """One that is not declared, an answer of another type, a call that there cannot be, an author without a name."""
    shop.before["book.1"] = [hangs]
    undeclared = Decision(bool, within=timedelta(hours=1))
    undeclared.name = "approval"
    async with make_engine(sagas=[Reviewed], grace=timedelta(0)) as engine:
        handle = await engine.start(Reviewed, 1, id="r-1")
        with pytest.raises(UnknownSagaError, match="declares no decision 'approval'"):
            await handle.decide(undeclared, answer=True, by="rita")
        with pytest.raises(InvalidRequestError, match="bool"):
            await handle.decide(Reviewed.review, answer="perhaps", by="rita")  # type: ignore[arg-type]
        with pytest.raises(InvalidRequestError, match="from 1"):
            await handle.decide(Reviewed.review, answer=True, call=0, by="rita")
        with pytest.raises(InvalidRequestError, match="by"):
            await handle.decide(Reviewed.review, answer=True, by="r" * 300)
        assert (await handle.view()).acts == ()
