"""The small parts of the engine by themselves: the watch over time limits, the clock, the threads."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta

import pytest

from saga.embedded import _clock
from saga.embedded._clock import Clock
from saga.embedded._threads import Threads
from saga.embedded._watch import Watch
from tests.embedded._shop import Booking, Shop, hangs
from tests.embedded.conftest import MakeEngine


async def test_the_watch_rings_for_each_task_at_its_own_time() -> None:
    """In whatever order they began."""
    watch, ended = Watch(), list[str]()

    async def limited(name: str, seconds: float) -> None:
        task = asyncio.current_task()
        assert task is not None
        watch.begin(task, seconds, task.get_loop())
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            assert watch.end(task)
            ended.append(name)

    await asyncio.gather(limited("third", 0.06), limited("first", 0.02), limited("second", 0.04))
    assert ended == ["first", "second", "third"]


async def test_the_watch_leaves_alone_what_ended_in_time() -> None:
    """And tells that it was not overdue; closed, it rings for nobody."""
    watch = Watch()
    task = asyncio.create_task(asyncio.sleep(0.06))
    watch.begin(task, 0.02, asyncio.get_running_loop())
    assert not watch.end(task)
    await task
    other = asyncio.create_task(asyncio.sleep(0.06))
    watch.begin(other, 0.02, asyncio.get_running_loop())
    watch.close()
    await other
    assert not watch.end(other)


@pytest.mark.peer("NEW-06")
@pytest.mark.parametrize("jump", [timedelta(hours=-1), timedelta(days=1)])
def test_the_clock_does_not_jump_with_the_wall_clock(monkeypatch: pytest.MonkeyPatch, jump: timedelta) -> None:
    """It is moved on by the monotonic clock."""
    clock = Clock()
    before = clock.now()
    _jump(monkeypatch, jump)
    after = clock.now()
    assert timedelta(0) <= after - before < timedelta(minutes=10)
    assert abs(Clock().now() - before - jump) < timedelta(minutes=10)


@pytest.mark.peer("NEW-06")
@pytest.mark.parametrize("jump", [timedelta(hours=-1), timedelta(days=1)])
async def test_a_clock_that_jumps_fires_nothing_early(
    make_engine: MakeEngine, shop: Shop, monkeypatch: pytest.MonkeyPatch, jump: timedelta
) -> None:
    """Within an engine; between two engines the times of a journal still never go back."""

    class Patient(Booking):
        deadline = timedelta(hours=12)

    shop.before["book.1"] = [hangs]
    async with make_engine(sagas=[Patient], grace=timedelta(0)) as engine:
        handle = await engine.start(Patient, 2, id="p-1")
        _jump(monkeypatch, jump)
        await asyncio.sleep(0.02)
        assert (await handle.view()).state == "RUNNING"
        monkeypatch.undo()
    _jump(monkeypatch, timedelta(hours=-1))
    async with make_engine(sagas=[Patient]) as engine:
        handle = await engine.get(Patient, "p-1")
        assert len(await handle.result()) == 2
        times = [fact.at async for fact in handle.facts()]
    assert times == sorted(times)


def _jump(monkeypatch: pytest.MonkeyPatch, jump: timedelta) -> None:
    class Jumped(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) + jump

    monkeypatch.setattr(_clock, "datetime", Jumped)


def test_threads_run_what_they_are_given() -> None:
    """Results and errors reach whoever waits; a thread is used again."""
    threads = Threads(2, name="test")
    assert threads.submit(lambda: 42).result(5) == 42
    with pytest.raises(KeyError):
        threads.submit(_raises).result(5)
    names = {threads.submit(lambda: threading.current_thread().name).result(5) for _ in range(20)}
    assert names <= {"test-1", "test-2"}
    assert all(thread.daemon for thread in threading.enumerate() if thread.name in names)
    threads.shutdown()


def test_threads_drop_what_has_not_begun() -> None:
    """What runs is left alone, what waits is cancelled, and nothing new is taken."""
    threads, gate = Threads(1, name="test"), threading.Event()
    running = threads.submit(gate.wait, 5)
    waiting: list[Future[int]] = [threads.submit(int) for _ in range(3)]
    threads.shutdown()
    assert all(one.cancelled() for one in waiting)
    with pytest.raises(RuntimeError, match="shut down"):
        threads.submit(int)
    gate.set()
    assert running.result(5)


def test_threads_skip_what_was_cancelled() -> None:
    """A call whose attempt was given up before it began never begins."""
    threads, gate, done = Threads(1, name="test"), threading.Event(), list[int]()
    running = threads.submit(gate.wait, 5)
    given_up = threads.submit(done.append, 1)
    assert given_up.cancel()
    gate.set()
    assert running.result(5)
    assert threads.submit(lambda: list(done)).result(5) == []
    threads.shutdown()


async def test_threads_see_the_context_of_their_caller() -> None:
    """As `asyncio.to_thread` has it."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("seen")
    context = contextvars.copy_context()
    threads = Threads(1, name="test")
    loop = asyncio.get_running_loop()
    assert await loop.run_in_executor(threads, lambda: context.run(variable.get)) == "seen"
    threads.shutdown()


def _raises() -> None:
    raise KeyError
