"""Sagas of every shape, and participants that keep their promises, for tests of the test kit and of the kernel."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from saga import (
    Compensatable,
    Decision,
    DecisionTimedOut,
    DidNotHappen,
    Effect,
    Finding,
    Happened,
    Nested,
    Pivot,
    ReadOnly,
    Retriable,
    Retry,
    Saga,
    SagaAborted,
    SagaView,
    StepInDoubt,
    StepRejected,
    current_step,
    participant,
)

MINUTE = timedelta(minutes=1)
ONCE = Retry(attempts=1)
TWICE = Retry(attempts=2)


class Refused(Exception):
    """The participant says no."""


class Shelf:
    """Holds things by idempotency key: putting twice is putting once, taking back what is not there is nothing."""

    def __init__(self) -> None:
        self.there: dict[str, int] = {}
        self.ever: set[str] = set()
        self.gone: set[str] = set()
        self.fixed: set[str] = set()
        self.calls: Counter[str] = Counter()

    def _key(self) -> str:
        step = current_step()
        self.calls[step.key] += 1
        return step.action_key

    async def look(self, amount: int) -> int:
        """Change nothing."""
        self._key()
        return amount

    async def put(self, amount: int) -> str:
        """Put something, unless it was taken back already."""
        return self.put_at_once(amount)

    def put_at_once(self, amount: int) -> str:
        """The same, without `async`."""
        key = self._key()
        if key in self.gone:
            raise StepRejected("it was taken back before it came")
        if key not in self.ever:
            self.ever.add(key)
            self.there[key] = amount
        return key

    async def take(self, effect: Effect[int, str]) -> None:
        """Take back what the action put, if it did."""
        key = self._key()
        self.there.pop(key, None)
        self.gone.add(key)

    async def take_whole(self, effect: Effect[int, str]) -> None:
        """Take back everything that a child put."""
        child = self._key().replace("/", "~") + "/"
        for key in [key for key in self.ever if key.startswith(child)]:
            self.there.pop(key, None)

    async def fix(self, key: str) -> None:
        """Make final what was put."""
        assert self._key() == key
        self.fixed.add(key)

    async def forget(self, key: str) -> None:
        """Drop what was kept for taking it back."""
        assert self._key() == key

    def find(self, amount: int) -> Finding[str]:
        """Say whether it was put, and make sure that otherwise it never will."""
        key = self._key()
        if key in self.ever:
            return Happened(output=key)
        self.gone.add(key)
        return DidNotHappen()

    async def tell(self, text: str) -> None:
        """Tell somebody, as often as it is asked."""
        self._key()


shelf = participant(Shelf, "shelf")
other = participant(Shelf, "other")


def shelves() -> dict[str, object]:
    """Fresh participants."""
    return {"shelf": Shelf(), "other": Shelf()}


def all_or_nothing(participants: Mapping[str, Shelf], view: SagaView) -> None:
    """A compensated saga leaves nothing; a completed one leaves what its view says."""
    there = {key for one in participants.values() for key in one.there}
    if view.state == "COMPENSATED":
        assert not there, f"it was compensated, and {sorted(there)} is still there"


class Transfer(Saga):
    """A decision, a pivot with a probe, a retriable step and a deadline; every participant is behind a barrier."""

    deadline = timedelta(minutes=5)

    debit = Compensatable(shelf.put, rejects=[Refused], barrier=True).compensated_by(shelf.take)
    review = Decision(bool, within=timedelta(hours=4))
    credit = Pivot(other.put, rejects=[Refused], barrier=True).probed_by(other.find)
    notify = Retriable(other.tell)

    async def run(self, amount: int) -> str:
        debited = await self.debit(amount)
        if not await self.review():
            raise SagaAborted("refused")
        credited = await self.credit(amount)
        await self.notify("done")
        return debited + credited


class Unguarded(Saga):
    """No barrier, no settling time, no probe: whatever may still act needs an operator."""

    deadline = timedelta(minutes=5)

    debit = Compensatable(shelf.put, rejects=[Refused]).compensated_by(shelf.take)
    fee = Compensatable(shelf.put_at_once, retry=ONCE).compensated_by(shelf.take, retry=TWICE)
    credit = Pivot(other.put, rejects=[Refused], retry=ONCE)
    notify = Retriable(other.tell, retry=TWICE)

    async def run(self, amount: int) -> str:
        await self.debit(amount)
        await self.fee(1)
        credited = await self.credit(amount)
        await self.notify("done")
        return credited


class Settling(Saga):
    """Every action settles a minute after its time limit."""

    one = Compensatable(shelf.put, settle_time=MINUTE).compensated_by(shelf.take)
    two = Compensatable(other.put, settle_time=MINUTE, retry=TWICE).compensated_by(other.take)
    three = Pivot(shelf.put, settle_time=MINUTE, retry=ONCE).probed_by(shelf.find)

    async def run(self, amount: int) -> str:
        await self.one(amount)
        await self.two(amount)
        return await self.three(amount)


class Parallel(Saga):
    """Three steps at once, then a pivot, then two retriable steps at once."""

    left = Compensatable(shelf.put, rejects=[Refused], barrier=True).compensated_by(shelf.take)
    right = Compensatable(other.put, barrier=True).compensated_by(other.take)
    look = ReadOnly(shelf.look)
    credit = Pivot(other.put, rejects=[Refused], barrier=True).probed_by(other.find)
    notify = Retriable(other.tell)

    async def run(self, amount: int) -> str:
        left, _, _ = await asyncio.gather(self.left(amount), self.right(amount), self.look(amount))
        credited = await self.credit(amount)
        await asyncio.gather(self.notify("one"), self.notify("two"))
        return left + credited


class Grouped(Saga):
    """Steps in a task group with a time limit, beside the pivot's own try."""

    left = Compensatable(shelf.put, rejects=[Refused], safe_to_overtake=True).compensated_by(shelf.take)
    right = Compensatable(other.put, safe_to_overtake=True).compensated_by(other.take)
    credit = Pivot(other.put, rejects=[Refused], barrier=True).probed_by(other.find)

    async def run(self, amount: int) -> str:
        try:
            async with asyncio.timeout(20), asyncio.TaskGroup() as group:
                group.create_task(self.left(amount))
                group.create_task(self.right(amount))
        except TimeoutError:
            await self.left(amount + 1)
        return await self.credit(amount)


