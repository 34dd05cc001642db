"""Right use of the typed surface; neither checker has anything to say."""

# mypy: enable-error-code="arg-type,assignment,misc,no-any-return,var-annotated"

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any, TypeVar, assert_type

from pydantic import BaseModel

from saga import (
    AskAgain,
    Compensatable,
    Decision,
    DidNotHappen,
    Effect,
    EmbeddedEngine,
    Engine,
    Finding,
    Happened,
    Nested,
    Pivot,
    ReadOnly,
    Retriable,
    Retry,
    Saga,
    SagaHandle,
    participant,
)
from saga.kernel import CompensatableStep, DecisionView, Fact, SagaSummary


class Transfer(BaseModel):
    source: str
    target: str
    amount: int


class Debit(BaseModel):
    account: str
    amount: int


class Credit(BaseModel):
    account: str
    amount: int


class Posting(BaseModel):
    id: str


class Receipt(BaseModel):
    debit: str
    credit: str


class Mail(BaseModel):
    to: str


class Review(BaseModel):
    approved: bool


class Refund(BaseModel):
    posting: str


class InsufficientFunds(Exception):
    pass


class Bank:
    async def debit(self, debit: Debit) -> Posting:
        return Posting(id="p")

    async def refund(self, effect: Effect[Debit, Posting]) -> None: ...

    async def credit(self, credit: Credit) -> Posting:
        return Posting(id="p")

    async def find_credit(self, credit: Credit) -> Finding[Posting]:
        if credit.amount:
            return Happened(output=Posting(id="p"))
        return DidNotHappen() if credit.account else AskAgain()

    def balance(self, account: str) -> int:
        return 0

    def confirm(self, posting: Posting) -> None: ...


def refund_by_posting(refund: Refund) -> None: ...


def find_credit_in_thread(credit: Credit) -> Finding[Posting]:
    return DidNotHappen()


def send_receipt(mail: Mail) -> None: ...


async def send_receipt_async(mail: Mail) -> None: ...


Function = TypeVar("Function", bound=Callable[..., Any])


def defn(function: Function) -> Function:
    """As `temporalio.activity.defn` is typed."""
    return function


@defn
async def existing(debit: Debit) -> Posting:
    return Posting(id="p")


@defn
def existing_in_thread(effect: Effect[Debit, Posting]) -> None: ...


source_bank = participant(Bank, "source_bank")
target_bank = participant(Bank, "target_bank")
assert_type(source_bank, Bank)


class MoneyTransfer(Saga):
    deadline = timedelta(minutes=5)

    balance = ReadOnly(source_bank.balance)
    debit = Compensatable(source_bank.debit, rejects=[InsufficientFunds]).compensated_by(source_bank.refund)
    mapped = (
        Compensatable(source_bank.debit, barrier=True)
        .given(lambda effect: Refund(posting=effect.output.id if effect.output else ""))
        .compensated_by(refund_by_posting, timeout=timedelta(seconds=5), retry=Retry(attempts=5))
    )
    tentative = (
        Compensatable(source_bank.debit)
        .compensated_by(source_bank.refund)
        .confirmed_by(source_bank.confirm)
        .forgotten_by(source_bank.confirm)
    )
    review = Decision(Review, within=timedelta(hours=4))
    credit = Pivot(target_bank.credit, rejects=[ValueError]).probed_by(target_bank.find_credit)
    existing = Compensatable(existing).compensated_by(existing_in_thread)
    notify = Retriable(send_receipt)
    notify_async = Retriable(send_receipt_async)

    async def run(self, transfer: Transfer) -> Receipt:
        balance = await self.balance(transfer.source)
        assert_type(balance, int)
        debited = await self.debit(Debit(account=transfer.source, amount=transfer.amount))
        assert_type(debited, Posting)
        assert_type(await self.existing(Debit(account="a", amount=1)), Posting)
        review = await self.review()
        assert_type(review, Review)
        credited = await self.credit(Credit(account=transfer.target, amount=transfer.amount))
        assert_type(credited, Posting)
        one, two = await asyncio.gather(self.notify(Mail(to="a")), self.notify_async(Mail(to="b")))
        assert_type(one, None)
        assert_type(two, None)
        task: asyncio.Task[None] = asyncio.create_task(self.notify(Mail(to="a")))
        assert_type(await task, None)
        async with asyncio.TaskGroup() as group:
            grouped = group.create_task(self.balance(transfer.source))
        assert_type(grouped.result(), int)
        assert_type(await asyncio.wait_for(self.balance("a"), 1), int)
        await self.sleep(timedelta(seconds=1))
        return Receipt(debit=debited.id, credit=credited.id)


class Child(Saga):
    debit = Compensatable(source_bank.debit).compensated_by(source_bank.refund)

    async def run(self, debit: Debit) -> Posting:
        return await self.debit(debit)


async def compensate_child(effect: Effect[Debit, Posting]) -> None:
    assert_type(effect.input, Debit)
    assert_type(effect.output, Posting | None)
    if effect.output is not None:
        assert_type(effect.output.id, str)


class Parent(Saga):
    child = Nested(Child)
    whole = Nested(Child).compensated_by(compensate_child)
    probed = Pivot(target_bank.credit).probed_by(find_credit_in_thread)

    async def run(self, debit: Debit) -> str:
        done = await self.child(debit)
        assert_type(done, Posting)
        return done.id


assert_type(MoneyTransfer.debit, CompensatableStep[Debit, Posting])
assert_type(MoneyTransfer.credit, Pivot[Credit, Posting])
assert_type(MoneyTransfer.review, Decision[Review])
assert_type(Parent.child, Nested[Debit, Posting])


async def embedded(transfer: Transfer) -> None:
    banks = {"source_bank": Bank(), "target_bank": Bank()}
    async with EmbeddedEngine("sqlite:///transfers.db", sagas=[MoneyTransfer, Parent], participants=banks) as engine:
        assert_type(await engine.run(MoneyTransfer, transfer, id="transfer-42"), Receipt)
        await use(engine, transfer)


async def use(engine: Engine, transfer: Transfer) -> None:
    receipt = await engine.run(MoneyTransfer, transfer, id="transfer-42")
    assert_type(receipt, Receipt)
    handle = await engine.start(MoneyTransfer, transfer, id="transfer-42")
    assert_type(handle, SagaHandle[Receipt])
    assert_type(await handle.result(), Receipt)
    again = await engine.get(MoneyTransfer, "transfer-42")
    assert_type(again, SagaHandle[Receipt])
    assert_type(await handle.decide(MoneyTransfer.review, Review(approved=True), by="rita"), DecisionView)
    await handle.resolve(MoneyTransfer.credit, Happened(output=Posting(id="p")), by="olga", why="saw it")
    await handle.resolve(MoneyTransfer.credit, DidNotHappen(), call=2, by="olga", why="looked")
    await handle.skip(MoneyTransfer.debit, by="olga", why="by hand")
    await handle.skip(Parent.whole, by="olga", why="by hand")
    await handle.skip(Child.debit, within="child.1", by="olga", why="by hand", seen=await handle.view())
    await handle.resolve(Child.debit, DidNotHappen(), within="child.1", by="olga", why="looked")
    await handle.retry(by="olga", why="fixed")
    assert_type(handle.facts(), AsyncIterator[Fact])
    async for summary in engine.list(saga=MoneyTransfer, limit=10):
        assert_type(summary, SagaSummary)
