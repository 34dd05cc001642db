"""Performing activities: threads, time limits, retries, rejections, doubt, and whatever an activity may raise."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from saga import (
    Compensatable,
    Effect,
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
from tests.embedded._shop import FAST, Purchase, Shop, SoldOutError, hangs
from tests.embedded._shop import shop as stand_in
from tests.embedded.conftest import MakeEngine

SOON = timedelta(milliseconds=50)
ONCE = Retry(attempts=1)


class Scripted:
    """What the activities below do, and what they noted; a test fills it."""

    def __init__(self) -> None:
        self.act: Callable[[], Any] = lambda: None
        self.noted: list[str] = []


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    """A script for the test, of which the module's activities know only while the test runs."""
    script = Scripted()
    SCRIPTS.append(script)
    yield script
    SCRIPTS.remove(script)


SCRIPTS: list[Scripted] = []


async def act(number: int) -> int:
    """Do what the script says, on the loop."""
    SCRIPTS[-1].noted.append(f"{current_step().call}#{current_step().attempt}")
    result = SCRIPTS[-1].act()
    if asyncio.iscoroutine(result):
        await result
    return number


def act_in_thread(number: int) -> int:
    """Do what the script says, in a thread."""
    SCRIPTS[-1].noted.append(f"{current_step().call}#{current_step().attempt}")
    SCRIPTS[-1].act()
    return number


async def take_back(effect: Effect[int, int]) -> None:
    """Note what the effect says."""
    SCRIPTS[-1].noted.append("in doubt" if effect.in_doubt else f"back {effect.output}")


class Acting(Saga):
    """One step on the loop that can be overtaken."""

    act = Compensatable(act, rejects=[SoldOutError], timeout=SOON, retry=FAST, safe_to_overtake=True).compensated_by(
        take_back
    )

    async def run(self, number: int) -> int:
        return await self.act(number)


class ActingInThread(Saga):
    """The same, in a thread."""

    act = Compensatable(
        act_in_thread, rejects=[SoldOutError], timeout=SOON, retry=FAST, safe_to_overtake=True
    ).compensated_by(take_back)

    async def run(self, number: int) -> int:
        return await self.act(number)


class Unsettled(Saga):
    """One step of which nobody knows when it stops to act."""

    act = Compensatable(act, timeout=SOON, retry=ONCE).compensated_by(take_back)

    async def run(self, number: int) -> int:
        return await self.act(number)


class Settling(Saga):
    """One step that surely stops to act a while after its time limit."""

    act = Compensatable(act, timeout=SOON, retry=ONCE, settle_time=2 * SOON).compensated_by(take_back)

    async def run(self, number: int) -> int:
        return await self.act(number)


BOTH = pytest.mark.parametrize("saga", [Acting, ActingInThread])


async def facts_of(engine: EmbeddedEngine, saga: type, id: str) -> list[f.Fact]:
    """The whole journal of an instance that has ended."""
    return [fact async for fact in (await engine.get(saga, id)).facts()]


async def test_activities_that_are_not_async_run_in_threads(make_engine: MakeEngine, scripted: Scripted) -> None:
    """Side by side, without holding up the loop, and they know their step."""
    names: set[str] = set()
    barrier = threading.Barrier(3)

    def meet() -> None:
        names.add(threading.current_thread().name)
        barrier.wait(timeout=5)

    scripted.act = meet
    async with make_engine(sagas=[ActingInThread]) as engine:
        await asyncio.gather(*(engine.run(ActingInThread, n, id=f"a-{n}") for n in range(3)))
    assert len(names) == 3
    assert all(name.startswith("saga-activity") for name in names)
    assert scripted.noted == ["act.1#1"] * 3


async def test_no_more_threads_than_allowed(make_engine: MakeEngine, scripted: Scripted) -> None:
    """What finds no thread waits for one."""
    busy = 0
    most = 0
    lock = threading.Lock()

    def count() -> None:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        time.sleep(0.002)
        with lock:
            busy -= 1

    scripted.act = count
    async with make_engine(sagas=[ActingInThread], threads=2) as engine:
        await asyncio.gather(*(engine.run(ActingInThread, n, id=f"a-{n}") for n in range(10)))
    assert most == 2


