from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import sessionmaker

from saga.errors import InvalidIdError, InvalidRequestError, OutsideSagaError, PayloadTooLargeError
from saga.kernel import PAYLOAD_LIMIT, Role
from saga.participant import barrier
from saga.participant._keys import KEY_BYTES, PART_LENGTH
from tests.participant.banks import OPENING, Books, Debit, change, done, step
from tests.participant.banks import Posting as Posted
from tests.participant.bodies import take
from tests.participant.conftest import async_engine

Engines = Callable[..., Engine]


@pytest.fixture
def engine(sqlite_url: str, engines: Engines) -> Generator[Engine]:
    """A bank's database that must not change."""
    engine = engines(sqlite_url)
    yield engine
    assert Books(engine).records() == []
    assert Books(engine).balance() == OPENING


def test_outside_a_saga_a_key_must_be_given(engine: Engine) -> None:
    """The error says what to give."""
    with engine.begin() as connection:
        with pytest.raises(OutsideSagaError, match="Give key="):
            barrier.once(connection, take, Debit())
        with pytest.raises(OutsideSagaError, match="Give key="):
            barrier.probe(connection, Posted)


@pytest.mark.peer("DTM-37")
@pytest.mark.parametrize(
    "key",
    ["", " ", "/", "transfer-42/", "/debit.1", "transfer-42//compensation", "/compensation", " a", "a\n"],
)
def test_incomplete_key_is_refused(engine: Engine, key: str) -> None:
    """A key without saga id, call or role would be shared by strangers."""
    with engine.begin() as connection, pytest.raises(InvalidIdError):
        barrier.once(connection, take, Debit(), key=key)


