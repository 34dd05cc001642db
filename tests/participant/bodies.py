"""Bodies for the barrier, one for each way in which a body may end."""

from __future__ import annotations

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from saga.errors import StepRejected
from tests.participant.banks import Debit, Posting, change


def take(transaction: Connection | Session, debit: Debit) -> Posting:
    """A body that takes money."""
    return change(transaction, debit.account, -debit.amount)


def charge(transaction: Connection | Session, debit: Debit) -> None:
    """Another body, which charges 1."""
    change(transaction, debit.account, -1)


def refuse(transaction: Connection | Session, debit: Debit) -> Posting:
    """A body that takes money and refuses then."""
    take(transaction, debit)
    raise StepRejected("no")


def fail(transaction: Connection | Session, debit: Debit) -> Posting:
    """A body that takes money and fails then."""
    take(transaction, debit)
    raise ZeroDivisionError


def commit(transaction: Connection | Session, debit: Debit) -> Posting:
    """A body that commits by itself."""
    posting = take(transaction, debit)
    transaction.commit()
    return posting


def commit_and_refuse(transaction: Connection | Session, debit: Debit) -> Posting:
    """A body that commits what it did and says then that it did nothing."""
    commit(transaction, debit)
    raise StepRejected("no")


def roll_back(transaction: Connection | Session, debit: Debit) -> Posting:
    """A body that rolls back by itself."""
    posting = take(transaction, debit)
    transaction.rollback()
    return posting
