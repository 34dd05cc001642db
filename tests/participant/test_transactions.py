from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from textwrap import dedent

import pytest
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from saga.errors import PayloadTooLargeError, StepRejected
from saga.kernel import PAYLOAD_LIMIT, Effect, Role
from saga.participant import BarrierError, barrier, is_recorded
from tests.participant.banks import (
    OPENING,
    Account,
    Books,
    Debit,
    Posting,
    SyncBank,
    change,
    step,
)
from tests.participant.bodies import commit, commit_and_refuse, fail, refuse, roll_back, take
from tests.participant.conftest import async_engine

ACTION = "transfer-42/debit.1"
Engines = Callable[..., Engine]


def test_nothing_is_there_if_the_caller_does_not_commit(url: str, engines: Engines) -> None:
    """The barrier leaves the commit of a done action to the caller."""
    engine = engines(url)
    with step(), Session(engine) as session:
        barrier.once(session, take, Debit())
        session.rollback()
    with step(), engine.connect() as connection:
        barrier.once(connection, take, Debit())
    assert Books(engine).records() == []
    assert Books(engine).balance() == OPENING


@pytest.mark.parametrize("style", ["core", "orm"])
def test_caller_who_commits_after_a_failure_commits_nothing_of_it(url: str, engines: Engines, style: str) -> None:
    """The body's change and the barrier's row are gone before the exception reaches the caller."""
    engine = engines(url)
    with step(), Session(engine) if style == "orm" else engine.connect() as transaction:
        with pytest.raises(ZeroDivisionError):
            barrier.once(transaction, fail, Debit())
        transaction.commit()
        assert Books(engine).records() == []
        assert Books(engine).balance() == OPENING
        barrier.once(transaction, take, Debit())
        transaction.commit()
    assert Books(engine).balance() == 90


def test_flush_that_fails_takes_the_row_with_it(url: str, engines: Engines) -> None:
    """What the body left to be flushed is part of it."""
    engine = engines(url)

    def open_again(session: Session, debit: Debit) -> None:
        session.add(Account(name=debit.account, balance=0))

    with step(), Session(engine) as session:
        with pytest.raises(IntegrityError):
            barrier.once(session, open_again, Debit())
        session.commit()
    assert Books(engine).records() == []


@pytest.mark.parametrize("flushes", [True, False])
def test_flush_that_fails_may_be_a_rejection(url: str, engines: Engines, *, flushes: bool) -> None:
    """Whoever names its exception in `rejects` gets it recorded, whether the body flushes or leaves it."""
    engine = engines(url)

    def open_again(session: Session, debit: Debit) -> None:
        change(session, "bert", -1)
        session.add(Account(name=debit.account, balance=0))
        if flushes:
            session.flush()

    with step(), pytest.raises(IntegrityError) as caught, Session(engine) as session, session.begin():
        barrier.once(session, open_again, Debit(), rejects=[IntegrityError])
    assert is_recorded(caught.value)
    assert Books(engine).records() == [(ACTION, "", "rejected")]
    assert Books(engine).balance("bert") == OPENING


@pytest.mark.parametrize("style", ["core", "orm"])
def test_barriers_own_errors_are_no_rejections(url: str, engines: Engines, style: str) -> None:
    """Not even for who rejects everything: they are mistakes, and a mistake is not final."""
    engine = engines(url)

    def flood(transaction: Connection | Session, debit: Debit) -> str:
        take(transaction, debit)
        return "x" * PAYLOAD_LIMIT

    with step(), Session(engine) if style == "orm" else engine.connect() as transaction:
        with pytest.raises(PayloadTooLargeError) as caught:
            barrier.once(transaction, flood, Debit(), rejects=[Exception])
        transaction.commit()
    assert not is_recorded(caught.value)
    assert Books(engine).records() == []
    assert Books(engine).balance() == OPENING


def test_rejection_within_a_savepoint_of_the_caller_commits_nothing(url: str, engines: Engines) -> None:
    """What the caller did before is not the barrier's to commit: the rejection is neither kept nor marked."""
    engine = engines(url)
    with step(), engine.begin() as connection:
        change(connection, "bert", -50)
        with pytest.raises(StepRejected) as caught, connection.begin_nested():
            barrier.once(connection, refuse, Debit())
        assert not is_recorded(caught.value)
        connection.rollback()
    assert Books(engine).records() == []
    assert Books(engine).balance("bert") == OPENING


