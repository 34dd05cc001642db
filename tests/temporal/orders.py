"""An order that can be stopped anywhere, and a warehouse that counts what happened; for the tests of recovery."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from saga import (
    Compensatable,
    Decision,
    DidNotHappen,
    Effect,
    Finding,
    Happened,
    Nested,
    Pivot,
    Retriable,
    Retry,
    Saga,
    current_step,
    participant,
)
from saga.errors import SuspendedError

SOON = Retry(first=timedelta(milliseconds=20))


class Warehouse:
    """Keeps one effect for each idempotency key, as a participant behind a barrier does.

    Args:
        stop: The call whose delivery is stopped until `gate` opens, with its role.
        late: Whether it has acted by then.
    """

    def __init__(self, stop: str = "", *, late: bool = False) -> None:
        self.effects: set[str] = set()
        self.stop = stop
        self.late = late
        self.stopped = asyncio.Event()
        self.gate = asyncio.Event()
        self._suspended: set[str] = set()

    async def act(self, number: int) -> int:
        """Do it once, unless it was compensated before it came."""
        await self._pause(late=False)
        step = current_step()
        if step.action_key in self._suspended:
            raise SuspendedError(step.key)
        self.effects.add(step.action_key)
        await self._pause(late=True)
        return number

    async def compensate(self, effect: Effect[int, int]) -> None:
        """Do the opposite, once, and never let it happen again."""
        await self._pause(late=False)
        step = current_step()
        self._suspended.add(step.action_key)
        self.effects.discard(step.action_key)
        await self._pause(late=True)

    async def find(self, number: int) -> Finding[int]:
        """Tell whether it happened; if not, it never will."""
        step = current_step()
        if step.action_key in self.effects:
            return Happened(number)
        self._suspended.add(step.action_key)
        return DidNotHappen()

    async def _pause(self, *, late: bool) -> None:
        step = current_step()
        name = step.call if step.role == "action" else f"{step.call}/{step.role}"
        if name == self.stop and late is self.late:
            self.stopped.set()
            await self.gate.wait()


warehouse = participant(Warehouse, "warehouse")


class Order(Saga):
    """Two steps, a question, the pivot, and one more."""

    a = Compensatable(warehouse.act, barrier=True, retry=SOON).compensated_by(warehouse.compensate, retry=SOON)
    b = Compensatable(warehouse.act, barrier=True, retry=SOON).compensated_by(warehouse.compensate, retry=SOON)
    approval = Decision(bool, within=timedelta(hours=1))
    pay = Pivot(warehouse.act, barrier=True, retry=SOON).probed_by(warehouse.find, every=SOON.first)
    ship = Retriable(warehouse.act, retry=SOON)

    async def run(self, ask: bool) -> int:
        """Ask only if that is wanted."""
        total = await self.a(1) + await self.b(2)
        if not ask or await self.approval():
            total += await self.pay(3)
            await self.ship(4)
        return total


class Broken(Saga):
    """Raises what no saga may raise."""

    a = Compensatable(warehouse.act, barrier=True, retry=SOON).compensated_by(warehouse.compensate, retry=SOON)

    async def run(self, ask: bool) -> int:
        """Do one step, then fail."""
        await self.a(1)
        raise KeyError(ask)


class Part(Saga):
    """A nested saga."""

    a = Compensatable(warehouse.act, barrier=True, retry=SOON).compensated_by(warehouse.compensate, retry=SOON)
    b = Compensatable(warehouse.act, barrier=True, retry=SOON).compensated_by(warehouse.compensate, retry=SOON)

    async def run(self, number: int) -> int:
        """Both."""
        return await self.a(number) + await self.b(number)


class Whole(Saga):
    """Runs a nested saga before its own step."""

    part = Nested(Part)
    c = Compensatable(warehouse.act, barrier=True, retry=SOON).compensated_by(warehouse.compensate, retry=SOON)

    async def run(self, number: int) -> int:
        """The part, then a step."""
        return await self.part(number) + await self.c(number)
