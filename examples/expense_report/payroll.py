"""The bank that pays employees: one of the banks of the money transfers, with two more activities."""

from sqlalchemy.orm import Session

from examples.money_transfer.bank import REFUSALS, Bank, available, post
from examples.money_transfer.models import AccountUnavailable, Credit, InsufficientFunds, Posting
from saga import Effect, Finding, current_step
from saga.participant import barrier

from .models import Payment

__all__ = ("PAYMENT_REFUSALS", "PayrollBank")

PAYMENT_REFUSALS = (InsufficientFunds, AccountUnavailable)
"""Why a payment is not made."""


class PayrollBank(Bank):
    """Pays employees from an account that is filled for each payment."""

    def take_back(self, effect: Effect[Credit, Posting]) -> None:
        """Take back what a credit brought; the barrier knows whether it brought anything."""
        with Session(self.engine) as session, session.begin():
            barrier.once(session, self._take_back, effect, rejects=REFUSALS)

    def pay(self, payment: Payment) -> Posting:
        """Move money between two accounts of this bank, which is one transaction: both lines, or none."""
        with Session(self.engine) as session, session.begin():
            return barrier.once(session, self._pay, payment, rejects=PAYMENT_REFUSALS)

    def find_payment(self, _: Payment) -> Finding[Posting]:
        """Tell whether a payment happened, and if not, make sure that it never will."""
        with Session(self.engine) as session:
            return barrier.probe(session, Posting)

    def _take_back(self, session: Session, effect: Effect[Credit, Posting]) -> None:
        account = available(session, effect.input.account)
        post(session, account, -effect.input.amount, key=current_step().key)

    def _pay(self, session: Session, payment: Payment) -> Posting:
        source, target = available(session, payment.source), available(session, payment.target)
        if source.cents < int(payment.amount * 100):
            msg = f"{payment.source} holds less than {payment.amount} EUR"
            raise InsufficientFunds(msg)
        post(session, source, -payment.amount, key=current_step().key)
        return post(session, target, payment.amount, key=current_step().key)
