from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from saga.errors import KeyReusedError, StepRejected
from saga.participant import BarrierError, barrier, create_barrier_tables, is_recorded
from tests.participant.banks import OPENING, Account, Books, Debit, Posting, change, face, step
from tests.participant.conftest import async_engine, lay_tables

ACTION = "transfer-42/debit.1"
Engines = Callable[..., Engine]


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


# -- what the caller does --------------------------------------------------------------


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


# -- what the body must leave ----------------------------------------------------------


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


# -- several uses in one call ----------------------------------------------------------


@pytest.mark.peer("DTM-36")
def test_second_use_in_one_call_needs_a_part(url: str, engines: Engines) -> None:
    """Without one its body would never run; with one both run once."""
    engine = engines(url)
    with step(), engine.begin() as connection:
        barrier.once(connection, take, Debit())
        with pytest.raises(KeyReusedError, match="part="):
            barrier.once(connection, charge, Debit())
        barrier.once(connection, charge, Debit(), part="fee")
    for _ in range(2):
        with step(), Session(engine) as session, session.begin():
            barrier.once(session, take, Debit())
            barrier.once(session, charge, Debit(), part="fee")
    assert Books(engine).balance() == 89
    assert Books(engine).records() == [(ACTION, "", "done"), (ACTION, "fee", "done")]


def test_key_may_be_used_again_in_the_next_transaction(url: str, engines: Engines) -> None:
    """A caller who tries again on the same connection is not taken for a second use."""
    engine = engines(url)
    with step(), engine.connect() as connection:
        for _ in range(3):
            with connection.begin():
                barrier.once(connection, take, Debit())
    assert Books(engine).balance() == 90


def test_rejected_second_part_does_not_commit_the_first(url: str, engines: Engines) -> None:
    """Rejected means that nothing happened; so the first part goes with the caller's transaction."""
    engine = engines(url)
    with step(), pytest.raises(StepRejected) as caught, engine.begin() as connection:
        barrier.once(connection, charge, Debit(), part="fee")
        barrier.once(connection, refuse, Debit())
    assert not is_recorded(caught.value)
    assert Books(engine).records() == []
    assert Books(engine).balance() == OPENING


def test_rejection_within_a_body_belongs_to_the_outer_use(url: str, engines: Engines) -> None:
    """The inner one commits nothing; the outer one records the rejection as its own."""
    engine = engines(url)

    def outer(connection: Connection, debit: Debit) -> Posting:
        charge(connection, debit)
        return barrier.once(connection, refuse, debit, part="inner")

    with step(), pytest.raises(StepRejected) as caught, engine.begin() as connection:
        barrier.once(connection, outer, Debit())
    assert is_recorded(caught.value)
    assert Books(engine).records() == [(ACTION, "", "rejected")]
    assert Books(engine).balance() == OPENING


# -- transactions that do not hold -----------------------------------------------------


@pytest.mark.parametrize("on", ["engine", "connection"])
def test_autocommit_is_refused(url: str, engines: Engines, on: str) -> None:
    """Row and change could not be committed together, so nothing is done."""
    engine = engines(url, isolation_level="AUTOCOMMIT") if on == "engine" else engines(url)
    with step(), engine.connect() as connection:
        if on == "connection":
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")  # noqa: PLW2901 - the same one
        with pytest.raises(BarrierError, match="AUTOCOMMIT"):
            barrier.once(connection, take, Debit())
    assert Books(engine).records() == []
    assert Books(engine).balance() == OPENING


async def test_asynchronous_autocommit_is_refused(url: str, engines: Engines) -> None:
    """As for a synchronous engine."""
    books = Books(engines(url))
    engine = async_engine(url, isolation_level="AUTOCOMMIT")
    with step(), pytest.raises(BarrierError, match="AUTOCOMMIT"):
        await face(engine, "core").debit(Debit())
    await engine.dispose()
    assert books.records() == []
    assert books.balance() == OPENING


def test_sqlalchemys_recipe_for_sqlite_is_no_autocommit(sqlite_url: str, engines: Engines) -> None:
    """The driver's own BEGIN is off there, and an event sends one."""
    engine = engines(sqlite_url, tables=False)

    @event.listens_for(engine, "connect")
    def _connect(connection: object, _: object) -> None:
        connection.isolation_level = None  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    lay_tables(engine)
    with step(), pytest.raises(StepRejected) as caught, engine.begin() as connection:
        barrier.once(connection, refuse, Debit())
    assert is_recorded(caught.value)
    with step(call="debit.2"), Session(engine) as session, session.begin():
        barrier.once(session, take, Debit())
    assert Books(engine).records() == [(ACTION, "", "rejected"), ("transfer-42/debit.2", "", "done")]
    assert Books(engine).balance() == 90


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sqlite3.connect(autocommit=) came with Python 3.12")
@pytest.mark.parametrize("autocommit", [False, True])
def test_sqlites_new_transaction_control(sqlite_url: str, engines: Engines, autocommit: bool) -> None:  # noqa: FBT001
    """PEP 249's way works; the driver's autocommit is refused."""
    engine = engines(sqlite_url, connect_args={"autocommit": autocommit})
    expected = BarrierError if autocommit else StepRejected
    with step(), pytest.raises(expected), engine.begin() as connection:
        barrier.once(connection, refuse, Debit())
    assert Books(engine).records() == ([] if autocommit else [(ACTION, "", "rejected")])
    assert Books(engine).balance() == OPENING


def test_process_that_dies_before_the_commit_leaves_nothing(sqlite_url: str, engines: Engines) -> None:
    """SIGKILL between body and commit: neither row nor change, and the next delivery runs."""
    engine = engines(sqlite_url)
    program = dedent(
        f"""
        import os, signal
        from sqlalchemy import create_engine
        from saga.participant import barrier
        from tests.participant.banks import Debit, step
        from tests.participant.test_transactions import take

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


def test_database_without_the_table_says_how_to_make_it(url: str, engines: Engines) -> None:
    """The error names the call and the migration."""
    engine = engines(url, tables=False)
    with step(), engine.begin() as connection, pytest.raises(BarrierError, match="create_barrier_tables"):
        barrier.once(connection, take, Debit())
    create_barrier_tables(engine)
    assert Books(engine).records() == []
