"""Performing activities: threads, retries, rejections, doubt, and whatever an activity may raise."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from datetime import timedelta

import pytest

from saga import ReadOnly, Retry, Saga, SagaCompensatedError
from saga.kernel import _facts as f
from tests.embedded._scripted import Acting, ActingInThread, Scripted, act, facts_of, raises_always, raises_in_turn
from tests.embedded._shop import Purchase, Shop, SoldOutError
from tests.embedded.conftest import MakeEngine

BOTH = pytest.mark.parametrize("saga", [Acting, ActingInThread])


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
    scripted.act = raises_in_turn(ConnectionError("lost"))
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
    scripted.act = raises_always(ConnectionError("lost"))
    async with make_engine(sagas=[saga]) as engine:
        with pytest.raises(SagaCompensatedError, match="in doubt.*act.1.*lost"):
            await engine.run(saga, 7, id="a-1")
    assert scripted.noted == ["act.1#1", "act.1#2", "act.1#3", "in doubt"]


@BOTH
async def test_a_rejection_is_final_and_leaves_nothing_to_compensate(
    make_engine: MakeEngine, scripted: Scripted, saga: type[Acting]
) -> None:
    """One attempt, no compensation."""
    scripted.act = raises_always(SoldOutError("no"))
    async with make_engine(sagas=[saga]) as engine:
        with pytest.raises(SagaCompensatedError, match="SoldOutError"):
            await engine.run(saga, 7, id="a-1")
    assert scripted.noted == ["act.1#1"]


@BOTH
async def test_a_rejection_after_an_unanswered_attempt_is_in_doubt(
    make_engine: MakeEngine, scripted: Scripted, saga: type[Acting]
) -> None:
    """The attempt before may have acted (S2)."""
    scripted.act = raises_in_turn(ConnectionError("lost"), SoldOutError("no"))
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
@pytest.mark.parametrize(
    "raised", [asyncio.CancelledError(), SystemExit(3), type("Strange", (BaseException,), {})("odd")]
)
async def test_whatever_an_activity_raises_is_in_doubt(
    make_engine: MakeEngine, scripted: Scripted, saga: type[Acting], raised: BaseException
) -> None:
    """A cancellation that nobody asked for, an exit, a base exception: an attempt without an answer, no more."""
    scripted.act = raises_always(raised)
    async with make_engine(sagas=[saga]) as engine:
        with pytest.raises(SagaCompensatedError, match=f"in doubt.*{type(raised).__name__}"):
            await engine.run(saga, 7, id="a-1")
    assert scripted.noted == ["act.1#1", "act.1#2", "act.1#3", "in doubt"]


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

    scripted.act = raises_always(ConnectionError("lost"))
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
