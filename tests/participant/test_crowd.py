from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from saga.errors import StepRejected
from saga.kernel import Role
from tests.participant.banks import (
    OPENING,
    AsyncBank,
    Books,
    Debit,
    face,
    in_doubt,
    step,
)
from tests.participant.conftest import async_engine

Engines = Callable[..., Engine]
PATIENCE = 60  # seconds until a hang is a failure; nothing is measured against it
LEVELS = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]


async def deliver(bank: AsyncBank, id: str, role: Role) -> None:
    """Deliver one activity until there is an answer."""
    while True:
        try:
            with step(role, id=id):
                if role is Role.ACTION:
                    await bank.debit(Debit(account="bert", amount=1))
                elif role is Role.COMPENSATION:
                    await bank.refund(in_doubt(Debit(account="bert", amount=1)))
                else:
                    await bank.find_debit()
        except StepRejected:
            return
        except DBAPIError as error:
            if "locked" not in str(error.orig) and getattr(error.orig, "sqlstate", None) != "40001":
                raise
        else:
            return


@pytest.fixture(params=["sqlite", *LEVELS])
async def crowd(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    """A database for many asynchronous deliveries, and the options of its engine."""
    if request.param == "sqlite":
        return request.getfixturevalue("sqlite_url"), {"connect_args": {"timeout": PATIENCE}}
    return request.getfixturevalue("bank_postgres_url"), {"isolation_level": request.param}


async def test_many_deliveries_at_the_same_time_add_up(crowd: tuple[str, dict[str, object]], engines: Engines) -> None:
    """For every key there is at most one action and one compensation, and never one without the other."""
    url, options = crowd
    books = Books(engines(url))
    engine = async_engine(url, **options)
    bank = face(engine, "orm")
    assert isinstance(bank, AsyncBank)
    roles = [Role.ACTION, Role.ACTION, Role.COMPENSATION, Role.COMPENSATION, Role.PROBE]
    deliveries = [(f"saga-{number}", role) for number in range(8) for role in roles]
    random.Random(7).shuffle(deliveries)  # noqa: S311 - an order, no secret
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(deliver(bank, id, role) for id, role in deliveries))
    await engine.dispose()
    assert {state for _, _, state in books.records()} <= {"compensated", "suspended"}
    assert len(books.records()) == 8
    assert books.balance("bert") == OPENING
