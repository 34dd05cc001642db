"""Sagas that both engines run, one for each thing that a policy can say."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, TypeAlias

from pydantic import BaseModel

from saga import (
    Compensatable,
    Decision,
    DecisionTimedOut,
    Nested,
    Pivot,
    ReadOnly,
    Retriable,
    Retry,
    Saga,
    SagaAborted,
    StepInDoubt,
    StepRejected,
)
from saga.kernel import Runs
from tests.temporal._shop import Refused, Shop, safe, shop

__all__ = ("SAGAS", "Group", "Parent", "Plan", "Sudden", "Tentative", "Wish")

ONCE = Retry(attempts=1)
TWICE = Retry(attempts=2, first=timedelta(milliseconds=1))
LONG = timedelta(seconds=30)
SHORT = timedelta(seconds=4)
SOON = timedelta(milliseconds=100)
AGES = timedelta(hours=1)


class Wish(BaseModel):
    """What the run of an order is to do beside its steps; durations in seconds."""

    nap: float = 0
    review: str = ""
    aborted: bool = False
    catches: bool = False
    patience: float = 0


Plan: TypeAlias = type[Runs[Any, Any]]


def order(  # noqa: C901 - it counts the methods of the class that it makes
    named: str,
    at: Shop = safe,
    *,
    timeout: timedelta = LONG,
    retry: Retry = TWICE,
    settle_time: timedelta | None = None,
    within: timedelta | None = None,
    probed: bool = True,
) -> Plan:
    """Return an order whose steps have these policies."""
    barrier = at is safe
    paying: Pivot[int, int] = Pivot(
        at.do, rejects=[Refused], timeout=timeout, retry=retry, barrier=barrier, settle_time=settle_time
    )
    reserving: Compensatable[int, int] = Compensatable(
        at.do, rejects=[Refused], timeout=timeout, retry=retry, barrier=barrier, settle_time=settle_time
    )

    class Order(Saga, name=named):
        """Looks, does two things, asks, pays, ships."""

        deadline = within
        look = ReadOnly(at.do, rejects=[Refused], timeout=timeout, retry=retry, safe_to_overtake=barrier)
        a = reserving.compensated_by(at.release, retry=TWICE)
        b = reserving.compensated_by(at.release, retry=TWICE)
        review = Decision(bool, within=AGES)
        hurry = Decision(bool, within=SOON)
        pay = paying.probed_by(at.find, every=SOON) if probed else paying
        ship = Retriable(at.do, rejects=[Refused], timeout=timeout, retry=retry)

        async def run(self, wish: Wish) -> int:
            """Do what is wished for."""
            await self.look(0)
            total = await self.a(1)
            if wish.nap:
                await self.sleep(timedelta(seconds=wish.nap))
            total += await self._second(wish)
            if not await self._agreed(wish):
                return total
            if wish.aborted:
                raise SagaAborted("not today")
            total += await self.pay(4)
            return total + await self.ship(8)

        async def _second(self, wish: Wish) -> int:
            try:
                return await asyncio.wait_for(self.b(2), wish.patience or None)
            except (StepRejected, StepInDoubt, TimeoutError):
                if wish.catches:
                    return 0
                raise

        async def _agreed(self, wish: Wish) -> bool:
            if wish.review == "hurry":
                try:
                    return await self.hurry()
                except DecisionTimedOut:
                    if wish.catches:
                        return False
                    raise
            return not wish.review or await self.review()

    return Order


class Tentative(Saga):
    """Try, confirm, cancel: two tries at once, and something is forgotten at the end."""

    a = (
        Compensatable(safe.do, rejects=[Refused], retry=TWICE, barrier=True)
        .compensated_by(safe.release, retry=TWICE)
        .confirmed_by(safe.confirm, retry=TWICE)
        .forgotten_by(safe.drop, retry=TWICE)
    )
    b = (
        Compensatable(safe.do, rejects=[Refused], retry=TWICE, barrier=True)
        .compensated_by(safe.release, retry=TWICE)
        .confirmed_by(safe.confirm, retry=TWICE)
    )
    pay = Pivot(safe.do, rejects=[Refused], retry=TWICE, barrier=True).probed_by(safe.find, every=SOON)

    async def run(self, wish: Wish) -> int:
        """Try both, then pay."""
        first = await self.a(1)
        second = await self.b(2)
        return first + second + (0 if wish.aborted else await self.pay(4))


class Threaded(Saga):
    """Two activities that are not asynchronous."""

    a = Compensatable(safe.do_in_thread, rejects=[Refused], retry=TWICE, barrier=True).compensated_by(
        safe.release, retry=TWICE
    )
    pay = Pivot(safe.do_in_thread, rejects=[Refused], retry=TWICE, barrier=True).probed_by(safe.find, every=SOON)

    async def run(self, wish: Wish) -> int:
        """Do one, then pay."""
        return await self.a(1) + await self.pay(4)


class Group(Saga):
    """Three steps at once; a failure of one cancels the waits for the others."""

    a = Compensatable(safe.do, rejects=[Refused], retry=TWICE, barrier=True).compensated_by(safe.release, retry=TWICE)
    b = Compensatable(safe.do, rejects=[Refused], retry=TWICE, barrier=True).compensated_by(safe.release, retry=TWICE)
    c = Compensatable(safe.do, rejects=[Refused], retry=TWICE, barrier=True).compensated_by(safe.release, retry=TWICE)

    async def run(self, wish: Wish) -> int:
        """Do all, in a group or by `gather`."""
        if wish.catches:
            return sum(await asyncio.gather(self.a(1), self.b(2), self.c(4)))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(step(amount)) for step, amount in ((self.a, 1), (self.b, 2), (self.c, 4))]
        return sum(task.result() for task in tasks)


class Child(Saga):
    """What can be compensated later."""

    a = Compensatable(safe.do, rejects=[Refused], retry=TWICE, barrier=True).compensated_by(safe.release, retry=TWICE)
    b = Compensatable(safe.do, rejects=[Refused], retry=TWICE, barrier=True).compensated_by(safe.release, retry=TWICE)

    async def run(self, wish: Wish) -> int:
        """Do both, with a nap between."""
        first = await self.a(1)
        if wish.nap:
            await self.sleep(timedelta(seconds=wish.nap))
        return first + await self.b(2)


class Parent(Saga):
    """Does something, runs a child, pays."""

    before = Compensatable(shop.do, retry=TWICE).compensated_by(shop.release, retry=TWICE)
    take = Nested(Child)
    pay = Pivot(safe.do, rejects=[Refused], retry=TWICE, barrier=True).probed_by(safe.find, every=SOON)

    async def run(self, wish: Wish) -> int:
        """Do all three; go on without the child where that is wished for."""
        first = await self.before(16)
        try:
            taken = await self.take(wish)
        except StepRejected:
            if not wish.catches:
                raise
            taken = 0
        return first + taken + await self.pay(4)


class Sudden(Saga):
    """Begins with a child."""

    take = Nested(Child)

    async def run(self, wish: Wish) -> int:
        """Run it."""
        return await self.take(wish)


SAGAS: dict[str, Plan] = {
    "barred": order("Barred"),
    "plain": order("Plain", shop),
    "hasty": order("Hasty", timeout=SHORT, retry=ONCE),
    "hasty twice": order("HastyTwice", timeout=SHORT),
    "hasty plain": order("HastyPlain", shop, timeout=SHORT, retry=ONCE),
    "hasty settling": order("HastySettling", shop, timeout=SHORT, retry=ONCE, settle_time=timedelta(seconds=1)),
    "unprobed": order("Unprobed", retry=ONCE, probed=False),
    "limited": order("Limited", within=timedelta(seconds=10)),
    "tentative": Tentative,
    "threaded": Threaded,
    "group": Group,
    "child": Child,
    "parent": Parent,
    "sudden": Sudden,
    "patient": order("Patient", shop, within=timedelta(hours=4), settle_time=AGES, timeout=SHORT, retry=ONCE),
}
