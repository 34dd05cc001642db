"""The relay publishes everything, in order for each key; what is refused holds its key and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine

from saga.errors import BrokerError, OutboxError
from saga.participant import KafkaBroker, Relay, outbox
from saga.participant._broker import Published
from saga.participant._outbox_rows import next_rows
from saga.participant._shards import LeaseOwner, LockOwner, owner_on
from saga.participant._tables import SHARDS
from saga.testing._places import free_port
from tests.participant.conftest import async_engine
from tests.participant.messages import count, header, new_topic, records_of, service, until
from tests.testing.test_kafka_server import own_kafka

SOON = timedelta(seconds=1)


@pytest.fixture(params=["sqlite_url", "postgres_url"])
def engine(request: pytest.FixtureRequest) -> Generator[Engine]:
    """A service's database of each kind."""
    with service(request.getfixturevalue(request.param)) as found:
        yield found


def write(engine: Engine, topic: str, keys: Sequence[str], first: int = 0) -> None:
    """Publishes a number for each key, each in a transaction of its own."""
    for number, key in enumerate(keys, first):
        with engine.begin() as connection:
            outbox.publish(connection, topic, number, key=key, type="x")


def numbers(records: Sequence[Any], key: str) -> list[int]:
    """What came for a key, in order."""
    return [int(record.value) for record in records if record.key == key.encode()]


def relay(engine: Any, address: str, **options: Any) -> Relay:
    """A relay that looks often and gives up on topics soon."""
    broker = KafkaBroker(address, topic_timeout=timedelta(milliseconds=500))
    return Relay(engine, broker, **({"lease": SOON} | options))


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_everything_is_published_in_order_of_its_key(engine: Engine, kind: str, kafka_address: str) -> None:
    """With batches smaller than what waits, from engines of both kinds."""
    topic = await new_topic(kafka_address)
    keys = [f"EX-{number % 5}" for number in range(50)]
    write(engine, topic, keys)
    used = engine if kind == "sync" else async_engine(engine.url.render_as_string(hide_password=False))
    async with relay(used, kafka_address, batch=7) as running:
        await until(lambda: not count(engine, "saga_outbox"))
        assert running.counts.published == 50
    if isinstance(used, AsyncEngine):
        await used.dispose()
    records = await records_of(kafka_address, topic, 50)
    assert len(records) == 50
    for lane in range(5):
        assert numbers(records, f"EX-{lane}") == list(range(lane, 50, 5))
    assert header(records[0], "ce_type") == "x"


async def test_a_backlog_costs_few_transactions(engine: Engine, kafka_address: str) -> None:
    """One transaction deletes what was published and reads what comes next."""
    topic = await new_topic(kafka_address)
    with engine.begin() as connection:
        for number in range(1000):
            outbox.publish(connection, topic, number, key=f"EX-{number}", type="x")
    async with relay(engine, kafka_address, batch=100) as running:
        await until(lambda: running.counts.published == 1000)
        assert running.counts.transactions <= 12


async def test_relays_share_the_work_and_keep_the_order(engine: Engine, kafka_address: str) -> None:
    """Three relays at once, one of which comes later and one of which goes: each key stays in order."""
    topic = await new_topic(kafka_address)
    keys = [f"EX-{number % 20}" for number in range(300)]
    write(engine, topic, keys[:100])
    async with relay(engine, kafka_address, batch=5) as first:
        async with relay(engine, kafka_address, batch=5) as second:
            write(engine, topic, keys[100:200], 100)
            await until(lambda: second.counts.published > 0)
        async with relay(engine, kafka_address, batch=5):
            write(engine, topic, keys[200:], 200)
            await until(lambda: not count(engine, "saga_outbox"))
        assert first.counts.published > 0
    records = await records_of(kafka_address, topic, 300)
    for lane in range(20):
        once = list(dict.fromkeys(numbers(records, f"EX-{lane}")))
        assert once == list(range(lane, 300, 20))


