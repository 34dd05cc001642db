"""What ends a process, raised inside a saga: it goes to whoever runs the loop, and no instance is forgotten for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from saga import EmbeddedEngine, ReadOnly, Retry, Saga, SagaError, SagaState
from saga.kernel import facts as f
from tests.embedded._shop import Purchase, Shop, hangs, until_delivered
from tests.embedded.conftest import MakeEngine

SOON = 20.0

Interrupt = type[BaseException]
Main = Callable[[EmbeddedEngine], Coroutine[Any, Any, Any]]


class Trap:
    """Raises once, at one place, for each instance that it is set for."""

    def __init__(self, kind: Interrupt, place: str, *ids: int) -> None:
        """Set it."""
        self._kind = kind
        self._place = place
        self._ids = list(ids)

    def passed(self, place: str, number: int) -> None:
        """Raise, if it is set for this."""
        if place == self._place and number in self._ids:
            self._ids.remove(number)
            raise self._kind("in the middle of it")


@contextmanager
def trapped(kind: Interrupt, place: str, *ids: int) -> Generator[type]:
    """Return a saga with a trap in it."""
    trap = Trap(kind, place, *ids)

    async def on_loop(number: int) -> int:
        trap.passed("an activity", number)
        return number

    def in_thread(number: int) -> int:
        trap.passed("a thread", number)
        return number

    class Trapped(Saga):
        calm = ReadOnly(on_loop, retry=Retry(attempts=2))
        deep = ReadOnly(in_thread, retry=Retry(attempts=2))

        async def run(self, number: int) -> int:
            trap.passed("the beginning of run", number)
            await self.calm(number)
            trap.passed("run", number)
            await asyncio.gather(self.beside(number), self.calm(number))
            return await self.deep(number)

        async def beside(self, number: int) -> None:
            trap.passed("a task of run", number)

    yield Trapped


def outlived(folder: Path, saga: type, main: Main) -> tuple[Any, list[Interrupt]]:
    """Run an engine on a loop that is run again whatever comes out of it; return the result, and what came out."""

    async def within() -> Any:
        async with engine_on(folder, saga) as engine:
            return await asyncio.wait_for(main(engine), SOON)

    came_out: list[Interrupt] = []
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        task = loop.create_task(within())
        while True:
            try:
                return loop.run_until_complete(task), came_out
            except (KeyboardInterrupt, SystemExit) as interrupt:
                came_out.append(type(interrupt))


def engine_on(folder: Path, saga: type) -> EmbeddedEngine:
    """An engine on the test's journal."""
    return EmbeddedEngine(f"sqlite:///{folder}/journal.db", sagas=[saga], grace=timedelta(0))


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the event loop found to complain of."""
    return [record.message for record in caplog.records if record.name == "asyncio"]


PLACES = ["the beginning of run", "run", "an activity", "a thread"]


@pytest.mark.parametrize("place", [*PLACES, "a task of run"])
def test_an_interrupt_goes_to_whoever_runs_the_loop_and_the_instance_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, place: str
) -> None:
    """It comes out once. Whoever waits for the instance gets its result, if the loop is run on."""

    async def main(engine: EmbeddedEngine) -> tuple[Any, Any]:
        with suppress(SagaError):  # it was not started, if that is where it happened
            await engine.start(saga, 1, id="t-1")
        result = await engine.run(saga, 1, id="t-1")
        return result, [one.state async for one in engine.list()]

    with trapped(KeyboardInterrupt, place, 1) as saga:
        result, came_out = outlived(tmp_path, saga, main)
    assert result == (1, [SagaState.COMPLETED])
    assert came_out == [KeyboardInterrupt]
    assert complaints(caplog) == []


@pytest.mark.parametrize("place", [*PLACES, "a task of run"])
def test_an_interrupt_ends_the_program_and_leaves_the_engine_in_order(tmp_path: Path, place: str) -> None:
    """`asyncio.run` raises it, the engine let go of everything, and the next one goes on."""

    async def main() -> None:
        async with engine_on(tmp_path, saga) as engine:
            await engine.run(saga, 1, id="t-1")

    async def after() -> tuple[int, list[f.Fact]]:
        async with engine_on(tmp_path, saga) as engine:
            handle = await engine.start(saga, 1, id="t-1")
            return await handle.result(), [fact async for fact in handle.facts()]

    with trapped(KeyboardInterrupt, place, 1) as saga:
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(main())
        result, facts = asyncio.run(after())
    assert result == 1
    assert [fact.crashed for fact in facts if isinstance(fact, f.Resumed)] == [None] * (place != PLACES[0])


@pytest.mark.parametrize("place", ["an activity", "a thread"])
@pytest.mark.parametrize("kind", [GeneratorExit, SystemExit])
def test_what_else_ends_an_activity_orphans_no_instance(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, place: str, kind: Interrupt
) -> None:
    """Nothing comes out of the loop: whoever waits is told, or gets the result of the next try."""

    async def main(engine: EmbeddedEngine) -> int:
        handle = await engine.start(saga, 1, id="t-1")
        while True:
            try:
                return await handle.result()
            except SagaError as error:
                assert "t-1: GeneratorExit was raised" in str(error)
                await asyncio.sleep(0.02)

    with trapped(kind, place, 1) as saga:
        assert outlived(tmp_path, saga, main) == (1, [])
    assert complaints(caplog) == []


def test_an_activity_that_always_ends_so_is_told_to_whoever_waits(tmp_path: Path) -> None:
    """The engine says which instance it is and what was raised, and tries again for as long as it is open."""

    async def main(engine: EmbeddedEngine) -> str:
        handle = await engine.start(saga, 1, id="t-1")
        with pytest.raises(SagaError) as caught:
            await handle.result()
        return str(caught.value)

    with trapped(GeneratorExit, "an activity", *[1] * 100) as saga:
        text, came_out = outlived(tmp_path, saga, main)
    assert "Trapped t-1: GeneratorExit was raised" in text
    assert came_out == []


@pytest.mark.parametrize("place", ["the beginning of run", "run"])
def test_an_interrupt_while_instances_are_resumed_keeps_none_of_them(tmp_path: Path, place: str) -> None:
    """The journals of several are replayed one after the other, and the trap is in one of them."""
    ids = range(5)
    open_: list[asyncio.Event] = []

    async def on_loop(number: int) -> int:
        return number

    async def in_thread(number: int) -> int:
        if not open_:
            await asyncio.Event().wait()
        return number

    def versioned(trap: Trap) -> type:
        class Trapped(Saga):
            first = ReadOnly(on_loop)
            second = ReadOnly(in_thread)

            async def run(self, number: int) -> int:
                trap.passed("the beginning of run", number)
                await self.first(number)
                trap.passed("run", number)
                return await self.second(number)

        return Trapped

    async def begin(engine: EmbeddedEngine) -> None:
        handles = [await engine.start(harmless, number, id=f"t-{number}") for number in ids]
        for handle in handles:
            while (await handle.view()).facts < 4:
                await asyncio.sleep(0.01)

    async def go_on(engine: EmbeddedEngine) -> list[int]:
        return await asyncio.gather(*(engine.run(trapped, number, id=f"t-{number}") for number in ids))

    harmless = versioned(Trap(KeyboardInterrupt, place))
    assert outlived(tmp_path, harmless, begin) == (None, [])
    open_.append(asyncio.Event())
    trapped = versioned(Trap(KeyboardInterrupt, place, 2))
    assert outlived(tmp_path, trapped, go_on) == (list(ids), [KeyboardInterrupt])


async def test_an_instance_whose_task_somebody_cancels_goes_on(make_engine: MakeEngine, shop: Shop) -> None:
    """As a framework does that cancels every task that it finds."""
    shop.before["book.1"] = [hangs]
    async with make_engine() as engine:
        handle = await engine.start(Purchase, 1, id="p-1")
        waiting = asyncio.create_task(handle.result())
        await until_delivered(shop, "p-1/book.1")
        task = engine._open.stage.drives["p-1"].task  # type: ignore[union-attr]
        assert task is not None
        task.cancel()
        assert len(await asyncio.wait_for(waiting, SOON)) == 3
        assert task.cancelled()


async def test_a_drive_that_is_thrown_away_says_nothing(
    make_engine: MakeEngine, shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    """Python closes what is left of a loop that nobody runs any more; that is no news of the saga."""
    shop.before["book.1"] = [hangs]
    async with make_engine(grace=timedelta(0)) as engine:
        await engine.start(Purchase, 1, id="p-1")
        await until_delivered(shop, "p-1/book.1")
        stage = engine._open.stage  # type: ignore[union-attr]
        task = stage.drives["p-1"].task
        assert task is not None
        task.get_coro().close()  # type: ignore[union-attr]
        assert stage.broken == {}
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
