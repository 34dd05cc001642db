"""A message that cannot be handled holds its key and nothing else, until somebody acts."""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import Engine, text

from saga.errors import ActRefusedError, MessageError
from saga.participant import KafkaBroker, Message, Relay, inbox
from saga.participant._outbox_rows import Record
from saga.participant._tables import inbox as inbox_table
from tests.participant.members import consuming, note, send
from tests.participant.messages import (
    count,
    do,
    effects,
    header,
    new_topic,
    records_of,
    service,
    until,
)


@pytest.fixture(params=["sqlite_url", "postgres_url"])
def engine(request: pytest.FixtureRequest) -> Generator[Engine]:
    """A service's database of each kind."""
    with service(request.getfixturevalue(request.param)) as found:
        yield found


def held(engine: Engine) -> list[inbox.HeldKey]:
    """The keys that are held."""
    with engine.begin() as connection:
        return inbox.list_held(connection)


class Switch:
    """A function that fails for one number until it is mended."""

    def __init__(self, number: int) -> None:
        self.number: int | None = number

    def __call__(self, transaction: Any, message: Message) -> None:
        """Does the effect, or fails after it."""
        note(transaction, message)
        if message.decode(int) == self.number:
            raise ValueError(f"no {self.number}")


@pytest.mark.parametrize("act", ["retry", "drop"])
@pytest.mark.parametrize("batch", [1, 8])
async def test_a_message_that_cannot_be_handled_holds_its_key(
    engine: Engine, act: str, batch: int, kafka_address: str
) -> None:
    """Later messages of the key are stored, on any topic, others go on; after the act they are handled in order."""
    topic, other = await new_topic(kafka_address), await new_topic(kafka_address)
    await send(kafka_address, topic, *((f"EX-{number % 2}", number) for number in range(10)))
    function = Switch(4)
    async with consuming(engine, kafka_address, topic, function, topics=[topic, other], batch=batch) as consumer:
        await until(lambda: consumer.counts.handled == 7 and consumer.counts.stored == 2)
        await send(kafka_address, other, ("EX-0", 100), ("EX-1", 101))
        await until(lambda: consumer.counts.handled == 8 and consumer.counts.stored == 3)
    assert [effects(engine, "EX-0"), effects(engine, "EX-1")] == [["0", "2"], ["1", "3", "5", "7", "9", "101"]]
    [key] = held(engine)
    assert (key.key, key.messages, key.reason, key.draining) == ("EX-0", 4, "ValueError: no 4", False)
    function.number = None
    async with consuming(engine, kafka_address, topic, function, topics=[topic, other], batch=batch) as again:
        with engine.begin() as connection:
            getattr(inbox, act)(connection, key.consumer, key.key)
        await until(lambda: again.counts.drained == (4 if act == "retry" else 3))
        await send(kafka_address, other, ("EX-0", 200))
        await until(lambda: again.counts.handled == 1)
    assert effects(engine, "EX-0") == ["0", "2", *(["4"] if act == "retry" else []), "6", "8", "100", "200"]
    assert held(engine) == []


async def test_a_retry_that_fails_holds_the_key_again(engine: Engine, kafka_address: str) -> None:
    """The dead-letter topic is told once; a later message that fails on its own is told as well."""
    topic = await new_topic(kafka_address)
    await send(kafka_address, topic, *(("EX-0", number) for number in range(4)))
    function = Switch(1)
    async with consuming(engine, kafka_address, topic, function) as consumer:
        await until(lambda: consumer.counts.stored == 2)
        name = f"of-{topic}"
        for number, failed in ((1, 6), (3, 9)):
            function.number = number
            with engine.begin() as connection:
                inbox.retry(connection, name, "EX-0")
            await until(lambda more=failed: consumer.counts.failed >= more and not held(engine)[0].draining)  # type: ignore[misc]
    assert (effects(engine), held(engine)[0].messages) == (["0", "1", "2"], 1)
    assert count(engine, "saga_outbox") == 2


async def test_dead_letters_keep_the_headers_that_they_came_with(engine: Engine, kafka_address: str) -> None:
    """The topic gets key, value and headers as they were, and who could not handle it, where and why."""
    topic = await new_topic(kafka_address)
    raw = (("ce_id", b"7"), ("ce_type", b"asked"), ("raw", b"\xff\x00"), ("traceparent", b"nonsense"))
    async with KafkaBroker(kafka_address).publisher() as publisher:
        await publisher.publish([Record(topic, b"\xff-key", b"\xfe", raw)])
    async with consuming(engine, kafka_address, topic, note) as consumer, Relay(engine, KafkaBroker(kafka_address)):
        await until(lambda: consumer.counts.held == 1)
        [letter] = await records_of(kafka_address, f"of-{topic}.dead-letter", 1)
    assert (letter.key, letter.value) == (b"\xff-key", b"\xfe")
    assert set(raw) <= set(letter.headers)
    assert header(letter, "saga-dead-letter-consumer") == f"of-{topic}"
    assert "is no UTF-8" in (header(letter, "saga-dead-letter-reason") or "")
    assert held(engine)[0].key == "hex:ff2d6b6579"


