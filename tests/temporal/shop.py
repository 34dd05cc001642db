"""Sagas and a bank for the tests of the Temporal engine; importable, as its sandbox needs."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from pydantic import BaseModel

from saga import (
    Compensatable,
    Decision,
    Effect,
    Nested,
    Pivot,
    Retriable,
    Retry,
    Saga,
    StepRejected,
    participant,
)

ONCE = Retry(attempts=1)


class Transfer(BaseModel):
    """What is moved."""

    source: str
    target: str
    cents: int


class Bank:
    """Keeps accounts in memory, and fails as often as it is told."""

    def __init__(self, **accounts: int) -> None:
        self.accounts = accounts
        self.failures = 0

    async def debit(self, transfer: Transfer) -> int:
        """Take money, or say no."""
        if self.accounts[transfer.source] < transfer.cents:
            raise StepRejected("insufficient funds")
        self.accounts[transfer.source] -= transfer.cents
        return self.accounts[transfer.source]

    async def refund(self, effect: Effect[Transfer, int]) -> None:
        """Give it back."""
        self.accounts[effect.input.source] += effect.input.cents

    async def credit(self, transfer: Transfer) -> int:
        """Bring money, or say no."""
        if transfer.target not in self.accounts:
            raise StepRejected("no such account")
        self.accounts[transfer.target] += transfer.cents
        return self.accounts[transfer.target]

    def mail(self, text: str) -> None:
        """Tell, in a thread."""
        if self.failures:
            self.failures -= 1
            raise ConnectionError(text)


source, target = participant(Bank, "source"), participant(Bank, "target")


class MoneyTransfer(Saga):
    """Moves money between two banks."""

    debit = Compensatable(source.debit).compensated_by(source.refund)
    credit = Pivot(target.credit)
    mail = Retriable(source.mail, retry=Retry(first=timedelta(milliseconds=10)))

    async def run(self, transfer: Transfer) -> int:
        """Debit, credit, tell."""
        await self.debit(transfer)
        credited = await self.credit(transfer)
        await self.mail("done")
        return credited


class Debited(Saga):
    """A child that can be compensated later."""

    debit = Compensatable(source.debit).compensated_by(source.refund)

    async def run(self, transfer: Transfer) -> int:
        """Debit."""
        return await self.debit(transfer)


class Parent(Saga):
    """Runs a child, then its pivot."""

    take = Nested(Debited)
    credit = Pivot(target.credit)

    async def run(self, transfer: Transfer) -> int:
        """Take, then credit."""
        await self.take(transfer)
        return await self.credit(transfer)


def count(number: int) -> int:
    """Return the number, unless it is 13."""
    if number == 13:
        raise ConnectionError("lost")
    return number


def discount(effect: Effect[int, int]) -> None:
    """Nothing to do."""


class Reviewed(Saga):
    """Asks before its pivot, which can be lost."""

    before = Compensatable(count).compensated_by(discount)
    review = Decision(bool, within=timedelta(hours=1))
    pay = Pivot(count, retry=ONCE, barrier=True)

    async def run(self, number: int) -> int:
        """Ask, unless the number is 13; then pay."""
        await self.before(1)
        approved = number == 13 or await self.review()
        return await self.pay(number) if approved else 0


class Long(Saga):
    """Makes many calls, two at a time."""

    each = Compensatable(count).compensated_by(discount)

    async def run(self, rounds: int) -> int:
        """Count everything."""
        total = 0
        for number in range(rounds):
            total += sum(await asyncio.gather(self.each(100 + number), self.each(1)))
        return total


class Hurried(Saga):
    """Has half a second, and sleeps for an hour."""

    deadline = timedelta(milliseconds=500)
    before = Compensatable(count).compensated_by(discount)

    async def run(self, number: int) -> int:
        """Sleep too long."""
        counted = await self.before(number)
        await self.sleep(timedelta(hours=1))
        return counted
