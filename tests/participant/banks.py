"""A bank behind the barrier, with each of the four faces that SQLAlchemy gives to a transaction."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from pydantic import BaseModel
from sqlalchemy import Connection, Engine, String, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from saga.kernel import DidNotHappen, Effect, Happened, Kind, Role, StepContext
from saga.kernel._context import running_step
from saga.participant import barrier

OPENING = 100
"""What every account holds at first."""


class Base(DeclarativeBase):
    """The bank's own tables."""


class Account(Base):
    """An account."""

    __tablename__ = "account"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    balance: Mapped[int]


class Debit(BaseModel):
    """What to take from an account."""

    account: str = "anna"
    amount: int = 10


class Posting(BaseModel):
    """What was posted."""

    account: str
    amount: int
    balance: int


Found: TypeAlias = Happened[Posting] | DidNotHappen


class InsufficientFunds(Exception):
    """The account does not hold that much."""

    def __init__(self, message: str, details: object = None) -> None:
        super().__init__(message)
        self.details = details


@dataclass
class Script:
    """What the bodies of a bank go through; each fault comes after the change that it follows."""

    runs: list[str] = field(default_factory=list[str])
    raises: BaseException | None = None
    effects: list[Effect[Debit, Posting]] = field(default_factory=list[Effect[Debit, Posting]])

    def ran(self, name: str) -> None:
        """Note that a body changed something, and raise what it is told to."""
        self.runs.append(name)
        if self.raises is not None:
            raise self.raises


class Bank(Protocol):
    """What the tests do with a bank, whatever its transactions look like."""

    script: Script

    async def debit(self, debit: Debit, *, key: str | None = None, part: str = "") -> Posting:
        """Take money."""
        ...

    async def refund(self, effect: Effect[Debit, Posting], *, key: str | None = None, part: str = "") -> None:
        """Give it back."""
        ...

    async def confirm(self, posting: Posting) -> None:
        """Make it final; charges 1, to be seen."""
        ...

    async def forget(self, posting: Posting) -> str:
        """Drop what was kept; charges 1, to be seen."""
        ...

    async def find_debit(self, *, key: str | None = None, part: str = "") -> Found:
        """Ask whether money was taken."""
        ...


def change(transaction: Connection | Session, account: str, amount: int) -> Posting:
    """Change a balance; with a session it is left to be flushed by whoever comes after."""
    if isinstance(transaction, Session):
        row = transaction.get_one(Account, account, with_for_update=True)
        row.balance += amount
        return Posting(account=account, amount=amount, balance=row.balance)
    at = Account.name == account
    transaction.execute(update(Account).where(at).values(balance=Account.balance + amount))
    balance = transaction.execute(select(Account.balance).where(at)).scalar_one()
    return Posting(account=account, amount=amount, balance=balance)


@dataclass
class SyncBank:
    """A bank with synchronous transactions."""

    begin: Callable[[], AbstractContextManager[Connection | Session]]
    script: Script = field(default_factory=Script)

    async def debit(self, debit: Debit, *, key: str | None = None, part: str = "") -> Posting:
        """Do as `Bank` says."""
        return self.debit_now(debit, key=key, part=part)

    def debit_now(self, debit: Debit, *, key: str | None = None, part: str = "") -> Posting:
        """Do as `Bank` says."""
        with self.begin() as transaction:
            return barrier.once(transaction, self._debit, debit, rejects=[InsufficientFunds], key=key, part=part)

    def _debit(self, transaction: Connection | Session, debit: Debit) -> Posting:
        posting = change(transaction, debit.account, -debit.amount)
        self.script.ran("debit")
        return posting

    async def refund(self, effect: Effect[Debit, Posting], *, key: str | None = None, part: str = "") -> None:
        """Do as `Bank` says."""
        self.refund_now(effect, key=key, part=part)

    def refund_now(self, effect: Effect[Debit, Posting], *, key: str | None = None, part: str = "") -> None:
        """Do as `Bank` says."""
        with self.begin() as transaction:
            barrier.once(transaction, self._refund, effect, key=key, part=part)

    def _refund(self, transaction: Connection | Session, effect: Effect[Debit, Posting]) -> None:
        self.script.effects.append(effect)
        change(transaction, effect.input.account, effect.input.amount)
        self.script.ran("refund")

    async def confirm(self, posting: Posting) -> None:
        """Do as `Bank` says."""
        with self.begin() as transaction:
            barrier.once(transaction, self._confirm, posting)

    def _confirm(self, transaction: Connection | Session, posting: Posting) -> None:
        change(transaction, posting.account, -1)
        self.script.ran("confirm")

    async def forget(self, posting: Posting) -> str:
        """Do as `Bank` says."""
        with self.begin() as transaction:
            return barrier.once(transaction, self._forget, posting)

    def _forget(self, transaction: Connection | Session, posting: Posting) -> str:
        change(transaction, posting.account, -1)
        self.script.ran("forget")
        return "forgotten"

    async def find_debit(self, *, key: str | None = None, part: str = "") -> Found:
        """Do as `Bank` says."""
        return self.find_debit_now(key=key, part=part)

    def find_debit_now(self, *, key: str | None = None, part: str = "") -> Found:
        """Do as `Bank` says."""
        with self.begin() as transaction:
            return barrier.probe(transaction, Posting, key=key, part=part)


