"""The saga that most tests of the rules run: two banks' steps of every kind, and a `run` that the test gives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from saga import (
    Compensatable,
    Decision,
    Effect,
    Finding,
    Pivot,
    ReadOnly,
    Retriable,
    Retry,
    Saga,
    StepRejected,
    participant,
)


class RefusedError(Exception):
    """The participant says no."""


class Bank:
    """A participant; amounts are cents, what an action returns is the id of its posting."""

    async def rate(self, amount: int) -> int:
        """Look something up."""
        raise NotImplementedError

    async def debit(self, amount: int) -> str:
        """Take money."""
        raise NotImplementedError

    async def refund(self, effect: Effect[int, str]) -> None:
        """Give it back."""
        raise NotImplementedError

    async def fee(self, amount: int) -> str:
        """Take a fee."""
        raise NotImplementedError

    async def return_fee(self, effect: Effect[int, str]) -> None:
        """Give it back."""
        raise NotImplementedError

    async def hold(self, amount: int) -> str:
        """Reserve money."""
        raise NotImplementedError

    async def release(self, effect: Effect[int, str]) -> None:
        """Drop the reservation."""
        raise NotImplementedError

    async def settle(self, hold: str) -> None:
        """Make a reservation final."""
        raise NotImplementedError

    async def forget(self, hold: str) -> None:
        """Drop what was kept for the compensation."""
        raise NotImplementedError

    async def credit(self, amount: int) -> str:
        """Give money."""
        raise NotImplementedError

    async def find_credit(self, amount: int) -> Finding[str]:
        """Say whether it was given."""
        raise NotImplementedError

    async def notify(self, text: str) -> None:
        """Tell somebody."""
        raise NotImplementedError


bank = participant(Bank, "bank")
ONCE = Retry(attempts=1)


class Steps(Saga):
    """One step of every kind; the pivot has a probe."""

    rate = ReadOnly(bank.rate)
    debit = Compensatable(bank.debit, rejects=[RefusedError]).compensated_by(bank.refund)
    fee = Compensatable(bank.fee, rejects=[RefusedError]).compensated_by(bank.return_fee)
    slow = Compensatable(bank.hold, settle_time=timedelta(minutes=1)).compensated_by(bank.release)
    review = Decision(bool, within=timedelta(hours=1))
    credit = Pivot(bank.credit, rejects=[RefusedError], safe_to_overtake=True).probed_by(bank.find_credit)
    notify = Retriable(bank.notify)
    archive = Retriable(bank.notify, retry=ONCE)


class Unprobed(Saga):
    """Its pivot has no probe."""

    rate = ReadOnly(bank.rate)
    debit = Compensatable(bank.debit).compensated_by(bank.refund)
    credit = Pivot(bank.credit)
    notify = Retriable(bank.notify, retry=ONCE)


class Pivotless(Saga):
    """It declares no pivot."""

    debit = Compensatable(bank.debit).compensated_by(bank.refund)
    fee = Compensatable(bank.fee).compensated_by(bank.return_fee)
    notify = Retriable(bank.notify)
    archive = Retriable(bank.notify, retry=ONCE)


class Tentative(Saga):
    """Its first step is confirmed, and what it kept is forgotten."""

    hold = (
        Compensatable(bank.hold)
        .compensated_by(bank.release)
        .confirmed_by(bank.settle, retry=ONCE)
        .forgotten_by(bank.forget, retry=ONCE)
    )
    fee = Compensatable(bank.fee).compensated_by(bank.return_fee)
    credit = Pivot(bank.credit)
    notify = Retriable(bank.notify)


def transfer(program: Callable[[Steps, int], Awaitable[str]], *, within: timedelta | None = None) -> type[Steps]:
    """Return a saga class named Transfer whose `run` is `program`."""

    class Transfer(Steps):
        deadline = within

        async def run(self, request: int) -> str:
            return await program(self, request)

    return Transfer


def unprobed(program: Callable[[Unprobed, int], Awaitable[str]]) -> type[Unprobed]:
    """As `transfer`, with a pivot that has no probe."""

    class Transfer(Unprobed):
        async def run(self, request: int) -> str:
            return await program(self, request)

    return Transfer


def pivotless(program: Callable[[Pivotless, int], Awaitable[str]]) -> type[Pivotless]:
    """As `transfer`, without a pivot."""

    class Transfer(Pivotless):
        async def run(self, request: int) -> str:
            return await program(self, request)

    return Transfer


def tentative(program: Callable[[Tentative, int], Awaitable[str]]) -> type[Tentative]:
    """As `transfer`, with a step that is confirmed and forgotten."""

    class Transfer(Tentative):
        async def run(self, request: int) -> str:
            return await program(self, request)

    return Transfer


def refused(error: StepRejected) -> str:
    """What `run` can read from a rejection."""
    return f"{error.step} {error.type} {error.message}"
