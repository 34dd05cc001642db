"""Sagas that ask and that wait, for the tests of what their histories tell; importable, as the sandbox needs."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

from saga import Compensatable, Decision, Effect, Pivot, Saga, participant


class Asking(Saga):
    """Asks for a text, and measures it."""

    text = Decision(str, within=timedelta(hours=1))

    async def run(self, number: int) -> int:
        """Ask."""
        return len(await self.text()) * number


class Slow:
    """A participant that answers when it is told to."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    async def take(self, number: int) -> int:
        """Wait, then take."""
        await self.gate.wait()
        return number

    async def drop(self, effect: Effect[int, int]) -> None:
        """Give it back."""

    async def pay(self, number: int) -> int:
        """Pay."""
        return number


slow = participant(Slow, "slow")


class Napping(Saga):
    """Sets a timer in the very workflow task in which it needs it no more."""

    take = Compensatable(slow.take).compensated_by(slow.drop)
    pay = Pivot(slow.pay)
    more = Decision(bool, within=timedelta(hours=1))

    async def run(self, number: int) -> int:
        """Nap beside a call until it is answered, then pay, and wait again."""
        taking = asyncio.create_task(self.take(number))
        napping = asyncio.create_task(self._nap())
        taken = await taking
        napping.cancel()
        with suppress(asyncio.CancelledError):
            await napping
        await self.sleep(timedelta(milliseconds=10))
        paid = await self.pay(taken)
        await self.more()
        return paid

    async def _nap(self) -> None:
        await self.sleep(timedelta(milliseconds=500))
        await self.sleep(timedelta(hours=1))


def same_again(number: int) -> int:
    """Return it."""
    return number


def forgotten(effect: Effect[int, int]) -> None:
    """Nothing to do."""


class Counting(Saga):
    """Asks for many numbers, and makes a call with each."""

    take = Compensatable(same_again).compensated_by(forgotten)
    more = Decision(int, within=timedelta(hours=1))

    async def run(self, rounds: int) -> int:
        """Sum them up."""
        total = 0
        for _ in range(rounds):
            total += await self.take(await self.more())
        return total