class Asked(BaseModel):
    """What is asked for."""

    qty: int


@pytest.mark.parametrize(
    ("value", "headers", "said"),
    [
        (b"1", (("ce_type", b"\xff"),), "ce_type.*no UTF-8"),
        (b"1", (("ce_type", b"unheard.of"),), "unheard.of.*no function"),
        (b"1", (), "of type ''"),
        (b"{", (("ce_type", b"asked"),), "does not fit"),
        (b'{"qty": "secret"}', (("ce_type", b"asked"),), "qty"),
        (b"\xff", (("ce_type", b"asked"),), "no UTF-8"),
        (None, (("ce_type", b"asked"),), "tombstone"),
    ],
)
async def test_what_cannot_be_read_is_held_at_once(
    sqlite_url: str, value: bytes | None, headers: Any, said: str, kafka_address: str
) -> None:
    """Trying again would not help; other keys go on, and no payload is in the reason."""
    topic = await new_topic(kafka_address, partitions=1)
    async with KafkaBroker(kafka_address).publisher() as publisher:
        await publisher.publish([Record(topic, b"EX-1", value, headers)])
    await send(kafka_address, topic, ("EX-2", b'{"qty": 2}'))

    def act(transaction: Any, message: Message) -> None:
        do(transaction, message.key, str(message.decode(Asked).qty))

    with service(sqlite_url) as engine:
        async with consuming(engine, kafka_address, topic, act, attempts=50) as consumer:
            await until(lambda: (consumer.counts.handled, consumer.counts.held) == (1, 1))
            assert consumer.counts.failed == 1
        [key] = held(engine)
        assert key.key == "EX-1"
        with pytest.raises(MessageError, match=said):
            raise MessageError(key.reason)
        assert "secret" not in key.reason


async def test_messages_without_a_key_hold_nothing_else(sqlite_url: str, kafka_address: str) -> None:
    """They have no order, so one that fails is held alone."""
    topic = await new_topic(kafka_address, partitions=1)
    async with KafkaBroker(kafka_address).publisher() as publisher:
        headers = (("ce_type", b"asked"),)
        made = [Record(topic, b"", str(number).encode(), headers) for number in range(3)]
        await publisher.publish(made)
    with service(sqlite_url) as engine:
        async with consuming(engine, kafka_address, topic, Switch(1)) as consumer:
            await until(lambda: (consumer.counts.handled, consumer.counts.held) == (2, 1))
        assert [key.key for key in held(engine)] == [f"at:{topic}/0/1"]


async def test_without_room_the_partition_stops_until_there_is(engine: Engine, kafka_address: str) -> None:
    """Nothing is lost and other partitions go on; when the key is free again, so is the partition."""
    topic = await new_topic(kafka_address, partitions=1)
    other = await new_topic(kafka_address, partitions=1)
    await send(kafka_address, topic, *(("EX-0", number) for number in range(6)))
    function = Switch(0)
    topics = [topic, other]
    async with consuming(engine, kafka_address, topic, function, topics=topics, most_held=3) as consumer:
        await until(lambda: consumer.counts.stored == 2)
        await send(kafka_address, other, ("EX-1", 1))
        await until(lambda: consumer.counts.handled == 1)
        assert (held(engine)[0].messages, effects(engine, "EX-0")) == (3, [])
    async with consuming(engine, kafka_address, topic, function, topics=topics, most_held=3) as again:
        await until(lambda: any(each.blocked for each in again._consuming._partitions.values()))
        function.number = None
        with engine.begin() as connection:
            inbox.retry(connection, f"of-{topic}", "EX-0")
        await until(lambda: len(effects(engine, "EX-0")) == 6)
        await send(kafka_address, topic, ("EX-0", 6))
        await until(lambda: len(effects(engine, "EX-0")) == 7)
    assert effects(engine, "EX-0") == [str(number) for number in range(7)]
    assert (held(engine), consumer.counts.held) == ([], 1)


def test_acts_on_keys_that_are_not_held_are_refused(sqlite_url: str) -> None:
    """They name consumer and key."""
    with service(sqlite_url) as engine, engine.begin() as connection:
        for act in (inbox.retry, inbox.drop):
            with pytest.raises(ActRefusedError, match='"EX-1".*"splitter"'):
                act(connection, "splitter", "EX-1")


def test_the_inbox_forgets_what_is_old(engine: Engine) -> None:
    """By age, the oldest first."""
    with engine.begin() as connection:
        for number in range(3):
            row = {"consumer": "c", "message_id": str(number), "received_at": datetime(2020, 1, number + 1, tzinfo=UTC)}
            connection.execute(inbox_table.insert(), row)
        assert inbox.purge(connection, older_than=timedelta(days=1), limit=2) == 2
        assert inbox.purge(connection, older_than=timedelta(days=36500)) == 0
        assert connection.scalar(text("SELECT message_id FROM saga_inbox")) == "2"
        with pytest.raises(ValueError, match="above zero"):
            inbox.purge(connection, older_than=timedelta(0))
