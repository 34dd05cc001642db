"""A bank with a database of its own, behind the barrier: whatever arrives twice is posted once."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from saga import Effect, Finding, current_step
from saga.participant import barrier, create_barrier_tables

from .database import open_database
from .models import (
    AccountClosed,
    AccountFrozen,
    Credit,
    Debit,
    InsufficientFunds,
    Posting,
    UnknownAccount,
)

__all__ = ("REFUSALS", "AccountState", "Bank", "LedgerLine", "OpenAccount", "available", "post")


class AccountState(StrEnum):
    """What an account allows."""

    OPEN = "open"
    CLOSED = "closed"
    FROZEN = "frozen"


@dataclass(frozen=True, slots=True)
class OpenAccount:
    """An account as it is opened."""

    number: str
    balance: Decimal
    state: AccountState = AccountState.OPEN


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """A line of the ledger, with the idempotency key of whoever caused it."""

    key: str
    account: str
    amount: Decimal


class _Table(DeclarativeBase):
    pass


class _Account(_Table):
    __tablename__ = "account"

    number: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[AccountState]
    opening_cents: Mapped[int]
    cents: Mapped[int]


class _Line(_Table):
    __tablename__ = "ledger"

    id: Mapped[int] = mapped_column(primary_key=True)
    # Not unique: only the barrier keeps a key from acting twice, so the proof would see it fail.
    key: Mapped[str] = mapped_column(index=True)
    account: Mapped[str]
    cents: Mapped[int]


_UNAVAILABLE = {AccountState.CLOSED: AccountClosed, AccountState.FROZEN: AccountFrozen}


class Bank:
    """Keeps accounts and a ledger. Each activity is one transaction, which holds the barrier's row too.

    Args:
        path: The bank's database; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.engine = open_database(path)
        _Table.metadata.create_all(self.engine)
        create_barrier_tables(self.engine)

    # -- activities of the saga ----------------------------------------------------------

    def debit(self, debit: Debit) -> Posting:
        """Take money from an account."""
        with Session(self.engine) as session, session.begin():
            return barrier.once(session, self._debit, debit, rejects=[InsufficientFunds, *REFUSALS])

    def refund(self, effect: Effect[Debit, Posting]) -> None:
        """Give back what a debit took; the barrier knows whether it took anything."""
        with Session(self.engine) as session, session.begin():
            barrier.once(session, self._refund, effect, rejects=REFUSALS)

    def credit(self, credit: Credit) -> Posting:
        """Give money to an account."""
        with Session(self.engine) as session, session.begin():
            return barrier.once(session, self._credit, credit, rejects=REFUSALS)

    def find_credit(self, _: Credit) -> Finding[Posting]:
        """Tell whether a credit happened, and if not, make sure that it never will."""
        with Session(self.engine) as session:
            return barrier.probe(session, Posting)

    # -- what each of them does inside its transaction -----------------------------------

    def _debit(self, session: Session, debit: Debit) -> Posting:
        account = available(session, debit.account)
        if account.cents < _cents(debit.amount):
            msg = f"{debit.account} holds less than {debit.amount} EUR"
            raise InsufficientFunds(msg)
        return post(session, account, -debit.amount, key=current_step().key)

    def _refund(self, session: Session, effect: Effect[Debit, Posting]) -> None:
        account = available(session, effect.input.account)
        post(session, account, effect.input.amount, key=current_step().key)

    def _credit(self, session: Session, credit: Credit) -> Posting:
        account = available(session, credit.account)
        return post(session, account, credit.amount, key=current_step().key)

    # -- over the counter ----------------------------------------------------------------

    def open_accounts(self, accounts: Iterable[OpenAccount]) -> None:
        """Open accounts with money on them; those that are open already stay as they are."""
        with Session(self.engine) as session, session.begin():
            known = set(session.scalars(select(_Account.number)))
            for one in (each for each in accounts if each.number not in known):
                cents = _cents(one.balance)
                session.add(_Account(number=one.number, state=one.state, opening_cents=cents, cents=cents))

    def set_state(self, number: str, state: AccountState) -> None:
        """Freeze, close or free an account."""
        with Session(self.engine) as session, session.begin():
            session.get_one(_Account, number).state = state

    def post_by_hand(self, number: str, amount: Decimal, *, key: str) -> None:
        """Post what a clerk decided, whatever the account's state."""
        with Session(self.engine) as session, session.begin():
            post(session, session.get_one(_Account, number), amount, key=key)

    # -- for the auditor -----------------------------------------------------------------

    def opening_total(self) -> Decimal:
        """Return what all accounts held when they were opened."""
        return self._sum_of("opening_cents")

    def total(self) -> Decimal:
        """Return what all accounts hold now."""
        return self._sum_of("cents")

    def _sum_of(self, column: str) -> Decimal:
        with Session(self.engine) as session:
            return _euros(session.scalar(select(func.sum(getattr(_Account, column)))) or 0)

    def ledger(self) -> list[LedgerLine]:
        """Return every line that was ever posted, in order."""
        with Session(self.engine) as session:
            lines = session.scalars(select(_Line).order_by(_Line.id))
            return [LedgerLine(line.key, line.account, _euros(line.cents)) for line in lines]

    def unbalanced(self) -> list[str]:
        """Return the accounts whose balance is not what the ledger says."""
        posted = select(func.sum(_Line.cents)).where(_Line.account == _Account.number).scalar_subquery()
        wrong = _Account.cents != _Account.opening_cents + func.coalesce(posted, 0)
        with Session(self.engine) as session:
            return list(session.scalars(select(_Account.number).where(wrong)))

    def close(self) -> None:
        """Close the database."""
        self.engine.dispose()


REFUSALS = (UnknownAccount, AccountClosed, AccountFrozen)
"""Why a bank moves no money on an account."""


def available(session: Session, number: str) -> _Account:
    """Return an account that money can be moved on, locked where the database can."""
    account = session.get(_Account, number, with_for_update=True)
    if account is None:
        msg = f"there is no account {number}"
        raise UnknownAccount(msg)
    refusal = _UNAVAILABLE.get(account.state)
    if refusal is not None:
        msg = f"{number} is {account.state.value}"
        raise refusal(msg)
    return account


def post(session: Session, account: _Account, amount: Decimal, *, key: str) -> Posting:
    """Change a balance, and say so in the ledger."""
    line = _Line(key=key, account=account.number, cents=_cents(amount))
    account.cents += line.cents
    session.add(line)
    session.flush()
    return Posting(id=line.id, account=account.number, amount=amount)


def _cents(amount: Decimal) -> int:
    return int(amount * 100)


def _euros(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)
