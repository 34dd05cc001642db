"""Runs whose steps of the event loop can be counted: the journal is written and read on the loop, so all are alike."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from saga import EmbeddedEngine, SagaCompensatedError, current_step
from saga.embedded import _stage
from saga.embedded._append import Appender, Batch, BatchAtFaultError
from saga.embedded._database import Database
from saga.embedded._store import Store
from tests.embedded._shop import Journey, Purchase, Shop

MOST_STEPS = 400
ENOUGH = 20
"""Seconds; whoever waits longer than that hangs."""


class InlineWriter:
    """Commits at once, on the loop."""

    def __init__(self, database: Database, loop: asyncio.AbstractEventLoop) -> None:
        self.failure = None
        self.closed = False
        self._appender = Appender(database)
        self._loop = loop

    def submit(self, batch: Batch, done: Callable[[Exception | None], None]) -> None:
        """Commit, and tell in a callback."""
        error: Exception | None = None
        try:
            self._appender.append([batch])
        except BatchAtFaultError as cause:
            error = self._appender.fault_of(batch, cause)
        self._loop.call_soon(done, error)

    def close(self) -> None:
        """Give the connection back."""
        if not self.closed:
            self.closed = True
            self._appender.close()


@contextmanager
def counted_steps() -> Iterator[None]:
    """Let everything happen on the loop; in the end nothing may be left of it that nobody would hear of."""

    async def at_once(function: Callable[..., Any], *args: Any, **options: Any) -> Any:  # as the function's
        return function(*args, **options)

    def writer(store: Store, loop: asyncio.AbstractEventLoop) -> InlineWriter:
        return InlineWriter(store._database, loop)

    with (
        patch.object(_stage, "_STILL", 0),
        patch.object(Store, "writer", writer),
        patch.object(asyncio, "to_thread", at_once),
    ):
        yield
    gc.collect()  # a coroutine that was never awaited warns when it is freed, and a warning is an error


class Slow(Shop):
    """Every activity takes some steps of the loop, and no payment is accepted."""

    async def _behave(self, script: Any) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        await super()._behave(script)

    async def pay(self, number: int) -> str:
        """Refuse."""
        self.refused.add(current_step().key)
        return await super().pay(number)


def engine_on(folder: Path, shop: Shop, **options: Any) -> EmbeddedEngine:
    """An engine on the test's journal."""
    settings = {"sagas": [Purchase, Journey], "participants": {"shop": shop}, "grace": timedelta(0)} | options
    return EmbeddedEngine(f"sqlite:///{folder}/journal.db", **settings)


async def steps(number: int) -> None:
    """Let the loop take so many steps."""
    for _ in range(number):
        await asyncio.sleep(0)


async def undisturbed(engine: EmbeddedEngine, saga: Any) -> tuple[int, list[str]]:
    """How many steps of the loop a run takes, and the facts that it leaves."""
    running = asyncio.create_task(engine.run(saga, 2, id="undisturbed"))
    count = 0
    while not running.done():
        await asyncio.sleep(0)
        count += 1
        assert count < MOST_STEPS
    with pytest.raises(SagaCompensatedError):
        await running
    assert count > 40, "too few steps to have found every await"
    return count, await told(engine, saga, "undisturbed")


async def told(engine: EmbeddedEngine, saga: Any, id: str) -> list[str]:
    """Names and calls of the facts of an instance that has ended."""
    facts = [fact async for fact in (await engine.get(saga, id)).facts()]
    return [f"{fact.fact} {getattr(fact, 'call', '') or ''}".strip() for fact in facts]
