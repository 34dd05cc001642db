"""Sagas and stories whose journals are kept in `golden`; they never change, so that old journals stay replayable.

`python -m tests.kernel._golden` writes the journals of stories that have none yet. It never touches those that exist:
what an older version wrote is the point of keeping it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel

from saga import (
    Compensatable,
    Decision,
    DecisionTimedOut,
    Effect,
    Finding,
    Nested,
    Pivot,
    ReadOnly,
    Retriable,
    Retry,
    Saga,
    StepInDoubt,
    StepRejected,
)
from saga.kernel import Fact, decode_fact, encode_fact
from saga.kernel import _facts as f
from saga.kernel._values import Failure, Reason
from tests.kernel._drive import SECOND, Driven, handed

FOLDER = Path(__file__).parent / "golden"
ONCE = Retry(attempts=1)


class Order(BaseModel):
    """The request."""

    amount: int
    owner: str


class Posting(BaseModel):
    """What a booking returns."""

    id: str


class Review(BaseModel):
    """An answer."""

    approved: bool


def rate(amount: int) -> int:
    """Look something up."""
    raise NotImplementedError


def debit(order: Order) -> Posting:
    """Take money."""
    raise NotImplementedError


def refund(effect: Effect[Order, Posting]) -> None:
    """Give it back."""
    raise NotImplementedError


def charge(order: Order) -> Posting:
    """Take a fee."""
    raise NotImplementedError


def void(posting: str) -> None:
    """Give it back, knowing the posting only."""
    raise NotImplementedError


def hold(amount: int) -> str:
    """Reserve."""
    raise NotImplementedError


def release(effect: Effect[int, str]) -> None:
    """Drop the reservation."""
    raise NotImplementedError


def settle(hold: str) -> None:
    """Make it final."""
    raise NotImplementedError


def forget(hold: str) -> None:
    """Drop what was kept."""
    raise NotImplementedError


def credit(order: Order) -> Posting:
    """Give money."""
    raise NotImplementedError


def find_credit(order: Order) -> Finding[Posting]:
    """Say whether it was given."""
    raise NotImplementedError


def notify(text: str) -> None:
    """Tell somebody."""
    raise NotImplementedError


def posting_of(effect: Effect[Order, Posting]) -> str:
    """Make the input of `void`."""
    return "unknown" if effect.output is None else effect.output.id


class GoldenTransfer(Saga):
    """Steps of every kind, side by side and one after the other, with a decision, a timer and a deadline."""

    deadline = timedelta(minutes=30)

    rate = ReadOnly(rate)
    debit = Compensatable(debit, settle_time=timedelta(minutes=1)).compensated_by(refund)
    fee = Compensatable(charge).given(posting_of).compensated_by(void, retry=ONCE)
    hold = Compensatable(hold).compensated_by(release).confirmed_by(settle).forgotten_by(forget)
    review = Decision(Review, within=timedelta(minutes=10))
    credit = Pivot(credit, safe_to_overtake=True).probed_by(find_credit)
    notify = Retriable(notify, retry=ONCE)

    async def run(self, request: Order) -> Posting:
        _, debited = await asyncio.gather(self.rate(request.amount), self.debit(request))
        try:
            await asyncio.wait_for(self.fee(request), 60)
        except (TimeoutError, StepRejected, StepInDoubt):
            await self.sleep(timedelta(seconds=5))
        await self.hold(request.amount)
        if request.amount > 100:
            try:
                review = await self.review()
                if not review.approved:
                    raise StepRejected("not approved")
            except DecisionTimedOut:
                await self.rate(self.random().randint(1, 6))
        try:
            credited = await self.credit(request)
        except StepRejected:
            credited = await self.credit(Order(amount=request.amount, owner="someone else"))
        await self.notify(f"{debited.id} {self.now().isoformat()}")
        return credited


class GoldenUnprobed(Saga):
    """Its pivot has no probe; it is named in its journal by another name than its class has."""

    credit = Pivot(credit)

    async def run(self, request: Order) -> Posting:
        return await self.credit(request)


class GoldenChild(Saga):
    """Hands over what it did."""

    debit = Compensatable(debit).compensated_by(refund)
    hold = Compensatable(hold).compensated_by(release)

    async def run(self, request: Order) -> Posting:
        debited = await self.debit(request)
        await self.hold(request.amount)
        return debited


class GoldenParent(Saga):
    """Runs a child, and one that is compensated as a whole."""

    child = Nested(GoldenChild)
    whole = Nested(GoldenUnprobed).compensated_by(refund)
    credit = Pivot(credit)

    async def run(self, request: Order) -> Posting:
        await self.child(request)
        await self.whole(request)
        return await self.credit(request)


class GoldenBug(Saga):
    """Its journal was written while `run` had a bug."""

    debit = Compensatable(debit).compensated_by(refund)
    credit = Pivot(credit)

    async def run(self, request: Order) -> Posting:
        await self.debit(request)
        return await self.credit(request)


class Buggy(GoldenBug, name="GoldenBug"):
    """The bug."""

    async def run(self, request: Order) -> Posting:
        debited = await self.debit(request)
        raise KeyError(debited)


# -- stories ---------------------------------------------------------------------------

SMALL = Order(amount=5, owner="rita").model_dump_json()
LARGE = Order(amount=500, owner="rita").model_dump_json()
POSTING = '{"id":"p-1"}'


@dataclass(frozen=True, slots=True)
class Story:
    """How a journal came about."""

    saga: type[Saga]
    tell: Callable[[], list[Fact]]


STORIES: dict[str, Story] = {}


def story(saga: type[Saga]) -> Callable[[Callable[[], Driven]], Callable[[], Driven]]:
    """Put a story on the list."""

    def put(tell: Callable[[], Driven]) -> Callable[[], Driven]:
        STORIES[tell.__name__] = Story(saga, lambda: tell().facts)
        return tell

    return put


def started(request: str = SMALL) -> Driven:
    """The first steps are done."""
    driven = Driven(GoldenTransfer, request, id="golden-1")
    return driven.done("debit.1", POSTING).done("rate.1", "7")


def held(request: str = SMALL) -> Driven:
    """Everything before the decision and the pivot is done."""
    return started(request).done("fee.1", '{"id":"f-1"}').done("hold.1", '"h-1"')


@story(GoldenTransfer)
def completed() -> Driven:
    """With a failed attempt, a take-over, confirmations and forgetting."""
    driven = started()
    failure = Failure(type="OSError", message="lost")
    driven.take(f.AttemptFailed(at=driven.at + SECOND, call="fee.1", attempt=1, failure=failure))
    driven.resumed(crashed=True).resumed(crashed=False).done("fee.1", '{"id":"f-1"}', attempts=2)
    driven.done("hold.1", '"h-1"').done("credit.1", '{"id":"c-1"}').done("hold.1/confirmation")
    return driven.done("notify.1").done("hold.1/forget")


@story(GoldenTransfer)
def reviewed() -> Driven:
    """The answer came early, and again."""
    driven = started(LARGE).decide("review.1", '{"approved":true}').decide("review.1", '{"approved":false}')
    return driven.done("fee.1", '{"id":"f-1"}').done("hold.1", '"h-1"').done("credit.1", '{"id":"c-1"}')


@story(GoldenTransfer)
def nobody_answered() -> Driven:
    """The decision timed out, chance was used, and the deadline passed in the end."""
    return held(LARGE).fire("review.1").done("rate.2", "7").fire("deadline").rejected("credit.1")


@story(GoldenTransfer)
def abandoned_and_in_doubt() -> Driven:
    """What `run` gave up is compensated before the pivot."""
    driven = started().fire("timer.1").in_doubt("fee.1").fire("timer.2").done("hold.1", '"h-1"')
    return driven.done("fee.1/compensation")


@story(GoldenTransfer)
def rejected_and_called_again() -> Driven:
    """The second pivot is in doubt, and its probe says that it happened."""
    driven = held().rejected("credit.1").in_doubt("credit.2", overdue=True)
    return driven.happened("credit.2", '{"id":"c-2"}').done("hold.1/confirmation").rejected("notify.1").retry()


@story(GoldenTransfer)
def compensated() -> Driven:
    """A compensation was refused and done by hand; one call had to settle first."""
    driven = Driven(GoldenTransfer, SMALL, id="golden-1").done("rate.1", "7")
    driven.done("debit.1", POSTING, overdue=True, attempts=2).done("fee.1", '{"id":"f-1"}').cancel()
    driven.in_doubt("hold.1").done("hold.1/compensation").rejected("fee.1/compensation")
    return driven.fire("debit.1/settle").done("debit.1/compensation").cancel().skip("fee.1")


@story(GoldenTransfer)
def aborted() -> Driven:
    """By an operator."""
    return started().abort().rejected("fee.1").fire("deadline").done("debit.1/compensation")


@story(GoldenTransfer)
def not_approved() -> Driven:
    """`run` itself gave up."""
    return held(LARGE).decide("review.1", '{"approved":false}').compensate_all()


@story(GoldenTransfer)
def undecodable() -> Driven:
    """Its request is none."""
    return Driven(GoldenTransfer, '{"amount":"many"}', id="golden-1")


@story(GoldenUnprobed)
def resolved() -> Driven:
    """An operator knew that the pivot had not happened."""
    return Driven(GoldenUnprobed, SMALL, id="golden-2").in_doubt("credit.1").resolve_did_not_happen("credit.1")


@story(GoldenUnprobed)
def poisoned() -> Driven:
    """Its owners crashed until it was STUCK; then an operator retried."""
    driven = Driven(GoldenUnprobed, SMALL, id="golden-2", replayed=False).resumed(epoch=20)
    driven.decider.get_stuck(Reason.POISON, Failure(type="Poison", message="10 owners in a row ended"))
    driven.facts += driven.decider.out
    driven.decider.out = []
    return driven.reload(GoldenUnprobed).retry().done("credit.1", POSTING)


@story(GoldenParent)
def nested() -> Driven:
    """What a child handed over is compensated at its place."""
    child = Driven(GoldenChild, SMALL, id="golden-3~child.1", handed_over=True).done("debit.1", POSTING)
    child.done("hold.1", '"h-1"')
    driven = Driven(GoldenParent, SMALL, id="golden-3").done("child.1", **handed(child))
    return driven.done("whole.1", '{"id":"w-1"}').rejected("credit.1").compensate_all()


@story(GoldenBug)
def bug() -> Driven:
    """STUCK twice by a bug that is fixed today."""
    driven = Driven(Buggy, SMALL, id="golden-4", replayed=False).done("debit.1", POSTING)
    return driven.retry().retry()


# -- files -----------------------------------------------------------------------------


def write(path: Path, facts: list[Fact]) -> None:
    """Keep a journal: each fact with its payload, as they are stored."""
    rows = [[encode_fact(fact), fact.payload] for fact in facts]
    text = json.dumps(rows, indent=1, ensure_ascii=False).replace(f"{Path(__file__).parents[2]}/", "")  # tracebacks
    path.write_text(text + "\n", encoding="utf-8")


def read(path: Path) -> list[Fact]:
    """Read a journal that was kept."""
    return [decode_fact(body, payload) for body, payload in json.loads(path.read_text(encoding="utf-8"))]


def main() -> None:
    """Write the journals of stories that have none yet."""
    for name, each in STORIES.items():
        path = FOLDER / f"{name}.json"
        if not path.exists():
            write(path, each.tell())


if __name__ == "__main__":
    main()