@dataclass
class AsyncBank:
    """A bank with asynchronous transactions."""

    begin: Callable[[], AbstractAsyncContextManager[AsyncConnection | AsyncSession]]
    script: Script = field(default_factory=Script)

    async def debit(self, debit: Debit, *, key: str | None = None, part: str = "") -> Posting:
        """Do as `Bank` says."""
        async with self.begin() as transaction:
            return await barrier.once(transaction, self._debit, debit, rejects=[InsufficientFunds], key=key, part=part)

    async def _debit(self, transaction: AsyncConnection | AsyncSession, debit: Debit) -> Posting:
        posting = await transaction.run_sync(change, debit.account, -debit.amount)
        self.script.ran("debit")
        return posting

    async def refund(self, effect: Effect[Debit, Posting], *, key: str | None = None, part: str = "") -> None:
        """Do as `Bank` says."""
        async with self.begin() as transaction:
            await barrier.once(transaction, self._refund, effect, key=key, part=part)

    async def _refund(self, transaction: AsyncConnection | AsyncSession, effect: Effect[Debit, Posting]) -> None:
        self.script.effects.append(effect)
        await transaction.run_sync(change, effect.input.account, effect.input.amount)
        self.script.ran("refund")

    async def confirm(self, posting: Posting) -> None:
        """Do as `Bank` says."""
        async with self.begin() as transaction:
            await barrier.once(transaction, self._confirm, posting)

    async def _confirm(self, transaction: AsyncConnection | AsyncSession, posting: Posting) -> None:
        await transaction.run_sync(change, posting.account, -1)
        self.script.ran("confirm")

    async def forget(self, posting: Posting) -> str:
        """Do as `Bank` says."""
        async with self.begin() as transaction:
            return await barrier.once(transaction, self._forget, posting)

    async def _forget(self, transaction: AsyncConnection | AsyncSession, posting: Posting) -> str:
        await transaction.run_sync(change, posting.account, -1)
        self.script.ran("forget")
        return "forgotten"

    async def find_debit(self, *, key: str | None = None, part: str = "") -> Found:
        """Do as `Bank` says."""
        async with self.begin() as transaction:
            return await barrier.probe(transaction, Posting, key=key, part=part)


def face(engine: Engine | AsyncEngine, style: str) -> SyncBank | AsyncBank:
    """Return a bank on that engine which uses Core connections or ORM sessions."""
    if isinstance(engine, AsyncEngine):
        return AsyncBank(engine.begin if style == "core" else lambda: _async_session(engine))
    return SyncBank(engine.begin if style == "core" else lambda: _session(engine))


@contextmanager
def _session(engine: Engine) -> Generator[Session]:
    with Session(engine) as session, session.begin():
        yield session


@asynccontextmanager
async def _async_session(engine: AsyncEngine) -> AsyncGenerator[AsyncSession]:
    async with AsyncSession(engine) as session, session.begin():
        yield session


@dataclass
class Books:
    """What an inspector sees who comes by another connection."""

    engine: Engine

    def balance(self, account: str = "anna") -> int:
        """Return what is on an account."""
        with self.engine.connect() as connection:
            return connection.execute(select(Account.balance).where(Account.name == account)).scalar_one()

    def records(self) -> list[tuple[str, str, str]]:
        """Return key, part and state of every row of the barrier."""
        with self.engine.connect() as connection:
            rows = connection.execute(text("SELECT key, part, state FROM saga_barrier ORDER BY key, part"))
            return [(row[0], row[1], row[2]) for row in rows]


@contextmanager
def step(
    role: Role = Role.ACTION,
    *,
    id: str = "transfer-42",
    call: str = "debit.1",
    kind: Kind = Kind.COMPENSATABLE,
) -> Generator[StepContext]:
    """Let the block be an activity of a running step."""
    action_key = f"{id}/{call}"
    key = action_key if role is Role.ACTION else f"{action_key}/{role.value}"
    context = StepContext(saga="MoneyTransfer", id=id, call=call, kind=kind, role=role, action_key=action_key, key=key)
    token = running_step.set(context)
    try:
        yield context
    finally:
        running_step.reset(token)


def done(posting: Posting, debit: Debit | None = None) -> Effect[Debit, Posting]:
    """The effect of a debit that is done."""
    return Effect[Debit, Posting](input=debit or Debit(), output=posting)


def in_doubt(debit: Debit | None = None) -> Effect[Debit, Posting]:
    """The effect of a debit that nobody knows about."""
    return Effect[Debit, Posting](input=debit or Debit(), in_doubt=True)
