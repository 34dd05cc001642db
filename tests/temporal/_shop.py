"""A shop, with a barrier or without one, that does what a scenario tells it to, and where its effects are counted."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import TypeVar

from sqlalchemy import Connection, Engine

from saga import AskAgain, DidNotHappen, Effect, Finding, Happened, StepRejected, current_step, participant
from saga.participant import barrier

__all__ = ("Fault", "Refused", "Shop", "World", "safe", "shop")

Input = TypeVar("Input")
Output = TypeVar("Output")


class Fault(Enum):
    """What becomes of one delivery."""

    NONE = "it is done at once"
    REJECTED = "it is refused"
    LOST = "it fails, and nothing was done"
    LATE = "it is done, and fails"
    GATE = "it waits until its gate is opened, and is done then"
    GATE_REJECTED = "it waits until its gate is opened, and is refused then"
    SILENT = "it never answers, and nothing is done"
    OVERDUE = "it never answers, and is done when its gate is opened, whoever asked it to stop"
    ASK_AGAIN = "the probe cannot tell yet"


class Refused(Exception):
    """The shop says no."""


class World:
    """The shop as one scenario sees it: what goes wrong, what was delivered, and what was done.

    Args:
        faults: What becomes of each delivery, by activity; the others are done at once.
    """

    def __init__(self, faults: Mapping[str, Sequence[Fault]]) -> None:
        self.gates: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.reached: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.acted: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.deliveries: list[str] = []
        self.effects: list[str] = []
        self.net = 0
        self._faults = {name: list(each) for name, each in faults.items()}

    def delivered(self, name: str) -> Fault:
        """Take note of a delivery, and say what becomes of it."""
        self.deliveries.append(name)
        self.reached[name].set()
        left = self._faults.get(name)
        return left.pop(0) if left else Fault.NONE

    def effect(self, what: str, amount: int = 0) -> None:
        """Take note that something was done."""
        self.effects.append(what)
        self.net += amount


class Shop:
    """Does what it is asked, in the world of the scenario whose saga asks.

    Args:
        database: Where its barrier keeps its keys; None for a shop without one.
        worlds: The worlds, by the id of the outermost saga.
    """

    def __init__(self, database: Engine | None, worlds: Mapping[str, World]) -> None:
        self._database = database
        self._worlds = worlds
        self._late: set[asyncio.Task[None]] = set()

    async def do(self, amount: int) -> int:
        """Do it; the output is twice the input."""
        return await self._delivered(lambda: self._once(self._do, amount))

    def do_in_thread(self, amount: int) -> int:
        """Do it without being asynchronous."""
        world, name = self._here()
        fault = world.delivered(name)
        if fault is Fault.REJECTED:
            raise Refused(name)
        output = self._once(self._do, amount)
        if fault is Fault.LATE:
            raise ConnectionError(name)
        return output

    async def release(self, effect: Effect[int, int]) -> None:
        """Compensate it."""
        await self._delivered(lambda: self._once(self._release, effect))

    async def confirm(self, output: int) -> None:
        """Make it final."""
        await self._delivered(lambda: self._once(self._keep, output))

    async def drop(self, output: int) -> None:
        """Forget what was kept for its compensation."""
        await self._delivered(lambda: self._once(self._keep, output))

    async def find(self, amount: int) -> Finding[int]:
        """Say what became of it."""
        world, name = self._here()
        fault = world.delivered(name)
        if fault is Fault.LOST:
            raise ConnectionError(name)
        if fault is Fault.ASK_AGAIN:
            return AskAgain()
        if self._database is not None:
            with self._database.begin() as connection:
                return barrier.probe(connection, int)
        done = f"do {name.removesuffix('/probe')}" in world.effects
        return Happened(amount * 2) if done else DidNotHappen()

    # -- what is done --------------------------------------------------------------------

    def _do(self, _connection: Connection | None, amount: int) -> int:
        world, name = self._here()
        world.effect(f"do {name}", amount)
        return amount * 2

    def _release(self, _connection: Connection | None, effect: Effect[int, int]) -> None:
        world, name = self._here()
        did = f"do {name.removesuffix('/compensation')}" in world.effects
        world.effect(f"{name} of {effect.input}, {effect.output}", -effect.input if did else 0)

    def _keep(self, _connection: Connection | None, output: int) -> None:
        world, name = self._here()
        world.effect(f"{name} of {output}")

    def _once(self, body: Callable[[Connection | None, Input], Output], given: Input) -> Output:
        if self._database is None:
            return body(None, given)
        with self._database.begin() as connection:
            return barrier.once(connection, body, given)

    # -- what becomes of a delivery ------------------------------------------------------

    def _here(self) -> tuple[World, str]:
        key = current_step().key
        root = key.partition("/")[0].partition("~")[0]
        return self._worlds[root], key[len(root) :].lstrip("/")

    async def _delivered(self, act: Callable[[], Output]) -> Output:
        world, name = self._here()
        fault = world.delivered(name)
        if fault is Fault.LOST:
            raise ConnectionError(name)
        if fault in {Fault.GATE, Fault.GATE_REJECTED}:
            await world.gates[name].wait()
        if fault in {Fault.REJECTED, Fault.GATE_REJECTED}:
            raise Refused(name)
        if fault is Fault.OVERDUE:
            late = asyncio.create_task(_act_late(world, name, act))
            self._late.add(late)
        if fault in {Fault.SILENT, Fault.OVERDUE}:
            await asyncio.sleep(3600)
        output = act()
        if fault is Fault.LATE:
            raise ConnectionError(name)
        return output


async def _act_late(world: World, name: str, act: Callable[[], object]) -> None:
    await world.gates[name].wait()
    try:
        act()
    except StepRejected:
        world.effect(f"suspended {name}")
    world.acted[name].set()


shop, safe = participant(Shop, "shop"), participant(Shop, "safe")
