"""When partitions change their owner, even under a function that runs, each effect is there once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from saga.participant import Consumer, KafkaBroker, Message
from saga.participant._broker import TopicPartition
from saga.participant._inbox_rows import bump
from tests.participant.members import note, send
from tests.participant.messages import count, do, effects, new_topic, service, until

SHORT = timedelta(seconds=6)


@pytest.fixture(params=["sqlite_url", "postgres_url"])
def engine(request: pytest.FixtureRequest) -> Generator[Engine]:
    """A service's database of each kind; on SQLite whoever waits for the writer waits for long."""
    options = {"connect_args": {"timeout": 1}} if request.param == "sqlite_url" else {}
    with service(request.getfixturevalue(request.param), **options) as found:
        yield found


def consumer_of(engine: Engine, address: str, topic: str, function: Any, **options: Any) -> Consumer:
    """A member of the group."""
    broker = KafkaBroker(address, client_id=options.pop("client_id", "saga"))
    return Consumer(engine, broker, name=f"of-{topic}", topics=[topic], functions={"asked": function}, **options)


@pytest.mark.slow
async def test_a_function_that_outlives_the_rebalance_timeout_is_no_second_effect(
    engine: Engine, kafka_address: str
) -> None:
    """Whoever gets the partition waits for that transaction, and then knows the message by the inbox.

    The broker alone would have fenced the offset, and nothing else.
    """
    topic = await new_topic(kafka_address, partitions=1)
    runs, go_on = threading.Event(), threading.Event()

    def slow(transaction: Any, message: Message) -> None:
        if message.key == "slow":
            runs.set()
            go_on.wait(60)
        note(transaction, message)

    await send(kafka_address, topic, ("slow", 1))
    # Members get partitions in the order of their names.
    old = consumer_of(engine, kafka_address, topic, slow, rebalance_timeout=SHORT, client_id="b")
    new = consumer_of(engine, kafka_address, topic, note, rebalance_timeout=SHORT, client_id="a")
    async with old:
        await until(runs.is_set)
        async with new:
            await until(lambda: TopicPartition(topic, 0) in new._consuming._partitions)
            await asyncio.sleep(SHORT.total_seconds() + 1)  # longer than the broker waits for anybody
            assert new.counts.handled == old.counts.handled == 0
            go_on.set()
            await send(kafka_address, topic, ("slow", 1), ("EX-1", 2), ("slow", 3))
            await until(lambda: len(effects(engine)) == 3)
            await until(lambda: new.counts.repeated == 2)
    assert [effects(engine, "slow"), effects(engine, "EX-1")] == [["1", "3"], ["2"]]
    assert (old.counts.handled, new.counts.handled) == (1, 2)


async def test_an_old_owner_is_fenced_in_its_own_transaction(engine: Engine, kafka_address: str) -> None:
    """A newer epoch takes the effect of the older back; who is still assigned begins anew at the committed offset."""
    topic = await new_topic(kafka_address, partitions=1)
    async with consumer_of(engine, kafka_address, topic, note) as consumer:
        await send(kafka_address, topic, ("EX-1", 0))
        await until(lambda: consumer.counts.handled == 1)
        with engine.begin() as connection:
            assert bump(connection, f"of-{topic}", TopicPartition(topic, 0)) == 2
        await send(kafka_address, topic, ("EX-1", 0), ("EX-1", 1), ("EX-2", 2))
        await until(lambda: consumer.counts.handled == 3)
        assert consumer.counts.fenced >= 1
    assert [effects(engine, "EX-1"), effects(engine, "EX-2")] == [["0", "1"], ["2"]]
    with engine.begin() as connection:
        assert connection.scalar(text("SELECT epoch FROM saga_consumer_partition")) >= 3


@pytest.mark.slow
async def test_members_that_come_and_go_double_and_lose_nothing(engine: Engine, kafka_address: str) -> None:
    """Each rebalance revokes everything, in the middle of the work; order per key holds over all members."""
    topic = await new_topic(kafka_address)
    keys, total = [f"EX-{number}" for number in range(12)], 600

    def act(transaction: Any, message: Message) -> None:
        do(transaction, message.key, str(message.decode(int)))

    records = [(keys[number % len(keys)], number) for number in range(total)]
    await send(kafka_address, topic, *records)
    first = consumer_of(engine, kafka_address, topic, act, batch=3)
    async with first:
        for _ in range(2):
            async with consumer_of(engine, kafka_address, topic, act, batch=5):
                await asyncio.sleep(0.5)
        await until(lambda: count(engine, "effects") >= total)
    for lane, key in enumerate(keys):
        assert effects(engine, key) == [str(number) for number in range(lane, total, len(keys))]