async def test_a_message_that_is_too_large_holds_its_key_alone(engine: Engine, kafka_address: str) -> None:
    """It is listed with the broker's reason; after it is dropped its key goes on in order."""
    topic = await new_topic(kafka_address, 1, max_message_bytes="1000")
    write(engine, topic, ["EX-1", "EX-2"])
    with engine.begin() as connection:
        outbox.publish(connection, topic, b"x" * 5000, key="EX-1", type="large")
    write(engine, topic, ["EX-1", "EX-2", "EX-1", "EX-3"], 2)
    async with relay(engine, kafka_address) as running:
        await until(lambda: running.counts.published == 4)
        await until(lambda: count(engine, "saga_outbox") == 3)
        with engine.begin() as connection:
            [held] = outbox.list_held(connection)
            assert (held.key, held.type) == ("EX-1", "large")
            assert "MessageSizeTooLarge" in held.reason
        assert (running.counts.held, running.counts.failures) == (1, 0)
        with engine.begin() as connection:
            outbox.drop(connection, held.id)
        await until(lambda: not count(engine, "saga_outbox"))
    records = await records_of(kafka_address, topic, 6)
    assert [numbers(records, key) for key in ("EX-1", "EX-2", "EX-3")] == [[0, 2, 4], [1, 3], [5]]


async def test_a_missing_topic_holds_what_is_for_it(engine: Engine, kafka_address: str) -> None:
    """A name that the broker does not take is told, and other topics go on meanwhile."""
    topic = await new_topic(kafka_address)
    write(engine, "no topic of Kafka", ["EX-1"])
    write(engine, topic, ["EX-1", "EX-2"])
    async with relay(engine, kafka_address) as running:
        await until(lambda: running.counts.held == 1 and running.counts.published == 1)
        await until(lambda: count(engine, "saga_outbox") == 2)
    with engine.begin() as connection:
        [held] = outbox.list_held(connection)
    assert "no topic no topic of Kafka" in held.reason


@pytest.mark.slow
async def test_a_broker_that_goes_away_and_comes_back_gets_everything(engine: Engine, tmp_path: Path) -> None:
    """Nothing is lost or held while nobody answers; what comes twice is the same, in the same order."""
    folder, port = tmp_path / "data", free_port()
    with own_kafka(data_folder=folder, port=port) as address:
        topic = await new_topic(address)
        write(engine, topic, ["EX-1", "EX-2"] * 10)
        broker = KafkaBroker(address, timeout=timedelta(seconds=2), topic_timeout=SOON)
        running = await Relay(engine, broker, lease=SOON).__aenter__()
        await until(lambda: running.counts.published >= 20)
    write(engine, topic, ["EX-1", "EX-2"] * 10, 20)
    await until(lambda: running.counts.failures >= 2)
    assert count(engine, "saga_outbox") == 20
    with own_kafka(data_folder=folder, port=port) as address:
        await until(lambda: not count(engine, "saga_outbox"))
        records = await records_of(address, topic, 40)
        await running.__aexit__(None, None, None)
    for lane, key in enumerate(("EX-1", "EX-2")):
        assert list(dict.fromkeys(numbers(records, key))) == list(range(lane, 40, 2))
    with engine.begin() as connection:
        assert outbox.list_held(connection) == []


class Fickle:
    """A broker that answers as it is told."""

    def __init__(self, answers: list[Published | BrokerError]) -> None:
        self.answers = answers
        self.seen: list[list[bytes | None]] = []

    @asynccontextmanager
    async def publisher(self) -> AsyncGenerator[Any]:
        """Connects always."""
        yield self

    async def publish(self, records: Sequence[Any]) -> Published:
        """Gives the next answer; then takes everything."""
        self.seen.append([record.value for record in records])
        answer = self.answers.pop(0) if self.answers else Published(range(len(records)), {}, None)
        if isinstance(answer, BrokerError):
            raise answer
        return answer


