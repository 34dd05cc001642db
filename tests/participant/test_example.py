from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from saga import Effect, Finding, Happened
from saga.kernel import Role
from saga.participant import barrier
from tests.participant.banks import Account, Books, Debit, InsufficientFunds, Posting, done, step


class Ledger:
    """The bank that the docstring of `saga.participant.barrier` shows."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def debit(self, debit: Debit) -> Posting:
        """Take money."""
        with Session(self.engine) as session, session.begin():
            return barrier.once(session, self._debit, debit, rejects=[InsufficientFunds])

    def _debit(self, session: Session, debit: Debit) -> Posting:
        account = session.get_one(Account, debit.account)
        account.balance -= debit.amount
        if account.balance < 0:
            raise InsufficientFunds(debit.account)
        return Posting(account=debit.account, amount=-debit.amount, balance=account.balance)

    def refund(self, effect: Effect[Debit, Posting]) -> None:
        """Give it back."""
        with Session(self.engine) as session, session.begin():
            barrier.once(session, self._refund, effect)

    def _refund(self, session: Session, effect: Effect[Debit, Posting]) -> None:
        session.get_one(Account, effect.input.account).balance += effect.input.amount

    def find_debit(self, debit: Debit) -> Finding[Posting]:
        """Ask whether money was taken."""
        with Session(self.engine) as session:
            return barrier.probe(session, Posting)


def test_example_does_what_it_says(url: str, engines: Callable[..., Engine]) -> None:
    """Debit, its repeat, its probe, its compensation, and a debit that is refused."""
    ledger = Ledger(engines(url))
    with step():
        posting = ledger.debit(Debit(amount=30))
        assert ledger.debit(Debit(amount=30)) == posting
    with step(Role.PROBE):
        assert ledger.find_debit(Debit(amount=30)) == Happened(output=posting)
    with step(Role.COMPENSATION):
        ledger.refund(done(posting, Debit(amount=30)))
        ledger.refund(done(posting, Debit(amount=30)))
    with step(call="debit.2"), pytest.raises(InsufficientFunds):
        ledger.debit(Debit(amount=101))
    assert Books(ledger.engine).balance() == 100
