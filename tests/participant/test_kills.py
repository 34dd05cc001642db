"""A service that is killed at any point does each effect once, and tells of each, in order."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine, NullPool, create_engine, make_url, text

from saga.participant import KafkaBroker, Relay, outbox
from tests.participant.child import POINTS
from tests.participant.messages import count, effects, header, new_topic, records_of, service, until

KEYS = ("EX-1", "EX-2", "EX-3")
MESSAGES = 12
ROOT = Path(__file__).parents[2]


@contextmanager
def database(kind: str, folder: Path, server: Callable[[], str]) -> Generator[Engine]:
    """A service's database, of its own."""
    if kind == "sqlite":
        with service(f"sqlite:///{folder / uuid4().hex}.db") as engine:
            yield engine
        return
    name = f"child_{uuid4().hex}"
    admin = create_engine(server(), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with admin.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    url = make_url(server()).set(database=name).render_as_string(hide_password=False)
    with service(url) as engine:
        yield engine
    with admin.connect() as connection:
        connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))


@asynccontextmanager
async def child(*arguments: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    """The service in a process of its own, killed in the end."""
    script = str(Path(__file__).with_name("child.py"))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(sys.executable, script, *arguments, env=environment)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def survives(point: str, address: str, producer: Engine, consumer: Engine) -> None:
    """Kills the service at that point, starts it again, and looks at what it did."""
    incoming, outgoing = await new_topic(address), await new_topic(address)
    with producer.begin() as connection:
        for number in range(MESSAGES):
            outbox.publish(connection, incoming, number, key=KEYS[number % len(KEYS)], type="asked")
    async with Relay(producer, KafkaBroker(address)):
        await until(lambda: not count(producer, "saga_outbox"))
    arguments = (consumer.url.render_as_string(hide_password=False), address, incoming, outgoing)
    async with child(*arguments, point) as killed:
        assert await killed.wait() == -signal.SIGKILL, point
    async with child(*arguments, "never"):
        await until(lambda: len(effects(consumer)) >= MESSAGES and not count(consumer, "saga_outbox"))
        told = await records_of(address, outgoing, MESSAGES)
    for lane, key in enumerate(KEYS):
        expected = [str(number) for number in range(lane, MESSAGES, len(KEYS))]
        assert effects(consumer, key) == expected, point
        once = dict.fromkeys((header(record, "ce_id"), record.value) for record in told if record.key == key.encode())
        assert [value.decode() for _, value in once] == expected, point


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_kill_at_any_point_loses_and_doubles_nothing(
    kind: str, tmp_path: Path, kafka_address: str, request: pytest.FixtureRequest
) -> None:
    """Effects have no unique key, so a second one would show; what is told twice is known by its id."""

    def server() -> str:
        found: str = request.getfixturevalue("postgres_server")
        return found

    with ExitStack() as stack:
        databases = [
            [stack.enter_context(database(kind, tmp_path, server)) for _ in ("producer", "consumer")] for _ in POINTS
        ]
        async with asyncio.timeout(100):
            await asyncio.gather(
                *(survives(point, kafka_address, *pair) for point, pair in zip(POINTS, databases, strict=True))
            )