class Impatient(Saga):
    """Gives a step up after a while and takes another one instead."""

    first = Compensatable(shelf.put, barrier=True).compensated_by(shelf.take)
    second = Compensatable(other.put, barrier=True).compensated_by(other.take)
    credit = Pivot(other.put, barrier=True).probed_by(other.find)

    async def run(self, amount: int) -> str:
        try:
            await asyncio.wait_for(self.first(amount), timeout=5)
        except (TimeoutError, StepInDoubt, StepRejected):
            await self.second(amount)
        return await self.credit(amount)


class Beside(Saga):
    """Calls the pivot beside a step that can still be refused."""

    hold = Compensatable(shelf.put, rejects=[Refused], barrier=True).compensated_by(shelf.take)
    pay = Pivot(other.put, rejects=[Refused], barrier=True).probed_by(other.find)
    notify = Retriable(other.tell)

    async def run(self, amount: int) -> str:
        """Hold and pay at once."""
        held, paid = await asyncio.gather(self.hold(amount), self.pay(amount))
        await self.notify("paid")
        return held + paid


class Racing(Saga):
    """Takes whichever step answers first and gives the other up."""

    first = Compensatable(shelf.put, safe_to_overtake=True).compensated_by(shelf.take)
    second = Compensatable(other.put, safe_to_overtake=True).compensated_by(other.take)

    async def run(self, amount: int) -> str:
        tasks = [asyncio.create_task(self.first(amount)), asyncio.create_task(self.second(amount))]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        return done.pop().result()


