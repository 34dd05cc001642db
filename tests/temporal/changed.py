"""The money transfer of `shop`, as later versions of its code might look; importable, as the sandbox needs."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel

from saga import Compensatable, Decision, Pivot, ReadOnly, Retriable, Retry, Saga, participant
from tests.temporal.shop import Transfer, count, discount, source, target

SOON = Retry(first=timedelta(milliseconds=10))


class Added(Saga, name="MoneyTransfer"):
    """A step before the others."""

    audit = ReadOnly(count)
    debit = Compensatable(source.debit).compensated_by(source.refund)
    credit = Pivot(target.credit)
    mail = Retriable(source.mail, retry=SOON)

    async def run(self, transfer: Transfer) -> int:
        """Look first."""
        await self.audit(1)
        await self.debit(transfer)
        credited = await self.credit(transfer)
        await self.mail("done")
        return credited


class Renamed(Saga, name="MoneyTransfer"):
    """A step with another name."""

    withdraw = Compensatable(source.debit).compensated_by(source.refund)
    credit = Pivot(target.credit)
    mail = Retriable(source.mail, retry=SOON)

    async def run(self, transfer: Transfer) -> int:
        """Withdraw, credit, tell."""
        await self.withdraw(transfer)
        credited = await self.credit(transfer)
        await self.mail("done")
        return credited


class Removed(Saga, name="MoneyTransfer"):
    """A step less."""

    debit = Compensatable(source.debit).compensated_by(source.refund)
    credit = Pivot(target.credit)

    async def run(self, transfer: Transfer) -> int:
        """Debit, credit."""
        await self.debit(transfer)
        return await self.credit(transfer)


class Asking(Saga, name="MoneyTransfer"):
    """A question before the pivot."""

    debit = Compensatable(source.debit).compensated_by(source.refund)
    review = Decision(bool, within=timedelta(hours=1))
    credit = Pivot(target.credit)
    mail = Retriable(source.mail, retry=SOON)

    async def run(self, transfer: Transfer) -> int:
        """Ask."""
        await self.debit(transfer)
        await self.review()
        credited = await self.credit(transfer)
        await self.mail("done")
        return credited


class Two(Saga, name="Reviewed"):
    """Two steps before the question, in this order."""

    before = Compensatable(count).compensated_by(discount)
    other = Compensatable(count).compensated_by(discount)
    review = Decision(bool, within=timedelta(hours=1))

    async def run(self, number: int) -> int:
        """One, two, ask."""
        await self.before(1)
        await self.other(2)
        return number if await self.review() else 0


class Moved(Saga, name="Reviewed"):
    """The same steps, the other way round; declared as they were."""

    before = Compensatable(count).compensated_by(discount)
    other = Compensatable(count).compensated_by(discount)
    review = Decision(bool, within=timedelta(hours=1))

    async def run(self, number: int) -> int:
        """Two, one, ask."""
        await self.other(2)
        await self.before(1)
        return number if await self.review() else 0


class Longer(Saga, name="Reviewed"):
    """One more step, after the question."""

    before = Compensatable(count).compensated_by(discount)
    other = Compensatable(count).compensated_by(discount)
    review = Decision(bool, within=timedelta(hours=1))
    after = Compensatable(count).compensated_by(discount)

    async def run(self, number: int) -> int:
        """One, two, ask, three."""
        await self.before(1)
        await self.other(2)
        return await self.after(number) if await self.review() else 0


class Doubled(Saga, name="Reviewed"):
    """The same steps in the same order, one of them with another input."""

    before = Compensatable(count).compensated_by(discount)
    other = Compensatable(count).compensated_by(discount)
    review = Decision(bool, within=timedelta(hours=1))

    async def run(self, number: int) -> int:
        """One, four, ask."""
        await self.before(1)
        await self.other(4)
        return number if await self.review() else 0


class Paid(Saga):
    """A pivot, and a question after it."""

    pay = Pivot(count)
    review = Decision(bool, within=timedelta(hours=1))

    async def run(self, number: int) -> int:
        """Pay, ask."""
        await self.pay(number)
        await self.review()
        return number


class PaidBack(Saga, name="Paid"):
    """The pivot became a step that can be compensated."""

    pay = Compensatable(count).compensated_by(discount)
    review = Decision(bool, within=timedelta(hours=1))

    async def run(self, number: int) -> int:
        """Pay, ask."""
        await self.pay(number)
        await self.review()
        return number


class Parcel(BaseModel):
    """What is sent."""

    number: int


class InsuredParcel(BaseModel):
    """What is sent, in later code."""

    number: int
    insured: bool = False


class Post:
    """Sends parcels."""

    def send(self, parcel: Parcel) -> int:
        """Send it."""
        return parcel.number


class InsuringPost:
    """Sends parcels, in later code."""

    def send(self, parcel: InsuredParcel) -> int:
        """Send it."""
        return parcel.number


class Sent(Saga):
    """One step, with a model as its input."""

    send = Pivot(participant(Post, "post").send)
    review = Decision(bool, within=timedelta(hours=1))

    async def run(self, number: int) -> int:
        """Send, ask."""
        await self.send(Parcel(number=number))
        await self.review()
        return number


class SentInsured(Saga, name="Sent"):
    """The model got a field with a default."""

    send = Pivot(participant(InsuringPost, "post").send)
    review = Decision(bool, within=timedelta(hours=1))

    async def run(self, number: int) -> int:
        """Send, ask."""
        await self.send(InsuredParcel(number=number))
        await self.review()
        return number
