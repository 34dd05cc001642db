"""The consumer does each effect once, and in order for each key."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import sessionmaker

from saga.participant import KafkaBroker, Message, outbox
from saga.participant._outbox_rows import Record
from tests.participant.conftest import async_engine
from tests.participant.members import consuming, note, send
from tests.participant.messages import (
    count,
    effects,
    new_topic,
    service,
    until,
)


@pytest.fixture(params=["sqlite_url", "postgres_url"])
def engine(request: pytest.FixtureRequest) -> Generator[Engine]:
    """A service's database of each kind."""
    with service(request.getfixturevalue(request.param)) as found:
        yield found


@pytest.mark.parametrize("style", ["core", "orm"])
@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_each_kind_of_transaction_is_handed_to_the_function(
    engine: Engine, style: str, kind: str, kafka_address: str
) -> None:
    """Inbox, effect and outbox are in it."""
    topic = await new_topic(kafka_address)
    await send(kafka_address, topic, *((f"EX-{number % 3}", number) for number in range(12)))
    seen: set[type] = set()

    def act(transaction: Any, message: Message) -> None:
        seen.add(type(transaction))
        note(transaction, message)
        outbox.publish(transaction, "order", 1, key=message.key, type="done")

    async def act_async(transaction: Any, message: Message) -> None:
        seen.add(type(transaction))
        await transaction.run_sync(note, message)
        await outbox.publish(transaction, "order", 1, key=message.key, type="done")

    database = engine if kind == "sync" else async_engine(engine.url.render_as_string(hide_password=False))
    source: Any = database
    if style == "orm":
        source = sessionmaker(database) if kind == "sync" else async_sessionmaker(database)
    async with consuming(source, kafka_address, topic, act if kind == "sync" else act_async) as consumer:
        await until(lambda: consumer.counts.handled == 12)
    if kind == "async":
        await database.dispose()  # type: ignore[func-returns-value]
    for lane in range(3):
        assert effects(engine, f"EX-{lane}") == [str(number) for number in range(lane, 12, 3)]
    assert count(engine, "saga_outbox") == 12
    name = {"core": "Connection", "orm": "Session"}[style]
    assert [each.__name__ for each in seen] == [name if kind == "sync" else f"Async{name}"]


@pytest.mark.parametrize("batch", [1, 8])
async def test_what_comes_again_has_no_second_effect(engine: Engine, batch: int, kafka_address: str) -> None:
    """Everything is sent three times; the last time it comes to a consumer that was started again."""
    topic = await new_topic(kafka_address)
    records = [(f"EX-{number % 3}", number) for number in range(20)]
    for _ in range(2):
        await send(kafka_address, topic, *records)
    async with consuming(engine, kafka_address, topic, note, batch=batch) as consumer:
        await until(lambda: consumer.counts.handled + consumer.counts.repeated == 40)
    await send(kafka_address, topic, *records)
    async with consuming(engine, kafka_address, topic, note, batch=batch) as again:
        await until(lambda: again.counts.repeated == 20)
    assert sorted(map(int, effects(engine))) == list(range(20))
    assert [consumer.counts.handled, again.counts.handled] == [20, 0]


@pytest.mark.peer("MTC-10")
async def test_keys_run_beside_each_other_and_a_key_never_beside_itself(postgres_url: str, kafka_address: str) -> None:
    """Each of four keys waits until all four are in their functions at once; then order shows in the effects."""
    topic, topic2 = await new_topic(kafka_address), await new_topic(kafka_address)
    meet, inside = threading.Barrier(4), []  # type: ignore[var-annotated]
    twice: list[str] = []

    def act(transaction: Any, message: Message) -> None:
        twice.extend([message.key] if message.key in inside else [])
        inside.append(message.key)
        if message.decode(int) < 4:
            meet.wait(30)
        note(transaction, message)
        inside.remove(message.key)

    for each in (topic, topic2):
        await send(kafka_address, each, *((f"EX-{number % 4}", number) for number in range(4 if each == topic else 40)))
    with service(postgres_url) as engine:
        async with consuming(engine, kafka_address, topic, act, topics=[topic, topic2], parallel=4) as consumer:
            await until(lambda: consumer.counts.handled == 44)
        assert twice == []
        for lane in range(4):
            found = list(map(int, effects(engine, f"EX-{lane}")))
            assert sorted(found) == sorted([lane, *range(lane, 40, 4)])


