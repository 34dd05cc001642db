"""Activities that do not stop when they are asked to: the saga goes on without them, and says so (S5)."""

from __future__ import annotations

import asyncio
import logging
import threading
from datetime import timedelta
from typing import Any

import pytest

from saga import Compensatable, Retry, Saga, SagaCompensatedError, SagaStuckError, StepInDoubt
from saga.embedded import _running
from saga.kernel import _facts as f
from tests.embedded._scripted import (
    ONCE,
    SOON,
    Acting,
    ActingInThread,
    Scripted,
    Unsettled,
    act,
    act_in_thread,
    facts_of,
    take_back,
)
from tests.embedded.conftest import MakeEngine


class Stubborn:
    """An activity on the loop that goes on whatever it is told, until the test lets it end."""

    def __init__(self) -> None:
        self.asked = 0
        self.let_go = asyncio.Event()
        self.ended = asyncio.Event()

    async def __call__(self) -> None:
        while not self.let_go.is_set():
            try:
                await self.let_go.wait()
            except asyncio.CancelledError:
                self.asked += 1
        self.ended.set()


@pytest.fixture(autouse=True)
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_running, "LAST_WORDS", 0.05)


class Once(Saga):
    """One attempt of a step that can be overtaken."""

    act = Compensatable(act, timeout=SOON, retry=ONCE, safe_to_overtake=True).compensated_by(take_back)

    async def run(self, number: int) -> int:
        try:
            return await self.act(number)
        except StepInDoubt:
            return -1


async def test_it_is_given_up_after_its_time_limit(make_engine: MakeEngine, scripted: Scripted) -> None:
    """As overdue and in doubt; the next attempt follows while the first still acts."""
    stubborn = Stubborn()
    acts: list[Any] = [stubborn]
    scripted.act = lambda: acts.pop()() if acts else None
    async with make_engine(sagas=[Acting]) as engine:
        assert await engine.run(Acting, 7, id="a-1") == 7
        assert not stubborn.ended.is_set()
        facts = await facts_of(engine, Acting, "a-1")
        stubborn.let_go.set()
        await stubborn.ended.wait()
    assert stubborn.asked >= 1
    assert scripted.noted == ["act.1#1", "act.1#2"]
    [failed] = [fact for fact in facts if isinstance(fact, f.AttemptFailed)]
    assert (failed.failure.type, failed.overdue) == ("TimeoutError", True)
    assert "did not stop" in failed.failure.message


async def test_the_saga_goes_on_and_what_comes_later_changes_nothing(
    make_engine: MakeEngine, scripted: Scripted
) -> None:
    """`run` learns that it is in doubt; its answer, hours later, is nobody's."""
    stubborn = Stubborn()
    scripted.act = stubborn
    async with make_engine(sagas=[Once]) as engine:
        assert await engine.run(Once, 7, id="o-1") == -1
        before = await facts_of(engine, Once, "o-1")
        stubborn.let_go.set()
        await stubborn.ended.wait()
        assert await facts_of(engine, Once, "o-1") == before
    assert scripted.noted == ["act.1#1", "in doubt"]


async def test_it_may_still_act_so_nothing_overtakes_it(make_engine: MakeEngine, scripted: Scripted) -> None:
    """Where nothing says that it may be overtaken, an operator has to look (S5)."""
    stubborn = Stubborn()
    scripted.act = stubborn
    async with make_engine(sagas=[Unsettled]) as engine:
        with pytest.raises(SagaStuckError, match="may still be acting"):
            await engine.run(Unsettled, 7, id="u-1")
        stubborn.let_go.set()
    assert scripted.noted == ["act.1#1"]


async def test_backward_recovery_waits_for_it_no_longer_than_its_time_limit(
    make_engine: MakeEngine, scripted: Scripted
) -> None:
    """It was asked to stop, and goes on; then it counts as one that may still act."""
    stubborn = Stubborn()
    scripted.act = stubborn
    async with make_engine(sagas=[Endless]) as engine:
        handle = await engine.start(Endless, 7, id="e-1")
        while not scripted.noted:
            await asyncio.sleep(0.005)
        await handle.cancel(by="anna")
        with pytest.raises(SagaCompensatedError, match="cancelled"):
            await handle.result()
        stubborn.let_go.set()
    assert scripted.noted == ["act.1#1", "in doubt"]