@pytest.mark.parametrize("key", ["k" * (KEY_BYTES + 1), "ü" * (KEY_BYTES // 2 + 1)])
def test_long_key_is_refused(engine: Engine, key: str) -> None:
    """An index has room for so much."""
    with engine.begin() as connection, pytest.raises(InvalidIdError, match="too long"):
        barrier.once(connection, take, Debit(), key=key)


def test_longest_key_and_part_fit(url: str, engines: Engines) -> None:
    """The limit is below that of every database."""
    engine = engines(url)
    key, part = "ü" * (KEY_BYTES // 2), "ü" * PART_LENGTH
    for _ in range(2):
        with engine.begin() as connection:
            barrier.once(connection, take, Debit(), key=key, part=part)
    assert Books(engine).balance() == 90


@pytest.mark.parametrize("part", [" ", "a\x00", "p" * (PART_LENGTH + 1)])
def test_wrong_part_is_refused(engine: Engine, part: str) -> None:
    """A part is a short name."""
    with step(), engine.begin() as connection, pytest.raises(InvalidIdError, match="part"):
        barrier.once(connection, take, Debit(), part=part)


def test_inside_a_step_another_key_is_refused(engine: Engine) -> None:
    """A key that changes with the attempt, or is shared by calls, is the usual mistake."""
    with step(), engine.begin() as connection, pytest.raises(InvalidIdError, match="leave key= out"):
        barrier.once(connection, take, Debit(), key="today")


def test_inside_a_step_its_own_key_may_be_given(url: str, engines: Engines) -> None:
    """Whoever passes `current_step().key` on means the same."""
    engine = engines(url)
    with step() as context, engine.begin() as connection:
        barrier.once(connection, take, Debit(), key=context.key)
    assert Books(engine).balance() == 90


def untyped(connection: Connection, debit: Debit):  # type: ignore[no-untyped-def]
    """A body without the type of its result."""
    change(connection, debit.account, -1)


def thread(connection: Connection, debit: Debit) -> threading.Thread:
    """A body whose result no JSON holds."""
    change(connection, debit.account, -1)
    return threading.Thread()


async def asynchronous(connection: AsyncConnection, debit: Debit) -> None:
    """A body for an asynchronous transaction."""
    await connection.run_sync(change, debit.account, -1)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (lambda: None, "function made with def"),
        (partial(take), "function made with def"),
        (untyped, "annotate what it returns"),
        (thread, "Thread cannot be journaled"),
        (asynchronous, "must be made with def"),
    ],
    ids=["lambda", "partial", "untyped", "no JSON", "async"],
)
def test_unusable_body_is_refused_before_it_runs(engine: Engine, body: Any, message: str) -> None:  # any body
    """The error says what a body is."""
    with step(), engine.begin() as connection, pytest.raises(TypeError, match=message):
        barrier.once(connection, body, Debit())


async def test_synchronous_body_of_an_asynchronous_transaction_is_refused(sqlite_url: str, engine: Engine) -> None:
    """It would block the loop, and cannot await its statements."""
    body: Any = take
    database = async_engine(sqlite_url)
    async with database.begin() as connection:
        with step(), pytest.raises(TypeError, match="must be made with async def"):
            await barrier.once(connection, body, Debit())
    await database.dispose()


def test_compensation_that_must_return_something_is_refused(engine: Engine) -> None:
    """An empty compensation has nothing to return."""
    effect: Any = done(Posted(account="anna", amount=-10, balance=90))
    with (
        step(Role.COMPENSATION),
        engine.begin() as connection,
        pytest.raises(TypeError, match="let it return"),
    ):
        barrier.once(connection, take, effect)


def test_no_transaction_at_all_is_refused(engine: Engine) -> None:
    """An engine or a factory of sessions is none."""
    for wrong in (engine, sessionmaker(engine)):
        transaction: Any = wrong
        with step(), pytest.raises(TypeError, match="SQLAlchemy Connection, Session"):
            barrier.once(transaction, take, Debit())


def lie(connection: Connection, debit: Debit) -> int:
    """A body that returns something else than it says."""
    change(connection, debit.account, -1)
    wrong: Any = "seven"
    return wrong  # type: ignore[no-any-return]


def test_output_of_the_wrong_type_is_refused(engine: Engine) -> None:
    """A repeat could not return it; the error shows no value."""
    with (
        step(),
        pytest.raises(InvalidRequestError, match="does not fit int") as caught,
        engine.begin() as connection,
    ):
        barrier.once(connection, lie, Debit())
    assert "seven" not in str(caught.value)


def flood(connection: Connection, debit: Debit) -> str:
    """A body that returns more than fits."""
    change(connection, debit.account, -1)
    return "x" * PAYLOAD_LIMIT


def test_output_above_the_limit_is_refused(engine: Engine) -> None:
    """The error names the sizes and the way out."""
    with (
        step(),
        pytest.raises(PayloadTooLargeError, match="return a reference"),
        engine.begin() as connection,
    ):
        barrier.once(connection, flood, Debit())


def test_input_that_no_json_holds_is_refused(engine: Engine) -> None:
    """Its hash would say nothing."""

    def body(_: Connection, __: threading.Thread) -> None: ...

    with step(), engine.begin() as connection, pytest.raises(TypeError, match="cannot be put into JSON"):
        barrier.once(connection, body, threading.Thread())


class Wide(BaseModel):
    """An input that has a set and, since yesterday, one more field."""

    names: set[int]
    urgent: bool = False


class Narrow(BaseModel):
    """The same input as it was before."""

    names: set[int]


def test_hash_of_an_input_lasts() -> None:
    """Neither the order of a set nor a new field with a default is another input; another value is."""
    from saga.participant._keys import input_sha256  # noqa: PLC0415 - private

    one, other = [0, 8], [8, 0]  # in a small set these two collide, so that the first inserted comes first
    assert list(set(one)) != list(set(other))
    first = input_sha256(Wide(names=set(one)))
    assert first == input_sha256(Wide(names=set(other)))
    assert first == input_sha256(Narrow(names=set(one)))
    assert first != input_sha256(Wide(names=set(one), urgent=True))
    assert first != input_sha256(Wide(names={0}))
    assert input_sha256({2: "b", 1: "a"}) == input_sha256({1: "a", 2: "b"}) != input_sha256({1: "a"})
