"""What the tests of outbox, relay and consumer share: tables, topics, and a look at what a broker holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from uuid import uuid4

from aiokafka import (  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]
    AIOKafkaConsumer,
    TopicPartition,
)
from aiokafka.admin import (  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]
    AIOKafkaAdminClient,
    NewTopic,
)
from aiokafka.coordinator.assignors.sticky import (  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]
    sticky_assignor,
)
from sqlalchemy import Engine, create_engine, text

from saga.participant import create_messaging_tables

EFFECTS = {
    "sqlite": "CREATE TABLE IF NOT EXISTS effects (n INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT, what TEXT)",
    "postgresql": "CREATE TABLE IF NOT EXISTS effects (n BIGSERIAL PRIMARY KEY, key TEXT, what TEXT)",
}


@contextmanager
def service(url: str, **options: Any) -> Generator[Engine]:
    """A participant's database, with the tables of its messages and a ledger that has no unique key."""
    engine = create_engine(url, **options)
    with engine.begin() as connection:
        create_messaging_tables(connection)
        connection.execute(text(EFFECTS[engine.dialect.name]))
    yield engine
    engine.dispose()


def do(connection: Any, key: str, what: str) -> None:
    """An effect, which shows when it is done twice."""
    connection.execute(text("INSERT INTO effects (key, what) VALUES (:key, :what)"), {"key": key, "what": what})


def effects(engine: Engine, key: str | None = None) -> list[str]:
    """The effects in order; of one key, or of all."""
    chosen = text("SELECT what FROM effects WHERE key = :key OR :key IS NULL ORDER BY n")
    if engine.dialect.name == "postgresql":
        chosen = text(
            "SELECT what FROM effects WHERE key = CAST(:key AS TEXT) OR CAST(:key AS TEXT) IS NULL ORDER BY n"
        )
    with engine.begin() as connection:
        return list(connection.scalars(chosen, {"key": key}))


def count(engine: Engine, table: str) -> int:
    """How many rows a table has."""
    with engine.begin() as connection:
        return connection.scalar(text(f"SELECT count(*) FROM {table}"))  # noqa: S608 - a name of our own


async def until(is_so: Callable[[], bool]) -> None:
    """Waits; the time limit of the test ends it."""
    while not is_so():
        await asyncio.sleep(0.02)


async def new_topic(address: str, partitions: int = 4, **config: str) -> str:
    """Makes a topic with a name of its own."""
    name = f"t{uuid4().hex[:12]}"
    await make_topics(address, name, partitions=partitions, **config)
    return name


async def make_topics(address: str, *names: str, partitions: int = 4, **config: str) -> None:
    """Makes topics, and waits until they can be used."""
    settings = {key.replace("_", "."): value for key, value in config.items()}
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=settings) for name in names])
        while not all(topic["partitions"] for topic in await admin.describe_topics(list(names))):
            await asyncio.sleep(0.05)
    finally:
        await admin.close()


@asynccontextmanager
async def member_with_another_strategy(address: str, topic: str, group: str) -> AsyncGenerator[None]:
    """Is in the group, with a strategy that the others do not have."""
    sticky = [sticky_assignor.StickyPartitionAssignor]
    member = AIOKafkaConsumer(topic, bootstrap_servers=address, group_id=group, partition_assignment_strategy=sticky)
    await member.start()
    try:
        yield
    finally:
        await member.stop()


@asynccontextmanager
async def reader(address: str, topic: str) -> AsyncGenerator[AIOKafkaConsumer]:
    """Reads a topic from its beginning, in no group."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=address, auto_offset_reset="earliest")
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def records_of(address: str, topic: str, at_least: int) -> Sequence[Any]:
    """Everything that is in a topic, once there is that much: by partition, in order."""
    async with reader(address, topic) as consumer:
        found: dict[TopicPartition, list[Any]] = {}
        while True:
            places = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
            for place, records in (await consumer.getmany(timeout_ms=100)).items():
                found.setdefault(place, []).extend(records)
            ends = await consumer.end_offsets(places)
            have = {place: records[-1].offset + 1 for place, records in found.items()}
            got_all = all(have.get(place, 0) == end for place, end in ends.items())
            if got_all and sum(len(records) for records in found.values()) >= at_least:
                return [record for place in sorted(found) for record in found[place]]


def header(record: Any, name: str) -> str | None:
    """A header of a record as a text."""
    value = dict(record.headers).get(name)
    return None if value is None else value.decode()