async def test_what_was_not_published_for_the_brokers_sake_is_tried_again(engine: Engine) -> None:
    """The part that the broker acknowledged is not sent again."""
    write(engine, "order", ["EX-1", "EX-2", "EX-3"])
    broker = Fickle([BrokerError("away"), Published([0], {}, BrokerError("away again"))])
    async with Relay(engine, broker, lease=SOON) as running:  # type: ignore[arg-type]
        await until(lambda: not count(engine, "saga_outbox"))
        assert running.counts.failures == 2
    assert broker.seen == [[b"0", b"1", b"2"], [b"0", b"1", b"2"], [b"1", b"2"]]


async def test_waking_ends_the_wait(engine: Engine) -> None:
    """Whoever has committed a message need not wait for the poll."""
    broker = Fickle([])
    async with Relay(engine, broker, poll=timedelta(hours=1), lease=SOON) as running:  # type: ignore[arg-type]
        await until(lambda: running.counts.transactions > 0)
        write(engine, "order", ["EX-1"])
        running.wake()
        await until(lambda: running.counts.published == 1)


async def test_a_database_without_tables_is_told_at_once(sqlite_url: str, kafka_address: str) -> None:
    """Before anything runs in the background."""
    bare = create_engine(sqlite_url)
    with pytest.raises(OutboxError, match="create_messaging_tables"):
        await relay(bare, kafka_address).__aenter__()
    bare.dispose()
    with pytest.raises(OutboxError, match="mysql"):
        owner_on("mysql", SOON)


@pytest.mark.parametrize("options", [{"batch": 0}, {"batch": 10_001}, {"poll": timedelta(0)}, {"lease": timedelta(0)}])
def test_settings_out_of_range_are_refused(sqlite_url: str, options: dict[str, Any]) -> None:
    """They are told where they are given."""
    with pytest.raises(ValueError, match="relay needs"):
        Relay(create_engine(sqlite_url), KafkaBroker("localhost:1"), **options)


# -- shards ----------------------------------------------------------------------------------


def test_shards_have_one_owner_and_are_shared_evenly(engine: Engine) -> None:
    """Each comes to another relay only after it was given away."""
    owners = [owner_on(engine.dialect.name, timedelta(minutes=1)) for _ in range(3)]
    connections = [engine.connect() for _ in owners]
    shares: list[frozenset[int]] = [frozenset()] * len(owners)
    for _ in range(3):
        for number, owner in enumerate(owners):
            with connections[number].begin():
                shares[number] = owner.claim(connections[number])
            for one, share in enumerate(shares):
                assert not any(share & other for two, other in enumerate(shares) if two != one)
    assert sorted(len(share) for share in shares) == [4, 6, 6]
    assert frozenset().union(*shares) == frozenset(range(SHARDS))
    with connections[0].begin():
        owners[0].release(connections[0])
    with connections[1].begin():
        assert len(owners[1].claim(connections[1])) == SHARDS // 2
    for connection in connections:
        connection.close()


def test_a_relay_that_is_gone_has_no_shards(postgres_url: str) -> None:
    """On PostgreSQL its connection is gone, and the locks with it."""
    with service(postgres_url) as engine:
        gone = engine.connect()
        with gone.begin():
            assert len(LockOwner().claim(gone)) == SHARDS
        gone.invalidate()
        with engine.connect() as connection, connection.begin():
            assert len(LockOwner().claim(connection)) == SHARDS


def test_a_lease_that_is_over_is_taken(sqlite_url: str) -> None:
    """On SQLite the others wait for the lease of one who died."""
    with service(sqlite_url) as engine, engine.begin() as connection:
        assert len(LeaseOwner(-1).claim(connection)) == SHARDS
        assert len(LeaseOwner(60_000).claim(connection)) == SHARDS
        assert next_rows(connection, [0], 1) == []


async def test_a_relay_that_ends_gives_its_shards_back(engine: Engine) -> None:
    """The next one has them at once, and not after a lease."""
    hour = timedelta(hours=1)
    for _ in range(2):
        write(engine, "order", ["EX-1"])
        async with Relay(engine, Fickle([]), lease=hour) as running:  # type: ignore[arg-type]
            await until(lambda relay=running: relay.counts.published == 1)  # type: ignore[misc]
        await asyncio.sleep(0)
