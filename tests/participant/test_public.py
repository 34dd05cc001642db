from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from importlib import import_module
from typing import Annotated, assert_type

import pytest
from pydantic import Field
from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session

from saga.errors import SagaError
from saga.kernel import DidNotHappen, Happened
from saga.participant import BarrierError, barrier
from tests.participant.banks import Debit, Posting
from tests.participant.bodies import take
from tests.participant.conftest import async_engine

Engines = Callable[..., Engine]


def list_names(_: Connection, count: int) -> list[str]:
    """A body that returns something else than a model."""
    return ["anna"] * count


def price(_: Connection, count: int) -> Annotated[Decimal, Field(gt=0)] | None:
    """A body that may return nothing."""
    return Decimal(count) if count else None


async def name(_: AsyncConnection | AsyncSession, count: int) -> str:
    """An asynchronous body."""
    return "anna" * count


class Session2(Session):
    """A session class of the application's own."""


def in_session2(_: Session2, debit: Debit) -> int:
    """A body that asks for it."""
    return debit.amount


async def test_types_are_kept(sqlite_url: str, engines: Engines) -> None:
    """The checkers know what comes back, and a repeat returns the same as the first delivery."""
    engine = engines(sqlite_url)
    for _ in range(2):
        with engine.begin() as connection:
            assert_type(barrier.once(connection, take, Debit(), key="a/1"), Posting)
            assert assert_type(barrier.once(connection, list_names, 2, key="a/2"), list[str]) == [
                "anna",
                "anna",
            ]
            assert assert_type(barrier.once(connection, price, 2, key="a/3"), Decimal | None) == Decimal(2)
            assert assert_type(barrier.once(connection, price, 0, key="a/4"), Decimal | None) is None
        with Session2(engine) as session, session.begin():
            assert assert_type(barrier.once(session, in_session2, Debit(), key="a/5"), int) == 10
            found = assert_type(barrier.probe(session, Posting, key="a/1"), Happened[Posting] | DidNotHappen)
            assert isinstance(found, Happened)
    database = async_engine(sqlite_url)
    for _ in range(2):
        async with database.begin() as transaction:
            assert assert_type(await barrier.once(transaction, name, 1, key="a/6"), str) == "anna"
        async with AsyncSession(database) as awaited, awaited.begin():
            assert assert_type(await barrier.once(awaited, name, 2, key="a/7"), str) == "annaanna"
            assert_type(await barrier.probe(awaited, Posting, key="a/1"), Happened[Posting] | DidNotHappen)
    await database.dispose()


def test_every_public_name_is_listed_and_documented() -> None:
    """What is exported is there and says what it is."""
    for room in (import_module("saga.participant"), barrier):
        for exported in room.__all__:
            assert getattr(room, exported).__doc__
    assert issubclass(BarrierError, SagaError)


@pytest.mark.parametrize(
    "program",
    [
        "from saga.participant import barrier; from saga import participant",
        "from saga import participant; from saga.participant import barrier",
        "import saga.participant; participant = saga.participant; saga.participant.barrier",
    ],
)
def test_function_of_the_same_name_stays_what_it_is(program: str) -> None:
    """Importing this room does not take `saga.participant(...)` away."""
    check = "class Bank:\n    def debit(self, amount: int) -> str: ...\nprint(participant(Bank, 'bank').debit)"
    ran = subprocess.run([sys.executable, "-c", f"{program}\n{check}"], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == "bank.debit"


@pytest.mark.parametrize("absent", ["greenlet", "aiosqlite", "psycopg", "alembic"])
def test_import_needs_no_driver(absent: str) -> None:
    """Whoever has synchronous transactions only installs nothing for the others."""
    program = f"import sys; sys.modules[{absent!r}] = None; import saga.participant"
    subprocess.run([sys.executable, "-c", program], check=True)