class OtherWay(Saga):
    """Catches a refusal and goes another way, also at the pivot."""

    deadline = timedelta(minutes=5)

    hold = Compensatable(shelf.put, rejects=[Refused], barrier=True).compensated_by(shelf.take)
    loan = Compensatable(other.put, rejects=[Refused], barrier=True).compensated_by(other.take)
    pay = Pivot(other.put, rejects=[Refused], barrier=True).probed_by(other.find)
    notify = Retriable(shelf.tell)

    async def run(self, amount: int) -> str:
        try:
            await self.hold(amount)
        except StepRejected:
            await self.loan(amount)
        except StepInDoubt:
            await self.loan(amount + 1)
        try:
            paid = await self.pay(amount)
        except StepRejected:
            await self.loan(amount + 2)
            paid = await self.pay(amount - 1)
        await self.notify("paid")
        return paid


class UnguardedOtherWay(Saga):
    """Catches what is in doubt, where only an operator can settle it."""

    hold = Compensatable(shelf.put, rejects=[Refused]).compensated_by(shelf.take)
    loan = Compensatable(other.put, rejects=[Refused]).compensated_by(other.take)
    pay = Pivot(other.put, rejects=[Refused]).probed_by(other.find)

    async def run(self, amount: int) -> str:
        try:
            await self.hold(amount)
        except (StepRejected, StepInDoubt):
            await self.loan(amount)
        return await self.pay(amount)


class Tentative(Saga):
    """Try, confirm, cancel; and something kept that has to be forgotten."""

    seat = (
        Compensatable(shelf.put, barrier=True)
        .compensated_by(shelf.take)
        .confirmed_by(shelf.fix)
        .forgotten_by(shelf.forget, retry=ONCE)
    )
    room = Compensatable(other.put, barrier=True).compensated_by(other.take).confirmed_by(other.fix, retry=TWICE)
    pay = Pivot(other.put, barrier=True).probed_by(other.find)
    notify = Retriable(other.tell)

    async def run(self, amount: int) -> str:
        await asyncio.gather(self.seat(amount), self.room(amount))
        paid = await self.pay(amount)
        await self.notify("booked")
        return paid


class TentativeToTheEnd(Saga):
    """Try, confirm, cancel without a pivot."""

    seat = Compensatable(shelf.put, barrier=True).compensated_by(shelf.take).confirmed_by(shelf.fix)
    kept = Compensatable(other.put, barrier=True).compensated_by(other.take).forgotten_by(other.forget)

    async def run(self, amount: int) -> str:
        await self.seat(amount)
        return await self.kept(amount)


class Part(Saga):
    """A child that hands over what it did."""

    one = Compensatable(shelf.put, rejects=[Refused], barrier=True).compensated_by(shelf.take)
    two = Compensatable(other.put, barrier=True).compensated_by(other.take)

    async def run(self, amount: int) -> str:
        one, _ = await self.one(amount), await self.two(amount)
        return one


class UnguardedPart(Saga):
    """A child whose steps only an operator can settle."""

    one = Compensatable(shelf.put, rejects=[Refused]).compensated_by(shelf.take)
    two = Compensatable(other.put).compensated_by(other.take)

    async def run(self, amount: int) -> str:
        one, _ = await self.one(amount), await self.two(amount)
        return one


class Parent(Saga):
    """Runs a child between steps of its own."""

    deadline = timedelta(minutes=5)

    before = Compensatable(other.put, barrier=True).compensated_by(other.take)
    part = Nested(Part)
    pay = Pivot(other.put, rejects=[Refused], barrier=True).probed_by(other.find)

    async def run(self, amount: int) -> str:
        await self.before(amount)
        await self.part(amount)
        return await self.pay(amount)


class UnguardedParent(Saga):
    """Runs an unguarded child, then something that can be refused."""

    part = Nested(UnguardedPart)
    pay = Pivot(other.put, rejects=[Refused], barrier=True).probed_by(other.find)

    async def run(self, amount: int) -> str:
        await self.part(amount)
        return await self.pay(amount)


class Whole(Saga):
    """A child with a pivot, compensated as a whole by its parent."""

    one = Compensatable(shelf.put, barrier=True).compensated_by(shelf.take)
    two = Pivot(shelf.put, barrier=True).probed_by(shelf.find)
    three = Retriable(shelf.tell)

    async def run(self, amount: int) -> str:
        await self.one(amount)
        two = await self.two(amount)
        await self.three("told")
        return two


