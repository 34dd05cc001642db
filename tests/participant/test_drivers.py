from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, Engine, event
from sqlalchemy.orm import Session

from saga.errors import StepRejected
from saga.participant import BarrierError, barrier, create_barrier_tables, is_recorded
from tests.participant.banks import (
    OPENING,
    Books,
    Debit,
    face,
    step,
)
from tests.participant.bodies import refuse, take
from tests.participant.conftest import async_engine, lay_tables

ACTION = "transfer-42/debit.1"
Engines = Callable[..., Engine]


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
def test_sqlites_new_transaction_control(sqlite_url: str, engines: Engines, autocommit: bool) -> None:
    """PEP 249's way works; the driver's autocommit is refused."""
    engine = engines(sqlite_url, connect_args={"autocommit": autocommit})
    expected = BarrierError if autocommit else StepRejected
    with step(), pytest.raises(expected), engine.begin() as connection:
        barrier.once(connection, refuse, Debit())
    assert Books(engine).records() == ([] if autocommit else [(ACTION, "", "rejected")])
    assert Books(engine).balance() == OPENING


def test_database_without_the_table_says_how_to_make_it(fresh_url: str, engines: Engines) -> None:
    """The error names the call and the migration."""
    engine = engines(fresh_url, tables=False)
    with step(), engine.begin() as connection, pytest.raises(BarrierError, match="create_barrier_tables"):
        barrier.once(connection, take, Debit())
    create_barrier_tables(engine)
    assert Books(engine).records() == []
