"""A consumer for tests that tries quickly, and records for it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from saga.participant import Consumer, KafkaBroker, Message
from saga.participant._outbox_rows import Record
from tests.participant.messages import (
    do,
)

AT_ONCE = timedelta(milliseconds=5)
Function = Callable[[Any, Message], Any]


async def send(address: str, topic: str, *records: tuple[str | bytes, object], type: str = "asked") -> None:
    """Sends numbers or bytes, each with its place in the list as its id, so that sending them again repeats them."""
    made = [
        Record(
            topic,
            key.encode() if isinstance(key, str) else key,
            value if isinstance(value, bytes) else str(value).encode(),
            (("ce_id", f"{topic}-{number}-{value!r}".encode()), ("ce_source", b"test"), ("ce_type", type.encode())),
        )
        for number, (key, value) in enumerate(records)
    ]
    async with KafkaBroker(address).publisher() as publisher:
        published = await publisher.publish(made)
        assert len(published.done) == len(made)


def note(transaction: Any, message: Message) -> None:
    """Does the effect."""
    do(transaction, message.key, str(message.decode(int)))


@asynccontextmanager
async def consuming(
    engine: Any, address: str, topic: str, function: Function | None, **options: Any
) -> AsyncGenerator[Consumer]:
    """A consumer that tries quickly."""
    given: dict[str, Any] = {"functions": {"asked": function}, "attempts": 3, "first_wait": AT_ONCE} | options
    topics = given.pop("topics", [topic])
    async with Consumer(engine, KafkaBroker(address), name=f"of-{topic}", topics=topics, **given) as consumer:
        yield consumer