@BOTH
@pytest.mark.peer("MTC-30", "DTM-25")
async def test_a_failure_is_followed_by_another_attempt(
    make_engine: MakeEngine, scripted: Scripted, saga: type[Acting]
) -> None:
    """The same key, the next number; the failed attempt is noted in the journal."""
    scripted.act = _raises_in_turn(ConnectionError("lost"))
    async with make_engine(sagas=[saga]) as engine:
        assert await engine.run(saga, 7, id="a-1") == 7
        facts = await facts_of(engine, saga, "a-1")
    assert scripted.noted == ["act.1#1", "act.1#2"]
    failed = [fact for fact in facts if isinstance(fact, f.AttemptFailed)]
    assert [(fact.attempt, fact.failure.type, fact.overdue) for fact in failed] == [(1, "ConnectionError", False)]


@BOTH
@pytest.mark.peer("MTC-21", "DTM-25", "SEA-13")
async def test_what_fails_for_good_is_in_doubt_and_compensated(
    make_engine: MakeEngine, scripted: Scripted, saga: type[Acting]
) -> None:
    """After as many attempts as the policy allows."""
    scripted.act = _raises_always(ConnectionError("lost"))
    async with make_engine(sagas=[saga]) as engine:
        with pytest.raises(SagaCompensatedError, match="in doubt.*act.1.*lost"):
            await engine.run(saga, 7, id="a-1")
    assert scripted.noted == ["act.1#1", "act.1#2", "act.1#3", "in doubt"]


@BOTH
async def test_a_rejection_is_final_and_leaves_nothing_to_compensate(
    make_engine: MakeEngine, scripted: Scripted, saga: type[Acting]
) -> None:
    """One attempt, no compensation."""
    scripted.act = _raises_always(SoldOutError("no"))
    async with make_engine(sagas=[saga]) as engine:
        with pytest.raises(SagaCompensatedError, match="SoldOutError"):
            await engine.run(saga, 7, id="a-1")
    assert scripted.noted == ["act.1#1"]


@BOTH
async def test_a_rejection_after_an_unanswered_attempt_is_in_doubt(
    make_engine: MakeEngine, scripted: Scripted, saga: type[Acting]
) -> None:
    """The attempt before may have acted (S2)."""
    scripted.act = _raises_in_turn(ConnectionError("lost"), SoldOutError("no"))
    async with make_engine(sagas=[saga]) as engine:
        with pytest.raises(SagaCompensatedError, match="in doubt"):
            await engine.run(saga, 7, id="a-1")
    assert scripted.noted == ["act.1#1", "act.1#2", "in doubt"]


@pytest.mark.peer("TFE-02", "DBO-11")
async def test_a_failure_that_no_attempt_can_cure_is_not_tried_again(make_engine: MakeEngine) -> None:
    """Exception types in `never` end the attempts at once."""
    tries: list[int] = []

    async with make_engine(sagas=[Hopeless]) as engine:
        HOPELESS.append(tries)
        with pytest.raises(SagaCompensatedError, match="KeyError"):
            await engine.run(Hopeless, 1, id="h-1")
    assert tries == [1]


HOPELESS: list[list[int]] = []


async def hopeless(number: int) -> int:
    """Fail in a way that stays."""
    HOPELESS[-1].append(number)
    raise KeyError(number)


class Hopeless(Saga):
    """Its step need not be tried twice."""

    look = ReadOnly(hopeless, retry=Retry(attempts=5, never=(KeyError,)))

    async def run(self, number: int) -> int:
        return await self.look(number)


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


@BOTH
@pytest.mark.parametrize(
    "raised", [asyncio.CancelledError(), SystemExit(3), type("Strange", (BaseException,), {})("odd")]
)
async def test_whatever_an_activity_raises_is_in_doubt(
    make_engine: MakeEngine, scripted: Scripted, saga: type[Acting], raised: BaseException
) -> None:
    """A cancellation that nobody asked for, an exit, a base exception: an attempt without an answer, no more."""
    scripted.act = _raises_always(raised)
    async with make_engine(sagas=[saga]) as engine:
        with pytest.raises(SagaCompensatedError, match=f"in doubt.*{type(raised).__name__}"):
            await engine.run(saga, 7, id="a-1")
    assert scripted.noted == ["act.1#1", "act.1#2", "act.1#3", "in doubt"]


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

    scripted.act = _in_turn(turns, lambda: _raise(asyncio.CancelledError()))
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


class Enduring(Saga):
    """Its step is tried without end and has time without end."""

    act = Compensatable(
        act, timeout=timedelta(hours=1), retry=Retry(attempts=None, first=timedelta(0)), safe_to_overtake=True
    ).compensated_by(take_back)

    async def run(self, number: int) -> int:
        return await self.act(number)


