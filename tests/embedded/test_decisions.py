"""Decisions, cancel and deadline: what somebody outside, or the clock, says to a running saga."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from saga import DecisionTimedOut, Retry, SagaCompensatedError, SagaState
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


class Short(Booking):
    """Has little time."""

    deadline = timedelta(milliseconds=60)


async def until_delivered(shop: Shop, key: str) -> None:
    """Wait until an activity has begun."""
    while key not in shop.deliveries:
        await asyncio.sleep(0.002)


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


@pytest.mark.peer("LRA-40", "LRA-41", "RST-20")
async def test_cancel_compensates_what_was_done(make_engine: MakeEngine, shop: Shop) -> None:
    """The running activity is asked to stop, its call is compensated as one in doubt."""
    shop.before["book.2"] = [hangs]
    async with make_engine() as engine:
        handle = await engine.start(Purchase, 3, id="p-1")
        await until_delivered(shop, "p-1/book.2")
        await handle.cancel(by="anna", why="changed her mind")
        with pytest.raises(SagaCompensatedError, match="cancelled.*changed her mind"):
            await handle.result()
        with pytest.raises(ActRefusedError, match="COMPENSATED"):
            await handle.cancel()
    assert shop.effects == {}
    assert shop.deliveries[2:] == ["p-1/book.2/compensation", "p-1/book.1/compensation"]


@pytest.mark.parametrize("bookings", [1, 3])
async def test_a_cancel_while_the_next_step_is_being_registered(
    make_engine: MakeEngine, shop: Shop, monkeypatch: pytest.MonkeyPatch, bookings: int
) -> None:
    """The step is not started any more, and nothing waits for it."""
    async with make_engine() as engine:
        stage = engine._open.stage  # type: ignore[union-attr]
        submit = stage.submit
        held: list[tuple[object, ...]] = []
        monkeypatch.setattr(stage, "submit", lambda *batch: held.append(batch))
        starting = asyncio.create_task(engine.run(Purchase, bookings, id="p-1"))
        while "p-1" not in stage.drives or not held:
            await asyncio.sleep(0)
        cancelling = asyncio.create_task((_handle(engine, "p-1")).cancel())
        while len(held) < 2:
            await asyncio.sleep(0)
        monkeypatch.undo()
        for batch in held:
            submit(*batch)
        await cancelling
        with pytest.raises(SagaCompensatedError, match="cancelled"):
            await starting
    assert shop.deliveries == []


def _handle(engine, id: str):  # type: ignore[no-untyped-def]
    from saga.kernel import SagaHandle, definition_of  # noqa: PLC0415

    return SagaHandle(engine._open.stage.journals, definition_of(Purchase), id)


async def test_a_second_cancel_changes_nothing(make_engine: MakeEngine, shop: Shop) -> None:
    """Backward recovery cannot be stopped: a cancel is noted, and that is all (S6)."""
    gate = asyncio.Event()
    shop.before["book.2"] = [hangs]
    shop.before["book.2/compensation"] = [waits_for(gate)]
    async with make_engine() as engine:
        handle = await engine.start(Purchase, 2, id="p-1")
        await until_delivered(shop, "p-1/book.2")
        await handle.cancel()
        await until_delivered(shop, "p-1/book.2/compensation")
        await handle.cancel()
        assert (await handle.view()).state is SagaState.COMPENSATING
        gate.set()
        with pytest.raises(SagaCompensatedError):
            await handle.result()
    assert shop.effects == {}
    assert shop.deliveries.count("p-1/book.2/compensation") == 1


async def test_a_cancel_after_the_pivot_is_only_noted(make_engine: MakeEngine, shop: Shop) -> None:
    """The saga goes on forward (S7)."""
    gate = asyncio.Event()
    shop.before["ship.1"] = [waits_for(gate)]
    async with make_engine() as engine:
        handle = await engine.start(Purchase, 1, id="p-1")
        await until_delivered(shop, "p-1/ship.1")
        await handle.cancel()
        gate.set()
        assert len(await handle.result()) == 3
        assert [act.act for act in (await handle.view()).acts] == ["cancel"]


@pytest.mark.peer("DTM-23", "DBO-12")
async def test_the_deadline_starts_backward_recovery(make_engine: MakeEngine, shop: Shop) -> None:
    """Also where a step hangs."""
    shop.before["book.2"] = [hangs]
    async with make_engine(sagas=[Short]) as engine:
        with pytest.raises(SagaCompensatedError, match="deadline"):
            await engine.run(Short, 2, id="s-1")
    assert shop.effects == {}


async def test_the_deadline_holds_across_engines(make_engine: MakeEngine, shop: Shop) -> None:
    """It is when it was: the next engine finds it passed."""
    shop.before["book.1"] = [hangs, hangs]
    async with make_engine(sagas=[Short], grace=timedelta(0)) as engine:
        await engine.start(Short, 1, id="s-1")
        await until_delivered(shop, "s-1/book.1")
    await asyncio.sleep(0.06)
    async with make_engine(sagas=[Short]) as engine:
        handle = await engine.get(Short, "s-1")
        with pytest.raises(SagaCompensatedError, match="deadline"):
            await handle.result()
    assert shop.effects == {}


async def test_the_deadline_does_not_reach_backward_recovery(make_engine: MakeEngine, shop: Shop) -> None:
    """Compensations have all the time that they need (S11)."""
    gate = asyncio.Event()
    shop.before["book.2"] = [hangs]
    shop.before["book.1/compensation"] = [waits_for(gate)]
    async with make_engine(sagas=[Short]) as engine:
        handle = await engine.start(Short, 2, id="s-1")
        await until_delivered(shop, "s-1/book.2")
        await handle.cancel()
        await asyncio.sleep(0.08)
        gate.set()
        with pytest.raises(SagaCompensatedError, match="cancelled"):
            await handle.result()


@pytest.mark.peer("DTM-28")
async def test_a_sleep_is_not_begun_again_by_the_next_engine(make_engine: MakeEngine, shop: Shop) -> None:
    """Its due time is journaled."""

    class Sleepy(Booking):
        async def run(self, bookings: int) -> list[str]:
            await self.sleep(timedelta(seconds=0.1))
            return [await self.book(0)]

    async with make_engine(sagas=[Sleepy]) as engine:
        await engine.start(Sleepy, 1, id="s-1")
    async with make_engine(sagas=[Sleepy]) as engine:
        handle = await engine.get(Sleepy, "s-1")
        assert await handle.result() == ["s-1/book.1"]
        facts = [fact async for fact in handle.facts()]
    [due] = [fact.due for fact in facts if isinstance(fact, f.TimerSet)]
    [fired] = [fact.at for fact in facts if isinstance(fact, f.TimerFired)]
    assert due <= fired
    assert due - facts[0].at == timedelta(seconds=0.1)


async def test_an_alarm_that_rings_early_rings_again(make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop's clock and the engine's may differ by a little; the timer is not lost."""

    class Sleepy(Booking):
        async def run(self, bookings: int) -> list[str]:
            await self.sleep(timedelta(seconds=0.05))
            return []

    async with make_engine(sagas=[Sleepy]) as engine:
        stage = engine._open.stage  # type: ignore[union-attr]
        early = [timedelta(seconds=0.04)]
        tick = stage.tick
        monkeypatch.setattr(
            stage, "tick", lambda drive, due: tick(drive, due - (early.pop() if early else 0 * due.resolution))
        )
        assert await engine.run(Sleepy, 0, id="s-1") == []
    assert early == []


async def test_a_policy_without_limit_stops_at_a_cancel(make_engine: MakeEngine, shop: Shop) -> None:
    """A step that keeps failing is asked to stop between two attempts."""

    class Keen(Booking):
        book = Booking.book._with(*_endless())

    shop.before["book.1"] = [ConnectionError("lost")] * 10_000
    async with make_engine(sagas=[Keen]) as engine:
        handle = await engine.start(Keen, 1, id="k-1")
        while shop.deliveries.count("k-1/book.1") < 3:
            await asyncio.sleep(0.002)
        await handle.cancel()
        with pytest.raises(SagaCompensatedError):
            await handle.result()
    assert shop.effects == {}


def _endless():  # type: ignore[no-untyped-def]
    from dataclasses import replace  # noqa: PLC0415

    from saga.kernel import Role  # noqa: PLC0415

    part = Booking.book.parts[Role.ACTION]
    retry = Retry(attempts=None, first=timedelta(milliseconds=1), factor=1.0)
    return Role.ACTION, replace(part, policy=replace(part.policy, retry=retry))