class Endless(Saga):
    """Its step is tried without end."""

    act = Compensatable(
        act, timeout=timedelta(seconds=0.2), retry=Retry(attempts=None), safe_to_overtake=True
    ).compensated_by(take_back)

    async def run(self, number: int) -> int:
        return await self.act(number)


class Unhurried(Acting):
    """It has an hour."""

    act = Compensatable(act, timeout=timedelta(hours=1), safe_to_overtake=True).compensated_by(take_back)

    async def run(self, number: int) -> int:
        return await self.act(number)


class UnhurriedInThread(ActingInThread):
    """The same in a thread."""

    act = Compensatable(act_in_thread, timeout=timedelta(hours=1), safe_to_overtake=True).compensated_by(take_back)

    async def run(self, number: int) -> int:
        return await self.act(number)


@pytest.mark.parametrize("saga", [Unhurried, UnhurriedInThread])
async def test_leaving_abandons_it_with_one_warning(
    make_engine: MakeEngine, scripted: Scripted, saga: type[Acting], caplog: pytest.LogCaptureFixture
) -> None:
    """Which names every activity that goes on, by instance and call; whether on the loop or in a thread."""
    stubborn, release = Stubborn(), threading.Event()
    scripted.act = stubborn if saga is Unhurried else lambda: release.wait(20)
    with caplog.at_level(logging.WARNING):
        async with make_engine(sagas=[saga], grace=timedelta(0)) as engine:
            for number in (1, 2):
                await engine.start(saga, number, id=f"a-{number}")
            while len(scripted.noted) < 2:
                await asyncio.sleep(0.005)
    stubborn.let_go.set()
    release.set()
    [warning] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "a-1/act.1, a-2/act.1" in warning.getMessage()


async def test_an_activity_that_cleans_up_after_its_cancellation_is_no_reason_to_warn(
    make_engine: MakeEngine, scripted: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    """Leaving waits a moment for it, and its cleaning up is not cut short."""
    cleaned: list[int] = []

    async def cleans_up() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            cleaned.append(1)

    scripted.act = cleans_up
    async with make_engine(sagas=[Unhurried], grace=timedelta(0)) as engine:
        await engine.start(Unhurried, 1, id="a-1")
        while not scripted.noted:
            await asyncio.sleep(0.005)
    assert cleaned == [1]
    assert caplog.records == []


async def test_an_activity_that_ends_the_process_ends_its_attempt_only(
    make_engine: MakeEngine, scripted: Scripted
) -> None:
    """`sys.exit()` in an activity is a failure like others."""
    errors: list[BaseException] = [SystemExit(3)]

    async def exits() -> None:
        if errors:
            raise errors.pop()

    scripted.act = exits
    async with make_engine(sagas=[Acting]) as engine:
        assert await engine.run(Acting, 7, id="a-1") == 7
    assert scripted.noted == ["act.1#1", "act.1#2"]


async def test_what_a_function_in_a_thread_returns_to_be_awaited_has_the_same_time_limit(
    make_engine: MakeEngine, scripted: Scripted
) -> None:
    """Such as an `async` function behind a decorator that hides it."""
    stubborn = Stubborn()
    HIDDEN.append(stubborn)
    async with make_engine(sagas=[Hidden]) as engine:
        assert await engine.run(Hidden, 7, id="h-1") == -1
    HIDDEN.pop().let_go.set()


HIDDEN: list[Stubborn] = []


async def _answer(number: int) -> int:
    await HIDDEN[-1]()
    return number


def hidden(number: int) -> int:
    """Is no coroutine function, and returns a coroutine."""
    return _answer(number)  # type: ignore[return-value]  # that is the point


class Hidden(Saga):
    """One attempt of it."""

    act = Compensatable(hidden, timeout=SOON, retry=ONCE, safe_to_overtake=True).compensated_by(take_back)

    async def run(self, number: int) -> int:
        try:
            return await self.act(number)
        except StepInDoubt:
            return -1