async def test_a_crash_of_the_function_takes_effect_inbox_and_outbox_back(engine: Engine, kafka_address: str) -> None:
    """The next attempt finds nothing of the one before."""
    topic = await new_topic(kafka_address)
    await send(kafka_address, topic, ("EX-1", 1))
    failures = ["once", "twice"]

    def act(transaction: Any, message: Message) -> None:
        note(transaction, message)
        outbox.publish(transaction, "order", 1, key=message.key, type="done")
        if failures:
            raise ValueError(failures.pop())

    async with consuming(engine, kafka_address, topic, act) as consumer:
        await until(lambda: consumer.counts.handled == 1)
        assert consumer.counts.failed == 2
    assert [effects(engine), count(engine, "saga_outbox"), count(engine, "saga_inbox")] == [["1"], 1, 1]


async def test_a_database_that_fails_costs_no_attempt(engine: Engine, kafka_address: str) -> None:
    """A message is not held because a server was away for longer than all its attempts."""
    topic = await new_topic(kafka_address)
    await send(kafka_address, topic, ("EX-1", 1))
    away = [OperationalError("SELECT 1", {}, Exception("database is locked")) for _ in range(6)]
    for error in away:
        error.connection_invalidated = True

    def act(transaction: Any, message: Message) -> None:
        if away:
            raise away.pop()
        note(transaction, message)

    async with consuming(engine, kafka_address, topic, act, attempts=2) as consumer:
        await until(lambda: consumer.counts.handled == 1)
        assert (consumer.counts.failed, consumer.counts.held) == (6, 0)


async def test_the_trace_goes_on(sqlite_url: str, kafka_address: str) -> None:
    """What a function publishes belongs to the trace of what it handles."""
    topic, parent = await new_topic(kafka_address), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with KafkaBroker(kafka_address).publisher() as publisher:
        headers = (("ce_type", b"asked"), ("traceparent", parent.encode()))
        await publisher.publish([Record(topic, b"EX-1", b"1", headers)])

    def act(transaction: Any, message: Message) -> None:
        outbox.publish(transaction, "order", 1, key=message.key, type="done")

    with service(sqlite_url) as engine:
        async with consuming(engine, kafka_address, topic, act) as consumer:
            await until(lambda: consumer.counts.handled == 1)
        with engine.begin() as connection:
            assert connection.scalar(text("SELECT traceparent FROM saga_outbox")) == parent


async def test_types_that_are_not_for_this_consumer_are_passed_by(sqlite_url: str, kafka_address: str) -> None:
    """They are counted and cost no transaction; the offset goes over them."""
    topic = await new_topic(kafka_address)
    await send(kafka_address, topic, *(("EX-1", number) for number in range(5)), type="other")
    await send(kafka_address, topic, ("EX-1", 9))
    with service(sqlite_url) as engine:
        functions = {"asked": note, "*": None}
        async with consuming(engine, kafka_address, topic, None, functions=functions) as consumer:
            await until(lambda: consumer.counts.handled == 1 and consumer.counts.passed_by == 5)
        assert (effects(engine), count(engine, "saga_inbox")) == (["9"], 1)
        async with consuming(engine, kafka_address, topic, None, functions=functions) as again:
            await asyncio.sleep(1)
            assert again.counts.passed_by == again.counts.repeated == 0


async def test_the_offset_stays_before_the_first_that_is_not_done(postgres_url: str, kafka_address: str) -> None:
    """A message that waits is not lost because later ones of its partition are done."""
    topic = await new_topic(kafka_address, partitions=1)
    await send(kafka_address, topic, ("slow", 0), *((f"EX-{number}", number) for number in range(1, 10)))

    def act(transaction: Any, message: Message) -> None:
        if message.key == "slow" and not effects_before:
            raise ValueError
        note(transaction, message)

    effects_before: list[str] = []
    with service(postgres_url) as engine:
        wait = {"first_wait": timedelta(hours=1)}
        async with consuming(engine, kafka_address, topic, act, **wait) as consumer:
            await until(lambda: consumer.counts.handled == 9 and consumer.counts.failed == 1)
            await asyncio.sleep(0.5)
        effects_before = effects(engine)
        async with consuming(engine, kafka_address, topic, act, **wait) as again:
            await until(lambda: again.counts.handled == 1)
            assert again.counts.repeated == 9
        assert effects(engine, "slow") == ["0"]
