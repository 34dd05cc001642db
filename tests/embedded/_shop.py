"""A participant that counts: what was delivered to it under which key, and what came of it in the end.

It behaves as one behind a barrier does: a repeat changes nothing, a compensation of what never happened succeeds,
and an action that comes after its compensation is refused.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from saga import (
    Compensatable,
    DidNotHappen,
    Effect,
    EmbeddedEngine,
    Finding,
    Happened,
    Nested,
    Pivot,
    ReadOnly,
    Retriable,
    Retry,
    Saga,
    SagaHandle,
    StepRejected,
    current_step,
    participant,
)
from saga.kernel import RECORDED, Runs, definition_of
from saga.kernel._names import split_role

Request = TypeVar("Request")
Result = TypeVar("Result")

FAST = Retry(attempts=3, first=timedelta(milliseconds=5))
ENDLESS = Retry(attempts=None, first=timedelta(milliseconds=5), cap=timedelta(milliseconds=20))

Behaviour = Callable[[], Awaitable[None]] | Exception


class SoldOutError(Exception):
    """The shop says no."""


class Shop:
    """A participant; what an action returns is the key under which it happened.

    Attributes:
        deliveries: Keys, in the order in which they arrived; a repeat arrives too.
        before: What happens at the next deliveries of a call, before the effect: something to await or to raise.
        after: The same after the effect.
        refused: Keys of actions that it refuses.
        at: Is told of every delivery, before and after its effect.
    """

    def __init__(self) -> None:
        self.deliveries: list[str] = []
        self.before: dict[str, list[Behaviour]] = {}
        self.after: dict[str, list[Behaviour]] = {}
        self.refused: set[str] = set()
        self.at: Callable[[str, str], None] = lambda _key, _when: None
        self._done: dict[str, str] = {}
        self._compensated: set[str] = set()
        self._effects: Counter[str] = Counter()

    # -- what a test looks at ------------------------------------------------------------

    @property
    def effects(self) -> dict[str, int]:
        """How often each thing was done, less how often it was taken back; what is zero is left out."""
        return {key: count for key, count in self._effects.items() if count}

    @property
    def repeated(self) -> set[str]:
        """Keys that arrived more than once."""
        return {key for key, count in Counter(self.deliveries).items() if count > 1}

    # -- activities ----------------------------------------------------------------------

    async def book(self, number: int) -> str:
        """Take something."""
        return await self._act()

    async def unbook(self, effect: Effect[int, str]) -> None:
        """Give it back."""
        await self._compensate()

    async def pay(self, number: int) -> str:
        """Go or no go."""
        return await self._act()

    async def find_pay(self, number: int) -> Finding[str]:
        """Say whether it went."""
        key = current_step().action_key
        self.deliveries.append(current_step().key)
        await self._behave(self.before)
        self._compensated.add(key)
        return Happened(output=self._done[key]) if key in self._done else DidNotHappen()

    async def ship(self, number: int) -> str:
        """Do what always works in the end."""
        return await self._act()

    async def confirm(self, key: str) -> None:
        """Make it final."""
        await self._act()

    async def look(self, number: int) -> int:
        """Change nothing."""
        self.deliveries.append(current_step().key)
        await self._behave(self.before)
        return number

    async def _act(self) -> str:
        key = current_step().key
        self.deliveries.append(key)
        self.at(key, "before")
        await self._behave(self.before)
        if key in self.refused:
            raise _recorded(SoldOutError(key))
        if key in self._compensated:
            raise _recorded(StepRejected("it was compensated before it came"))
        if key not in self._done:
            self._done[key] = key
            self._effects[key] += 1
        self.at(key, "after")
        await self._behave(self.after)
        return key

    async def _compensate(self) -> None:
        step = current_step()
        self.deliveries.append(step.key)
        self.at(step.key, "before")
        await self._behave(self.before)
        if step.action_key in self._done and step.action_key not in self._compensated:
            self._effects[step.action_key] -= 1
        self._compensated.add(step.action_key)
        self.at(step.key, "after")
        await self._behave(self.after)

    async def _behave(self, script: dict[str, list[Behaviour]]) -> None:
        name = current_step().key.partition("/")[2]
        if not script.get(name):
            return
        behaviour = script[name].pop(0)
        if isinstance(behaviour, Exception):
            raise behaviour
        await behaviour()


def _recorded(refusal: Exception) -> Exception:
    setattr(refusal, RECORDED, True)  # as a barrier does
    return refusal


shop = participant(Shop, "shop")


def waits_for(gate: asyncio.Event) -> Callable[[], Awaitable[None]]:
    """A behaviour that lasts until the test opens the gate."""

    async def wait() -> None:
        await gate.wait()

    return wait


async def until_delivered(shop: Shop, key: str, times: int = 1) -> None:
    """Wait until an activity has begun."""
    while shop.deliveries.count(key) < times:
        await asyncio.sleep(0.002)


def handle_of(engine: EmbeddedEngine, saga: type[Runs[Request, Result]], id: str) -> SagaHandle[Result]:
    """Return the handle of an instance that need not be durable yet."""
    assert engine._open is not None
    return SagaHandle(engine._open.stage.journals, definition_of(saga), id)


async def hangs() -> None:
    """A behaviour that never ends by itself."""
    await asyncio.Event().wait()


def call_of(key: str) -> str:
    """Return the call of a key, without its role."""
    return split_role(key)[0]


class Purchase(Saga):
    """Books as often as it is asked to, pays, and ships. Most tests run it."""

    look = ReadOnly(shop.look, retry=FAST)
    book = Compensatable(shop.book, rejects=[SoldOutError], retry=FAST, barrier=True).compensated_by(
        shop.unbook, retry=ENDLESS
    )
    pay = Pivot(shop.pay, rejects=[SoldOutError], retry=FAST, barrier=True).probed_by(
        shop.find_pay, every=timedelta(milliseconds=5)
    )
    ship = Retriable(shop.ship, retry=ENDLESS)

    async def run(self, bookings: int) -> list[str]:
        keys = [await self.book(number) for number in range(bookings)]
        keys.append(await self.pay(0))
        return [*keys, await self.ship(0)]


class Booking(Saga):
    """Books only, so that it can be compensated as a whole."""

    book = Compensatable(shop.book, rejects=[SoldOutError], retry=FAST, barrier=True).compensated_by(
        shop.unbook, retry=ENDLESS
    )

    async def run(self, bookings: int) -> list[str]:
        return [await self.book(number) for number in range(bookings)]


class Journey(Saga):
    """Runs another saga as a step, then pays."""

    booking = Nested(Booking)
    pay = Pivot(shop.pay, rejects=[SoldOutError], retry=FAST, barrier=True).probed_by(shop.find_pay)

    async def run(self, bookings: int) -> list[str]:
        keys = await self.booking(bookings)
        return [*keys, await self.pay(0)]
