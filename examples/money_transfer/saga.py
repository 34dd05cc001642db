"""The saga: a money transfer between two banks, as one typed class."""

from datetime import timedelta
from decimal import Decimal

from saga import Compensatable, Decision, Pivot, Retriable, Saga, SagaAborted, participant

from .bank import Bank
from .mail import MailSender
from .models import (
    AccountUnavailable,
    Credit,
    Debit,
    InsufficientFunds,
    Mail,
    Receipt,
    Review,
    Transfer,
)

__all__ = ("REVIEW_LIMIT", "MoneyTransfer")

REVIEW_LIMIT = Decimal(10_000)
"""Above this amount, in euros, a person is asked before the money reaches the target account."""

# Typed stand-ins: no connection and no credentials at import. The engine is given the real participants.
source_bank = participant(Bank, "source_bank")
target_bank = participant(Bank, "target_bank")
mail = participant(MailSender, "mail")


class MoneyTransfer(Saga):
    """Moves money from an account at one bank to an account at another."""

    deadline = timedelta(days=1)

    debit = Compensatable(
        source_bank.debit, rejects=[InsufficientFunds, AccountUnavailable], barrier=True
    ).compensated_by(source_bank.refund)
    review = Decision(Review, within=timedelta(hours=4))
    credit = Pivot(target_bank.credit, rejects=[AccountUnavailable], barrier=True).probed_by(target_bank.find_credit)
    notify = Retriable(mail.send)

    async def run(self, transfer: Transfer) -> Receipt:
        """Debit, let a person review what is large, credit, and send the receipt."""
        debited = await self.debit(Debit(account=transfer.source, amount=transfer.amount))
        if transfer.amount > REVIEW_LIMIT and not (review := await self.review()).approved:
            raise SagaAborted(review.reason)
        credited = await self.credit(Credit(account=transfer.target, amount=transfer.amount))
        await self.notify(Mail(to=transfer.owner, text=f"{transfer.amount} EUR reached {transfer.target}."))
        return Receipt(debit=debited.id, credit=credited.id)