def test_rejection_in_a_joined_session_is_not_marked(url: str, engines: Engines) -> None:
    """A session within a larger transaction cannot commit, so nothing durable is promised."""
    engine = engines(url)
    with engine.connect() as connection, connection.begin() as larger:
        with step(), Session(connection) as session, pytest.raises(StepRejected) as caught:
            barrier.once(session, refuse, Debit())
        assert not is_recorded(caught.value)
        larger.rollback()
    assert Books(engine).records() == []
    assert Books(engine).balance() == OPENING


def test_commit_whose_answer_is_lost_is_found_by_the_next_delivery(url: str, engines: Engines) -> None:
    """The caller saw an error, the database has the commit: the repeat returns what was recorded."""
    engine = engines(url)
    with step(), suppress(ConnectionError), engine.connect() as connection:
        barrier.once(connection, take, Debit())
        connection.commit()
        raise ConnectionError
    with step(), engine.begin() as connection:
        assert barrier.once(connection, take, Debit()).balance == 90
    assert Books(engine).balance() == 90


async def test_cancelled_body_leaves_nothing(url: str, engines: Engines) -> None:
    """Not even for a caller who swallows the cancellation and commits."""
    books = Books(engines(url))
    engine = async_engine(url)

    async def hang(session: AsyncSession, debit: Debit) -> Posting:
        await session.run_sync(take, debit)
        raise asyncio.CancelledError

    async with AsyncSession(engine) as session:
        with step(), pytest.raises(asyncio.CancelledError):
            await barrier.once(session, hang, Debit())
        await session.commit()
    await engine.dispose()
    assert books.records() == []
    assert books.balance() == OPENING


@pytest.mark.parametrize("style", ["core", "orm"])
@pytest.mark.parametrize("body", [commit, commit_and_refuse, roll_back])
def test_body_that_ends_the_transaction_is_told(
    url: str, engines: Engines, style: str, body: Callable[..., Posting]
) -> None:
    """What it committed cannot be taken back: it is neither recorded as done nor as rejected."""
    engine = engines(url)
    with step(), Session(engine) if style == "orm" else engine.connect() as transaction:
        with pytest.raises(BarrierError, match=r"the body of transfer-42/debit\.1 committed or rolled back"):
            barrier.once(transaction, body, Debit())
        transaction.rollback()
    committed = body is not roll_back
    assert Books(engine).records() == ([(ACTION, "", "open")] if committed else [])
    if committed:
        with step(), engine.begin() as connection, pytest.raises(BarrierError, match="delete its row"):
            barrier.once(connection, take, Debit())
        assert Books(engine).balance() == 90


@pytest.mark.parametrize(("role", "expected"), [(Role.ACTION, BarrierError), (Role.COMPENSATION, OperationalError)])
def test_record_that_goes_away_meanwhile_is_noticed(
    sqlite_url: str, engines: Engines, role: Role, expected: type[Exception]
) -> None:
    """SQLite rolls a transaction back by itself when its disk is full; a body that goes on is not done."""
    engine = engines(sqlite_url)
    effect = Effect[Debit, Posting](input=Debit(), in_doubt=True)
    if role is Role.COMPENSATION:
        with step():
            SyncBank(engine.begin).debit_now(Debit())
    before = Books(engine).balance()

    def go_on(connection: Connection, effect: Effect[Debit, Posting]) -> None:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.rollback()  # neither SQLAlchemy nor the body is told
        change(connection, effect.input.account, -50)

    with step(role), pytest.raises(expected), engine.begin() as connection:
        barrier.once(connection, go_on, effect)
    assert Books(engine).balance() == before


def test_process_that_dies_before_the_commit_leaves_nothing(sqlite_url: str, engines: Engines) -> None:
    """SIGKILL between body and commit: neither row nor change, and the next delivery runs."""
    engine = engines(sqlite_url)
    program = dedent(
        f"""
        import os, signal
        from sqlalchemy import create_engine
        from saga.participant import barrier
        from tests.participant.banks import Debit, step
        from tests.participant.bodies import take

        with step(), create_engine({sqlite_url!r}).begin() as connection:
            barrier.once(connection, take, Debit())
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    root = Path(__file__).parents[2]
    killed = subprocess.run(
        [sys.executable, "-c", program], cwd=root, env=os.environ | {"PYTHONPATH": str(root)}, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert Books(engine).records() == []
    assert Books(engine).balance() == OPENING
    with step(), engine.begin() as connection:
        assert barrier.once(connection, take, Debit()).balance == 90