class Grandparent(Saga):
    """Children side by side: one that hands over, one compensated as a whole, one with a child of its own."""

    parent = Nested(Part)
    whole = Nested(Whole).compensated_by(shelf.take_whole)
    pay = Pivot(other.put, rejects=[Refused], barrier=True).probed_by(other.find)

    async def run(self, amount: int) -> str:
        await asyncio.gather(self.parent(amount), self.whole(amount))
        return await self.pay(amount)


class Loop(Saga):
    """The same step again and again, with a decision in each turn."""

    put = Compensatable(shelf.put, rejects=[Refused], barrier=True).compensated_by(shelf.take)
    more = Decision(bool, within=MINUTE * 10)
    tell = Retriable(other.tell)

    async def run(self, amount: int) -> int:
        turns = 0
        while turns < amount:
            await self.put(turns)
            turns += 1
            try:
                if not await self.more():
                    break
            except DecisionTimedOut:
                break
        await self.sleep(timedelta(hours=1))
        await self.tell("enough")
        return turns


class NoPivot(Saga):
    """Only compensatable steps."""

    one = Compensatable(shelf.put, rejects=[Refused], barrier=True).compensated_by(shelf.take)
    two = Compensatable(other.put_at_once, rejects=[Refused], settle_time=MINUTE).compensated_by(other.take)

    async def run(self, amount: int) -> str:
        await self.one(amount)
        return await self.two(amount)


class Looking(Saga):
    """Only looks."""

    look = ReadOnly(shelf.look)

    async def run(self, amount: int) -> int:
        return await self.look(amount) + await self.look(amount + 1)


class Leftover(Saga):
    """Returns while a step of it is in flight."""

    slow = Compensatable(shelf.put, barrier=True).compensated_by(shelf.take)
    quick = Compensatable(other.put, barrier=True).compensated_by(other.take)

    async def run(self, amount: int) -> str:
        left = asyncio.create_task(self._both(amount))
        quick = await self.quick(amount)
        return quick if left.done() else f"{quick}, and the rest was left"

    async def _both(self, amount: int) -> None:
        await self.slow(amount)
        await self.slow(amount + 1)


class Drawing(Saga):
    """Looks at the time and draws numbers."""

    one = Compensatable(shelf.put, rejects=[Refused], barrier=True).compensated_by(shelf.take)
    two = Compensatable(other.put, barrier=True).compensated_by(other.take)

    async def run(self, amount: int) -> str:
        """What is drawn, and the time, are inputs."""
        await self.one(self.random().randrange(1000))
        await self.sleep(timedelta(seconds=self.random().randrange(1, 10)))
        return await self.two(self.now().microsecond + amount)


class Buggy(Saga):
    """Has a bug after its first step."""

    one = Compensatable(shelf.put, barrier=True).compensated_by(shelf.take)

    async def run(self, amount: int) -> str:
        """Looks up what is not there."""
        return {"known": "key"}[await self.one(amount)]


class OutOfOrder(Saga):
    """Calls a compensatable step after the pivot, which only a missing check lets through."""

    one = Compensatable(shelf.put, barrier=True).compensated_by(shelf.take)
    two = Pivot(other.put, barrier=True).probed_by(other.find)

    async def run(self, amount: int) -> str:
        """Fails at its second call."""
        await self.two(amount)
        return await self.one(amount)


EVERY_SHAPE: tuple[type, ...] = (
    Transfer,
    Unguarded,
    Settling,
    Parallel,
    Grouped,
    Impatient,
    Beside,
    Racing,
    OtherWay,
    UnguardedOtherWay,
    Tentative,
    TentativeToTheEnd,
    Parent,
    UnguardedParent,
    Grandparent,
    Loop,
    NoPivot,
    Looking,
    Leftover,
    Drawing,
)

ANSWERS = {"Transfer": {"review": [True, False]}, "Loop": {"more": [True, False]}}


def answers_of(saga: Any) -> dict[Decision[Any], list[bool]]:
    """The answers that an exploration of one of these sagas gives."""
    return {getattr(saga, name): answers for name, answers in ANSWERS.get(saga.__name__, {}).items()}
