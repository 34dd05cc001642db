"""Time limits of attempts, activities that go on beyond them, and activities that are asked to stop (S5)."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest

from saga import (
    Compensatable,
    EmbeddedEngine,
    ReadOnly,
    Retry,
    Saga,
    SagaCompensatedError,
    SagaStuckError,
    StepInDoubt,
    current_step,
)
from saga.kernel import _facts as f
from tests.embedded._scripted import (
    ONCE,
    SOON,
    Acting,
    ActingInThread,
    Enduring,
    Scripted,
    Settling,
    Unsettled,
    act,
    facts_of,
    in_turn,
    raises_always,
    take_back,
)
from tests.embedded._shop import Shop, hangs
from tests.embedded._shop import shop as stand_in
from tests.embedded.conftest import MakeEngine

BOTH = pytest.mark.parametrize("saga", [Acting, ActingInThread])


@BOTH
async def test_an_attempt_is_given_up_at_its_time_limit(
    make_engine: MakeEngine, scripted: Scripted, saga: type[Acting]
) -> None:
    """Whether it can be stopped or not; the next attempt follows, and both journals say that it was overdue."""
    release = threading.Event()
    slow = [True]

    def wait() -> Any:
        if not slow.pop() if slow else True:
            return None
        return asyncio.Event().wait() if saga is Acting else release.wait(5)

    scripted.act = wait
    async with make_engine(sagas=[saga]) as engine:
        assert await engine.run(saga, 7, id="a-1") == 7
        facts = await facts_of(engine, saga, "a-1")
        release.set()
    assert scripted.noted == ["act.1#1", "act.1#2"]
    failed = [fact for fact in facts if isinstance(fact, f.AttemptFailed)]
    assert [(fact.failure.type, fact.overdue) for fact in failed] == [("TimeoutError", True)]
    done = next(fact for fact in facts if isinstance(fact, f.CallDone))
    assert done.overdue_at is not None


@pytest.mark.peer("DTM-24")
async def test_a_longer_time_limit_is_honoured_beside_a_shorter_one(make_engine: MakeEngine) -> None:
    """One alarm serves them all, and rings for each at its own time."""
    async with make_engine(sagas=[Patient]) as engine:
        assert await engine.run(Patient, 7, id="p-1") == "short gave up"


async def pause(seconds: float) -> float:
    """Take so long."""
    await asyncio.sleep(seconds)
    return seconds


class Patient(Saga):
    """Two steps at the same time, one with a short limit and one with a long limit."""

    short = ReadOnly(pause, timeout=timedelta(milliseconds=20), retry=ONCE)
    long = ReadOnly(pause, timeout=timedelta(seconds=20), retry=ONCE)

    async def run(self, number: int) -> str:
        slow = asyncio.create_task(self.long(0.1))
        try:
            await self.short(10)
        except StepInDoubt:
            await slow
            return "short gave up"
        return "short was awaited"


async def test_an_action_that_may_still_act_is_not_compensated(make_engine: MakeEngine, scripted: Scripted) -> None:
    """Nothing says when it has stopped, so an operator has to (S5)."""
    scripted.act = hangs
    async with make_engine(sagas=[Unsettled]) as engine:
        with pytest.raises(SagaStuckError, match="may still be acting"):
            await engine.run(Unsettled, 7, id="u-1")
        assert scripted.noted == ["act.1#1"]


async def test_the_settle_time_is_waited_for(make_engine: MakeEngine, scripted: Scripted) -> None:
    """The compensation registers no earlier than the time limit plus the settle time."""
    scripted.act = hangs
    async with make_engine(sagas=[Settling]) as engine:
        with pytest.raises(SagaCompensatedError):
            await engine.run(Settling, 7, id="s-1")
        facts = await facts_of(engine, Settling, "s-1")
    overdue = next(fact for fact in facts if isinstance(fact, f.CallInDoubt)).overdue_at
    compensation = next(fact for fact in facts if isinstance(fact, f.CallRegistered) and "/" in fact.call)
    assert overdue is not None
    assert compensation.at - overdue >= 2 * SOON
    assert scripted.noted == ["act.1#1", "in doubt"]


@pytest.mark.peer("NEW-07", "DTM-33")
async def test_a_late_effect_after_its_compensation_changes_nothing(journal_url: str) -> None:
    """The action's time limit passed, it is compensated, and then it arrives: the barrier refuses it."""
    shop = SlowShop()
    async with EmbeddedEngine(journal_url, sagas=[Hasty], participants={"shop": shop}) as engine:
        with pytest.raises(SagaCompensatedError, match="in doubt"):
            await engine.run(Hasty, 1, id="h-1")
        assert shop.arrived == []
        shop.release.set()
        while not shop.arrived:
            await asyncio.sleep(0.005)
    assert shop.arrived == ["h-1/book.1 was refused"]
    assert shop.effects == {}


