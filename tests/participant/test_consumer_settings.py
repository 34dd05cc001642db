"""A consumer that cannot work says so where it is made or entered."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker

from saga.errors import BrokerError, InboxError
from saga.participant import Consumer, KafkaBroker, Message
from tests.participant.members import consuming, note
from tests.participant.messages import (
    member_with_another_strategy,
    new_topic,
    service,
)


async def test_a_broker_that_is_not_there_is_told(sqlite_url: str) -> None:
    """At once, and not by a consumer that never receives."""
    with service(sqlite_url) as engine, pytest.raises(BrokerError, match="127.0.0.1:1"):
        async with consuming(engine, "127.0.0.1:1", "orders", note):
            pass


async def test_a_topic_that_is_not_there_is_told(sqlite_url: str, kafka_address: str) -> None:
    """A name that the broker does not make."""
    broker = KafkaBroker(kafka_address, timeout=timedelta(seconds=2))
    with service(sqlite_url) as engine, pytest.raises(BrokerError, match="no topic"):
        async with Consumer(engine, broker, name="c", topics=["no topic of Kafka"], functions={"*": note}):
            pass


async def test_a_group_with_another_strategy_is_told(sqlite_url: str, kafka_address: str) -> None:
    """The broker refuses this member for good, so the consumer ends and says so."""
    topic = await new_topic(kafka_address)
    async with member_with_another_strategy(kafka_address, topic, f"of-{topic}"):
        with service(sqlite_url) as engine:
            with pytest.raises(BrokerError, match="InconsistentGroupProtocol") as refused:
                async with consuming(engine, kafka_address, topic, note) as consumer:
                    await consumer.wait()
            assert refused.value.lasting


async def test_missing_tables_are_told(sqlite_url: str, kafka_address: str) -> None:
    """Before anything is received."""
    bare = create_engine(sqlite_url)
    with pytest.raises(InboxError, match="create_messaging_tables"):
        async with consuming(bare, kafka_address, "orders", note):
            pass
    bare.dispose()


async def async_note(transaction: Any, message: Message) -> None:
    """Of the wrong kind for a synchronous database."""


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"functions": {"asked": async_note}}, TypeError, "made with def"),
        ({"name": " "}, ValueError, "name"),
        ({"topics": "orders"}, ValueError, "list of topics"),
        ({"topics": []}, ValueError, "list of topics"),
        ({"attempts": 0}, ValueError, "at least 1"),
        ({"parallel": 0}, ValueError, "at least 1"),
        ({"database": "sqlite:///x.db"}, TypeError, "needed: an Engine"),
        ({"database": sessionmaker()}, TypeError, "bind=engine"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    sqlite_url: str, options: dict[str, Any], error: type[Exception], said: str
) -> None:
    """They are told where they are given."""
    given: dict[str, Any] = {"name": "c", "topics": ["orders"], "functions": {"asked": note}} | options
    with pytest.raises(error, match=said):
        Consumer(given.pop("database", create_engine(sqlite_url)), KafkaBroker("localhost:1"), **given)


def typed(engine: Engine, maker: sessionmaker[Session], awaited: async_sessionmaker[AsyncSession]) -> None:
    """The checkers know which transaction a function gets; never run."""

    def core(connection: Session, message: Message) -> None: ...
    async def orm(session: AsyncSession, message: Message) -> None: ...

    Consumer(maker, KafkaBroker("x"), name="c", topics=["t"], functions={"a": core, "*": None})
    Consumer(awaited, KafkaBroker("x"), name="c", topics=["t"], functions={"a": orm})
