"""Wrong use of the typed surface, and what an author reads about it."""

# mypy: enable-error-code="arg-type,assignment,misc,no-any-return,var-annotated"

import asyncio
from datetime import timedelta

from pydantic import BaseModel

from saga import (
    Compensatable,
    Decision,
    Effect,
    Engine,
    Finding,
    Happened,
    Nested,
    Pivot,
    ReadOnly,
    Retriable,
    Saga,
    SagaHandle,
    participant,
)


class Transfer(BaseModel):
    amount: int


class Debit(BaseModel):
    amount: int


class Credit(BaseModel):
    amount: int


class Posting(BaseModel):
    id: str


class Receipt(BaseModel):
    id: str


class Mail(BaseModel):
    to: str


class Review(BaseModel):
    approved: bool


class Bank:
    async def debit(self, debit: Debit) -> Posting:
        return Posting(id="p")

    async def refund(self, effect: Effect[Debit, Posting]) -> None: ...

    async def reverse(self, effect: Effect[Credit, Posting]) -> None: ...

    async def credit(self, credit: Credit) -> Posting:
        return Posting(id="p")

    async def find_credit(self, credit: Credit) -> Finding[Posting]:
        return Happened(output=Posting(id="p"))

    async def find_debit(self, debit: Debit) -> Finding[Posting]:
        return Happened(output=Posting(id="p"))

    async def find_receipt(self, credit: Credit) -> Finding[Receipt]:
        return Happened(output=Receipt(id="p"))

    async def confirm(self, receipt: Receipt) -> None: ...


def send(mail: Mail) -> None: ...


def two(one: int, other: int) -> None: ...


bank = participant(Bank, "bank")


class MoneyTransfer(Saga):
    debit = Compensatable(bank.debit).compensated_by(bank.refund)
    hold = Compensatable(bank.debit)
    half = Compensatable(bank.debit).given(lambda effect: "p")
    review = Decision(Review, within=timedelta(hours=4))
    credit = Pivot(bank.credit).probed_by(bank.find_credit)
    notify = Retriable(send)

    wrong_compensation = Compensatable(bank.debit).compensated_by(bank.reverse)  # mypy: "Argument 1 to "compensated_by" of "Compensatable" has incompatible type "Callable\[\[Effect\[Credit, Posting\]\], Coroutine\[Any, Any, None\]\]"; expected "Callable\[\[Effect\[Debit, Posting\]\], object\]"" # pyright: "cannot be assigned to parameter "compensation"(.|\n)*"Debit" is not the same as "Credit""
    wrong_mapping = Compensatable(bank.debit).given(lambda effect: 5).compensated_by(send)  # mypy: "incompatible type "Callable\[\[Mail\], None\]"; expected "Callable\[\[int\], object\]"" # pyright: ""int" is not assignable to "Mail""
    wrong_probe = Pivot(bank.credit).probed_by(bank.find_debit)  # mypy: "Argument 1 to "probed_by" of "Pivot" has incompatible type "Callable\[\[Debit\]" # pyright: "cannot be assigned to parameter "probe"(.|\n)*"Credit" is not assignable to "Debit""
    wrong_finding = Pivot(bank.credit).probed_by(bank.find_receipt)  # mypy: "Argument 1 to "probed_by" of "Pivot" has incompatible type .*Happened\[Receipt\]" # pyright: "cannot be assigned to parameter "probe"(.|\n)*Finding\[Posting\]"
    wrong_confirmation = Compensatable(bank.debit).compensated_by(bank.refund).confirmed_by(bank.confirm)  # mypy: "expected "Callable\[\[Posting\], object\]"" # pyright: ""Posting" is not assignable to "Receipt""
    wrong_rejects = ReadOnly(bank.credit, rejects=[5])  # mypy: "has incompatible type "int"; expected "type\[Exception\]"" # pyright: "No overloads" # pyright: ""Literal\[5\]" is not assignable to type "type\[Exception\]""
    wrong_activity = ReadOnly(two)  # mypy: "Need type annotation" # mypy: ""ReadOnly" has incompatible type "Callable\[\[int, int\], None\]"" # mypy: ""ReadOnly" has incompatible type "Callable\[\[int, int\], None\]"" # pyright: "No overloads" # pyright: "Extra parameter "other""
    wrong_nested = Nested(Bank)  # mypy: "Need type annotation" # mypy: ""Nested" has incompatible type "type\[Bank\]"" # mypy: ""Nested" has incompatible type "type\[Bank\]"" # pyright: "partially unknown" # pyright: ""Bank" is incompatible with protocol "Runs"

    async def run(self, transfer: Transfer) -> Receipt:
        await self.hold(Debit(amount=1))  # mypy: "^"Compensatable\[Debit, Posting\]" not callable$" # pyright: "^Object of type "Compensatable\[Debit, Posting\]" is not callable"
        await self.half(Debit(amount=1))  # mypy: "^"Given\[Debit, Posting, str\]" not callable$" # pyright: "^Object of type "Given\[Debit, Posting, str\]" is not callable"
        await self.notify(transfer)  # mypy: "^Argument 1 has incompatible type "Transfer"; expected "Mail"$" # pyright: ""Transfer" is not assignable to "Mail""
        await self.notify()  # mypy: "Too few arguments" # pyright: "Expected 1 more positional argument"
        await self.review("please")  # mypy: "Too many arguments" # pyright: "Expected 0 positional arguments"
        self.debit(Debit(amount=1))  # mypy: "Value of type "Coroutine\[Any, Any, Posting\]" must be used" # pyright: "Result of async function call is not used"
        receipt: Receipt = await self.debit(Debit(amount=1))  # mypy: "expression has type "Posting", variable has type "Receipt"" # pyright: ""Posting" is not assignable to "Receipt""
        await asyncio.gather(self.debit(Credit(amount=1)))  # mypy: "^Argument 1 has incompatible type "Credit"; expected "Debit"$" # pyright: ""Credit" is not assignable to "Debit""
        return receipt