class SlowShop(Shop):
    """Its bookings arrive when the test lets them, in threads that nobody can stop."""

    def __init__(self) -> None:
        super().__init__()
        self.release = threading.Event()
        self.arrived: list[str] = []

    def book(self, number: int) -> str:  # type: ignore[override]  # an activity need not be async
        """Take something, late."""
        key = current_step().key
        self.release.wait(10)
        late = key in self._compensated
        self.arrived.append(f"{key} was {'refused' if late else 'done'}")
        if not late:
            self._effects[key] += 1
        return key


class Hasty(Saga):
    """Does not wait long for a booking."""

    book = Compensatable(stand_in.book, timeout=SOON, retry=ONCE, barrier=True).compensated_by(stand_in.unbook)

    async def run(self, bookings: int) -> str:
        return await self.book(0)


async def test_an_activity_that_swallows_its_cancellation_answers_all_the_same(
    make_engine: MakeEngine, scripted: Scripted
) -> None:
    """It returned by itself after its time limit: that is done, and the call needs no other attempt."""

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass

    scripted.act = stubborn
    async with make_engine(sagas=[Acting]) as engine:
        assert await engine.run(Acting, 7, id="a-1") == 7
    assert scripted.noted == ["act.1#1"]


async def test_a_time_limit_that_was_turned_into_another_error_leaves_the_next_attempt_alone(
    make_engine: MakeEngine, scripted: Scripted
) -> None:
    """The next attempt may cancel itself without being taken for one that was asked to stop."""

    async def turns() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError("closed") from None

    scripted.act = in_turn(turns, raises_always(asyncio.CancelledError()))
    async with make_engine(sagas=[Acting]) as engine:
        assert await engine.run(Acting, 7, id="a-1") == 7
    assert scripted.noted == ["act.1#1", "act.1#2", "act.1#3"]


@pytest.mark.peer("TFE-30")
async def test_an_activity_that_was_asked_to_stop_is_not_tried_again(
    make_engine: MakeEngine, scripted: Scripted
) -> None:
    """Whatever it makes of the cancellation; it is compensated as one in doubt (S5)."""

    async def turns() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError("closed") from None

    scripted.act = turns
    async with make_engine(sagas=[Enduring]) as engine:
        handle = await engine.start(Enduring, 7, id="e-1")
        while not scripted.noted:
            await asyncio.sleep(0.005)
        await handle.cancel(by="anna", why="changed her mind")
        with pytest.raises(SagaCompensatedError, match="cancelled"):
            await handle.result()
    assert scripted.noted == ["act.1#1", "in doubt"]


async def test_a_stop_that_meets_the_time_limit_is_not_lost(make_engine: MakeEngine, scripted: Scripted) -> None:
    """The activity is still cleaning up after its time limit when backward recovery asks it to stop."""
    cleaning, clean = asyncio.Event(), asyncio.Event()

    async def cleans_up() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await clean.wait()

    class Limited(Enduring):
        act = Compensatable(
            act, timeout=SOON, retry=Retry(attempts=None, first=timedelta(0)), safe_to_overtake=True
        ).compensated_by(take_back)

        async def run(self, number: int) -> int:
            return await self.act(number)

    scripted.act = cleans_up
    async with make_engine(sagas=[Limited]) as engine:
        handle = await engine.start(Limited, 7, id="l-1")
        await cleaning.wait()
        await handle.cancel()
        clean.set()
        with pytest.raises(SagaCompensatedError):
            await handle.result()
    assert scripted.noted == ["act.1#1", "in doubt"]


async def test_a_stop_between_two_attempts_ends_the_wait(make_engine: MakeEngine, scripted: Scripted) -> None:
    """Nobody waits an hour for an attempt that is not wanted any more."""

    class Slow(Saga):
        act = Compensatable(
            act, retry=Retry(attempts=2, first=timedelta(hours=1), cap=timedelta(hours=1)), safe_to_overtake=True
        ).compensated_by(take_back)

        async def run(self, number: int) -> int:
            return await self.act(number)

    scripted.act = raises_always(ConnectionError("lost"))
    async with make_engine(sagas=[Slow]) as engine:
        handle = await engine.start(Slow, 7, id="s-1")
        while (await handle.view()).calls[0].failure is None:
            await asyncio.sleep(0.005)
        await handle.cancel()
        with pytest.raises(SagaCompensatedError):
            await handle.result()
    assert scripted.noted == ["act.1#1", "in doubt"]


async def test_a_thread_that_hangs_holds_up_neither_other_activities_nor_the_end(
    make_engine: MakeEngine, scripted: Scripted
) -> None:
    """The engine leaves, and the next one goes on with the instance."""
    release = threading.Event()
    scripted.act = lambda: release.wait(20) if len(scripted.noted) == 1 else None
    async with make_engine(sagas=[ActingInThread], grace=timedelta(0), threads=4) as engine:
        handle = await engine.start(ActingInThread, 1, id="a-1")
        while not scripted.noted:
            await asyncio.sleep(0.005)
        assert await engine.run(ActingInThread, 2, id="a-2") == 2
    async with make_engine(sagas=[ActingInThread]) as engine:
        handle = await engine.get(ActingInThread, "a-1")
        assert await handle.result() == 1
    release.set()
