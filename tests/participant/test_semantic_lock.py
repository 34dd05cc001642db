"""A semantic lock keeps other sagas out until its own has released it: one holder, first come, first served."""

from __future__ import annotations

import random
import threading
from collections.abc import Generator
from datetime import timedelta

import pytest
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from saga.errors import InvalidIdError, KeyLockedError, KeyReleasedError, OutsideSagaError
from saga.participant import semantic_lock
from tests.participant.banks import step
from tests.participant.conftest import async_engine
from tests.participant.messages import do, effects, service

KEY = "account/NL-1"


@pytest.fixture(params=["sqlite_url", "postgres_url"])
def engine(request: pytest.FixtureRequest) -> Generator[Engine]:
    """A participant's database of each kind."""
    with service(request.getfixturevalue(request.param)) as found:
        yield found


def acquire(engine: Engine, owner: str, key: str = KEY) -> str | None:
    """Locks in a transaction of its own; the holder if that is another."""
    try:
        with engine.begin() as connection:
            semantic_lock.acquire(connection, key, owner=owner)
    except KeyLockedError as locked:
        return locked.owner
    return None


def release(engine: Engine, owner: str, *keys: str) -> None:
    """Releases in a transaction of its own."""
    with engine.begin() as connection:
        semantic_lock.release(connection, *keys, owner=owner)


def places(engine: Engine) -> list[tuple[str, bool]]:
    """Who is at the key, and who holds it."""
    with engine.begin() as connection:
        return [(place.owner, place.holds) for place in semantic_lock.list_places(connection, KEY)]


def test_first_come_first_served(engine: Engine) -> None:
    """Whoever waits keeps the place in the queue, whoever asks oftener."""
    assert acquire(engine, "one") is None
    assert acquire(engine, "two") == "one"
    assert acquire(engine, "three") == "one"
    assert places(engine) == [("one", True), ("two", False), ("three", False)]
    release(engine, "one", KEY)
    assert acquire(engine, "three") == "two"
    assert acquire(engine, "two") is None
    release(engine, "two", KEY)
    assert acquire(engine, "three") is None
    assert places(engine) == [("three", True)]


def test_the_error_names_key_owner_and_position(engine: Engine) -> None:
    """Whoever waits sees for whom, and how long the queue is."""
    acquire(engine, "one")
    acquire(engine, "two")
    with engine.connect() as connection, pytest.raises(KeyLockedError) as locked:
        semantic_lock.acquire(connection, KEY, owner="three")
    assert (locked.value.key, locked.value.owner, locked.value.position) == (KEY, "one", 2)
    assert "'account/NL-1' is locked by saga one" in str(locked.value)


def test_the_lock_goes_with_the_transaction_that_took_it(engine: Engine) -> None:
    """A step that fails after it took a free lock has changed nothing."""
    with engine.connect() as connection:
        semantic_lock.acquire(connection, KEY, owner="one")
        connection.rollback()
    assert places(engine) == []


def test_acquiring_again_is_harmless(engine: Engine) -> None:
    """An attempt that is repeated finds its own lock, and its own place."""
    assert [acquire(engine, "one"), acquire(engine, "one")] == [None, None]
    assert [acquire(engine, "two"), acquire(engine, "two")] == ["one", "one"]
    assert places(engine) == [("one", True), ("two", False)]


def test_a_late_attempt_does_not_lock_what_its_saga_has_released(engine: Engine) -> None:
    """Nobody would ever release it; so also where the release came without any lock."""
    release(engine, "one", KEY)
    with engine.begin() as connection, pytest.raises(KeyReleasedError, match="late"):
        semantic_lock.acquire(connection, KEY, owner="one")
    assert acquire(engine, "two") is None
    release(engine, "two", KEY)
    with engine.begin() as connection, pytest.raises(KeyReleasedError):
        semantic_lock.acquire(connection, KEY, owner="two")


def test_releasing_all_leaves_others_alone(engine: Engine) -> None:
    """Without keys, a saga gives back everything that is its own, places in queues as well."""
    acquire(engine, "one", "a")
    acquire(engine, "two", "b")
    acquire(engine, "one", "b")
    release(engine, "one")
    with engine.begin() as connection:
        left = semantic_lock.list_places(connection)
    assert [(place.key, place.owner, place.holds) for place in left] == [("b", "two", True)]


def test_the_owner_is_the_running_saga(engine: Engine) -> None:
    """In a step nobody has to say it; outside of one somebody must."""
    with step(), Session(engine) as session, session.begin():
        semantic_lock.acquire(session, KEY)
    assert places(engine) == [("transfer-42", True)]
    with engine.begin() as connection, pytest.raises(OutsideSagaError):
        semantic_lock.acquire(connection, KEY)


@pytest.mark.parametrize("key", ["", " ", "a\nb", "k" * 1001])
def test_a_key_that_is_none_is_refused(engine: Engine, key: str) -> None:
    """Nothing is written."""
    with engine.begin() as connection, pytest.raises(InvalidIdError):
        semantic_lock.acquire(connection, key, owner="one")


async def test_asynchronous_transactions(engine: Engine) -> None:
    """The same, awaited; the place in the queue is committed before the error."""
    database = async_engine(engine.url.render_as_string(hide_password=False))
    async with AsyncSession(database) as session, session.begin():
        await semantic_lock.acquire(session, KEY, owner="one")
    async with database.connect() as connection:
        with pytest.raises(KeyLockedError):
            await semantic_lock.acquire(connection, KEY, owner="two")
    async with database.begin() as connection:
        assert [place.owner for place in await semantic_lock.list_places(connection, KEY)] == ["one", "two"]
        await semantic_lock.release(connection, KEY, owner="one")
    await database.dispose()
    assert acquire(engine, "two") is None


def test_old_releases_are_forgotten(engine: Engine) -> None:
    """Locks and places that are not released stay, however old."""
    release(engine, "one", KEY)
    acquire(engine, "two")
    with engine.begin() as connection:
        assert semantic_lock.purge(connection, older_than=timedelta(hours=1)) == 0
        assert semantic_lock.purge(connection, older_than=timedelta(microseconds=1)) == 1
    assert places(engine) == [("two", True)]
    with engine.begin() as connection, pytest.raises(ValueError, match="above zero"):
        semantic_lock.purge(connection, older_than=timedelta(0))


def test_a_crowd_has_one_holder_at_a_time(engine: Engine) -> None:
    """Sagas in many threads, each in two transactions with a pause between: nobody is in between of another."""
    inside: list[str] = []
    faults: list[object] = []

    def saga(owner: str) -> None:
        chance = random.Random(owner)  # noqa: S311 - no secret
        while acquire(engine, owner) is not None:
            threading.Event().wait(chance.uniform(0.001, 0.02))
        inside.append(owner)
        faults.extend([owner] if len(inside) > 1 else [])
        threading.Event().wait(chance.uniform(0.001, 0.005))
        inside.remove(owner)
        release_with_effect(engine, owner)

    threads = [threading.Thread(target=saga, args=(f"saga-{number}",)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert sorted(effects(engine)) == sorted(f"saga-{number}" for number in range(12))
    assert places(engine) == []


def release_with_effect(engine: Engine, owner: str) -> None:
    """The last step of a saga: an effect, and the release, in one transaction."""
    with engine.begin() as connection:
        semantic_lock.release(connection, KEY, owner=owner)
        do(connection, KEY, owner)