async def compensate(effect: Effect[Debit, Posting]) -> str:
    return effect.output.id  # mypy: "^Item "None" of "Posting \| None" has no attribute "id"$" # pyright: "^"id" is not a known attribute of "None""


async def use(engine: Engine, handle: SagaHandle[Receipt]) -> None:
    await engine.run(MoneyTransfer, Debit(amount=1), id="transfer-42")  # mypy: "^Cannot infer value of type parameter "Request" of "run" of "Engine"$" # pyright: ""Debit" is not assignable to "Transfer""
    await engine.run(Bank, Transfer(amount=1), id="transfer-42")  # mypy: ""run" of "Engine" has incompatible type "type\[Bank\]"" # pyright: ""Bank" is incompatible with protocol "Runs"
    await engine.run(MoneyTransfer, Transfer(amount=1))  # mypy: "Missing named argument "id"" # pyright: "Argument missing for parameter "id""
    text: str = await engine.run(MoneyTransfer, Transfer(amount=1), id="transfer-42")  # mypy: "expected "type\[Runs\[Transfer, str\]\]"" # pyright: ""Receipt" is not assignable to "str""
    await handle.decide(MoneyTransfer.review, True, by="rita")  # mypy: "^Cannot infer value of type parameter "Answer" of "decide" of "SagaHandle"$" # pyright: ""Literal\[True\]" is not assignable to "Review""
    await handle.decide(MoneyTransfer.debit, Review(approved=True), by="rita")  # mypy: "incompatible type "CompensatableStep\[Debit, Posting\]"; expected "Decision\[Review\]"" # pyright: ""CompensatableStep\[Debit, Posting\]" is not assignable to "Decision\[Review\]""
    await handle.resolve(MoneyTransfer.credit, Happened(output=text), by="olga", why="saw it")  # mypy: "^Cannot infer value of type parameter "Output" of "resolve" of "SagaHandle"$" # pyright: ""Happened\[str\]" is not assignable to "Happened\[Posting\]""
    await handle.resolve(MoneyTransfer.review, Happened(output=text), by="olga", why="saw it")  # mypy: "incompatible type "Decision\[Review\]"; expected "Step" # pyright: ""Decision\[Review\]" is not assignable to "Step"
    await handle.skip(MoneyTransfer.credit, by="olga", why="by hand")  # mypy: ""skip" of "SagaHandle" has incompatible type "Pivot\[Credit, Posting\]"" # pyright: ""Pivot\[Credit, Posting\]" is not assignable to"
    await handle.retry()  # mypy: "Missing named argument "by"" # mypy: "Missing named argument "why"" # pyright: "Arguments missing for parameters "by", "why""