async def test_a_stop_between_two_attempts_ends_the_wait(make_engine: MakeEngine, scripted: Scripted) -> None:
    """Nobody waits an hour for an attempt that is not wanted any more."""

    class Slow(Saga):
        act = Compensatable(
            act, retry=Retry(attempts=2, first=timedelta(hours=1), cap=timedelta(hours=1)), safe_to_overtake=True
        ).compensated_by(take_back)

        async def run(self, number: int) -> int:
            return await self.act(number)

    scripted.act = _raises_always(ConnectionError("lost"))
    async with make_engine(sagas=[Slow]) as engine:
        handle = await engine.start(Slow, 7, id="s-1")
        while (await handle.view()).calls[0].failure is None:
            await asyncio.sleep(0.005)
        await handle.cancel()
        with pytest.raises(SagaCompensatedError):
            await handle.result()
    assert scripted.noted == ["act.1#1", "in doubt"]


@pytest.mark.peer("DTM-21", "DTM-22")
@pytest.mark.parametrize(("factor", "waits"), [(1.0, [20, 20, 20]), (2.0, [20, 40, 80])])
async def test_attempts_keep_their_distance(
    make_engine: MakeEngine, scripted: Scripted, factor: float, waits: list[int]
) -> None:
    """At least nine tenths of what the policy says lies between two attempts, by the journal's own times."""

    class Spaced(Saga):
        look = ReadOnly(act, retry=Retry(attempts=4, first=timedelta(milliseconds=20), factor=factor))

        async def run(self, number: int) -> int:
            return await self.look(number)

    scripted.act = _raises_always(ConnectionError("lost"))
    async with make_engine(sagas=[Spaced]) as engine:
        with pytest.raises(SagaCompensatedError):
            await engine.run(Spaced, 7, id="s-1")
        facts = await facts_of(engine, Spaced, "s-1")
    failed = [fact.at for fact in facts if isinstance(fact, (f.AttemptFailed, f.CallInDoubt))]
    gaps = [(later - earlier) / timedelta(milliseconds=1) for earlier, later in itertools.pairwise(failed)]
    assert all(gap >= 0.9 * wait for gap, wait in zip(gaps, waits, strict=True)), gaps


async def test_a_pivot_in_doubt_is_asked_for(make_engine: MakeEngine, shop: Shop) -> None:
    """The probe finds that it happened; the saga goes on forward."""
    shop.after["pay.1"] = [ConnectionError("lost")] * 3
    async with make_engine() as engine:
        assert await engine.run(Purchase, 1, id="p-1") == ["p-1/book.1", "p-1/pay.1", "p-1/ship.1"]
    assert shop.effects == {"p-1/book.1": 1, "p-1/pay.1": 1, "p-1/ship.1": 1}


async def test_a_pivot_that_did_not_happen_is_rejected(make_engine: MakeEngine, shop: Shop) -> None:
    """The probe's own failures mean that it is asked again."""
    shop.before["pay.1"] = [ConnectionError("lost")] * 3
    shop.before["pay.1/probe"] = [ConnectionError("lost"), SoldOutError("a probe cannot refuse")]
    async with make_engine() as engine:
        with pytest.raises(SagaCompensatedError, match="pay.1"):
            await engine.run(Purchase, 1, id="p-1")
    assert shop.effects == {}
    assert shop.deliveries.count("p-1/pay.1/probe") == 3


async def test_a_retriable_step_is_tried_until_it_works(make_engine: MakeEngine, shop: Shop) -> None:
    """After the pivot there is no way back."""
    shop.before["ship.1"] = [ConnectionError("lost")] * 10
    async with make_engine() as engine:
        assert len(await engine.run(Purchase, 1, id="p-1")) == 3
    assert shop.deliveries.count("p-1/ship.1") == 11


@pytest.mark.peer("DTM-11", "MTC-31")
async def test_a_compensation_is_tried_until_it_works(make_engine: MakeEngine, shop: Shop) -> None:
    """Its failures do not stop the others, and the end is COMPENSATED."""
    shop.before["pay.1"] = [SoldOutError("no")]
    shop.before["book.2/compensation"] = [ConnectionError("lost")] * 10
    async with make_engine() as engine:
        with pytest.raises(SagaCompensatedError):
            await engine.run(Purchase, 2, id="p-1")
    assert shop.effects == {}
    assert shop.deliveries.count("p-1/book.2/compensation") == 11


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


def _raises_always(error: BaseException) -> Callable[[], Any]:
    return lambda: _raise(error)


def _raises_in_turn(*errors: BaseException) -> Callable[[], Any]:
    return _in_turn(*(_raises_always(error) for error in errors))


def _in_turn(*acts: Callable[[], Any]) -> Callable[[], Any]:
    left = list(acts)
    return lambda: left.pop(0)() if left else None


def _raise(error: BaseException) -> None:
    raise error
