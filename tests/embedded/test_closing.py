"""Leaving an engine at every step of the event loop: by its program, or because that is cancelled; once and again."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from saga import EmbeddedEngine, SagaCompensatedError
from saga.errors import EngineClosedError
from saga.kernel import _facts as f
from tests.embedded._crash import World, recorded
from tests.embedded._shop import Purchase, hangs
from tests.embedded._steps import ENOUGH, Slow, engine_on, steps, told, undisturbed
from tests.embedded._topologies import SEQUENCES

pytestmark = pytest.mark.usefixtures("alike")


@pytest.mark.parametrize("grace", [timedelta(0), timedelta(seconds=5)])
async def test_closing_the_engine_at_every_step_loses_nothing(
    saga: Any, slow: Slow, tmp_path: Path, grace: timedelta
) -> None:
    """The next engine goes on; what was recorded is not done again, and nothing is recorded for closing."""
    async with engine_on(tmp_path, slow) as engine:
        count, facts = await undisturbed(engine, saga)
    for at in range(1, count, 2):
        before = len(slow.deliveries)
        engine = engine_on(tmp_path, slow, grace=grace)
        async with engine:
            caller = asyncio.create_task(engine.run(saga, 2, id=f"s-{at}"))
            await steps(at)
        with pytest.raises((EngineClosedError, SagaCompensatedError)):
            await caller
        await _ended_by_the_next(tmp_path, slow, saga, f"s-{at}", facts)
        assert len(slow.deliveries) - before <= 7
    assert slow.effects == {}


async def test_cancelling_a_program_at_every_step_loses_nothing(saga: Any, slow: Slow, tmp_path: Path) -> None:
    """While it enters, runs and leaves, and again later; the program that goes on is cancelled too, and a third ends it."""
    async with engine_on(tmp_path, slow) as engine:
        _, facts = await undisturbed(engine, saga)
    at = again = cut_short = 0
    whole = False
    while not whole:
        at, again = at + 1, again + 1
        grace = timedelta(seconds=5 if at % 2 else 0)
        first = await _cut(_program(engine_on(tmp_path, slow, grace=grace), saga, f"s-{at}"), at, again)
        second = await _cut(_program(engine_on(tmp_path, slow), saga, f"s-{at}"), 1 + 5 * at % 60, again)
        whole = first.ended
        again = 0 if first.left else again
        cut_short += (not first.ended) + (not second.ended)
        await _ended_by_the_next(tmp_path, slow, saga, f"s-{at}", facts)
    assert cut_short > 80, "too few steps to have found every await"
    assert slow.effects == {}


@dataclass(frozen=True, slots=True)
class Cut:
    """How a program ended: by itself before it was cancelled, or left before it was cancelled a second time."""

    ended: bool
    left: bool


async def _program(engine: EmbeddedEngine, saga: Any, id: str) -> None:
    async with engine:
        await engine.run(saga, 2, id=id)


async def _cut(program: Coroutine[Any, Any, None], at: int, again: int) -> Cut:
    """Cancel a program at a step, and so many steps later again; nothing of it may go on."""
    others = asyncio.all_tasks()
    working = asyncio.create_task(program)
    await steps(at)
    ended = working.done() or not working.cancel()
    await steps(again)
    left = working.done() or not working.cancel()
    with pytest.raises((asyncio.CancelledError, SagaCompensatedError)):
        await asyncio.wait_for(working, ENOUGH)
    assert asyncio.all_tasks() == others, "something goes on after the engine was left"
    return Cut(ended, left)


async def _ended_by_the_next(folder: Path, slow: Slow, saga: Any, id: str, facts: list[str]) -> None:
    """Let the next engine end an instance: nothing that was recorded is done again, and the facts are the same."""
    done, delivered = recorded(_journals(folder)), len(slow.deliveries)
    async with engine_on(folder, slow) as engine:
        with pytest.raises(SagaCompensatedError):
            await asyncio.wait_for(engine.run(saga, 2, id=id), ENOUGH)
        assert [name for name in await told(engine, saga, id) if not name.startswith("Resumed")] == facts
    assert not done & set(slow.deliveries[delivered:])


async def test_closing_twice_at_every_step_closes(slow: Slow, tmp_path: Path) -> None:
    """A second and a third cancellation while the engine is being left: everything is closed before it is raised."""
    at, left = 0, False
    while not left:
        at += 1
        id = f"s-{at}"
        slow.before["book.1"] = [hangs]
        engine = engine_on(tmp_path, slow, grace=timedelta(hours=1))
        working = asyncio.create_task(_program(engine, Purchase, id))
        while f"{id}/book.1" not in slow.deliveries:
            await asyncio.sleep(0)
        working.cancel()
        await steps(1)
        working.cancel()  # the grace is over
        await steps(at)
        left = working.done() or not working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(working, ENOUGH)
        async with engine_on(tmp_path, slow) as engine:
            handle = await engine.get(Purchase, id)
            with pytest.raises(SagaCompensatedError):
                await handle.result()
            [resumed] = [fact async for fact in handle.facts() if isinstance(fact, f.Resumed)]
            assert resumed.crashed is None
    assert at > 5, "too few steps to have found every await"
    assert slow.effects == {}


def _journals(folder: Path) -> Any:
    return World(SEQUENCES[0], folder / "journal.db").journals()
