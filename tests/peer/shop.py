"""A participant whose steps can be told to fail, and an engine on a file, for the tests of peer cases."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel

from saga import Effect, EmbeddedEngine, Finding, Retry, StepRejected, current_step, participant
from saga.kernel import maybe_current_step

QUICK = Retry(attempts=3, first=timedelta(milliseconds=1))
ONCE = Retry(attempts=1)


class Item(BaseModel):
    """What a step is asked to do."""

    name: str
    amount: float = 1.0


class Receipt(BaseModel):
    """What a step answers."""

    name: str
    amount: float = 1.0


class Broken(Exception):
    """A failure that says nothing about whether it happened."""


class Refused(Exception):
    """The participant says no."""


class Shop:
    """Does what it is asked, keeps a log of it, and fails as often as it is told to."""

    def __init__(self) -> None:
        """Starts with an empty log."""
        self.log: list[str] = []
        self.keys: list[str] = []
        self.effects: list[Effect[Item, Receipt]] = []
        self.failing: dict[str, list[Exception]] = {}
        self.gates: dict[str, asyncio.Event] = {}

    async def do(self, item: Item) -> Receipt:
        """Does it."""
        await self._note("do", item.name)
        return Receipt(name=item.name, amount=item.amount)

    async def release(self, effect: Effect[Item, Receipt]) -> None:
        """Compensates it."""
        self.effects.append(effect)
        await self._note("release", effect.input.name)

    async def confirm(self, receipt: Receipt) -> None:
        """Makes it final."""
        await self._note("confirm", receipt.name)

    async def drop(self, receipt: Receipt) -> None:
        """Forgets what it kept."""
        await self._note("drop", receipt.name)

    def do_in_thread(self, item: Item) -> Receipt:
        """Does it without being asynchronous."""
        self.log.append(f"do {item.name}")
        return Receipt(name=item.name)

    async def find(self, item: Item) -> Finding[Receipt]:
        """Says what became of it."""
        raise Broken(item.name)

    async def _note(self, what: str, name: str) -> None:
        step = maybe_current_step()
        self.keys.append(step.key if step else "")
        gate = self.gates.get(f"{what} {name}")
        if gate is not None:
            await gate.wait()
        failures = self.failing.get(f"{what} {name}")
        if failures:
            raise failures.pop(0)
        self.log.append(f"{what} {name}")


shop = participant(Shop, "shop")

Opened = Callable[..., AbstractAsyncContextManager[EmbeddedEngine]]


def opener(path: Path) -> Opened:
    """Returns what opens an engine on one journal, as often as it is called."""

    @asynccontextmanager
    async def opened(*sagas: type, given: Shop, **options: object) -> AsyncGenerator[EmbeddedEngine]:
        settings = {"grace": timedelta(0), **options}
        url = f"sqlite:///{path / 'journal.db'}"
        async with EmbeddedEngine(url, sagas=sagas, participants={"shop": given}, **settings) as engine:  # type: ignore[arg-type]  # options of the engine
            yield engine

    return opened


__all__ = (
    "ONCE",
    "QUICK",
    "Broken",
    "Item",
    "Opened",
    "Receipt",
    "Refused",
    "Shop",
    "StepRejected",
    "current_step",
    "opener",
    "shop",
)
