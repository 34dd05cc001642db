"""A message is in the outbox exactly if the business change is there, in the order of the commits of its key."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Generator
from contextlib import ExitStack
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import Engine, create_engine, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from saga.errors import ActRefusedError, OutboxError
from saga.participant import create_messaging_tables, outbox
from saga.participant._headers import handling
from saga.participant._outbox_rows import delete_rows, hold, next_rows
from saga.participant._tables import SHARDS
from saga.participant._tables import outbox as table
from tests.participant.conftest import async_engine
from tests.participant.messages import count, do, effects, service

ALL = range(SHARDS)
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
Services = Callable[..., Engine]


class Filled(BaseModel):
    """A payload."""

    qty: int


@pytest.fixture
def services() -> Generator[Services]:
    """Make databases of services."""
    with ExitStack() as stack:
        yield lambda url, **options: stack.enter_context(service(url, **options))


@pytest.fixture(params=["sqlite_url", "postgres_url"])
def engine(request: pytest.FixtureRequest, services: Services) -> Engine:
    """A service's database of each kind."""
    return services(request.getfixturevalue(request.param))


def waiting(engine: Engine) -> list[Any]:
    """What a relay would publish now."""
    with engine.begin() as connection:
        return next_rows(connection, ALL, 1000)


@pytest.mark.parametrize("style", ["core", "orm"])
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_message_and_change_are_there_together_or_not_at_all(engine: Engine, style: str, end: str) -> None:
    """The caller's transaction decides over both."""
    opened = Session(engine) if style == "orm" else engine.connect()
    with opened as transaction:
        do(transaction, "EX-1", "filled")
        outbox.publish(transaction, "order", Filled(qty=3), key="EX-1", type="order.filled")
        getattr(transaction, end)()
    expected = 1 if end == "commit" else 0
    assert [len(waiting(engine)), len(effects(engine))] == [expected, expected]


@pytest.mark.parametrize("style", ["core", "orm"])
@pytest.mark.parametrize("end", ["commit", "rollback"])
async def test_asynchronous_transactions_likewise(engine: Engine, style: str, end: str) -> None:
    """As above, awaited."""
    database = async_engine(engine.url.render_as_string(hide_password=False))
    opened = AsyncSession(database) if style == "orm" else database.connect()
    async with opened as transaction:
        id = await outbox.publish(transaction, "order", Filled(qty=3), key="EX-1", type="order.filled")
        await getattr(transaction, end)()
    await database.dispose()
    assert [dict(row.record.headers)["ce_id"] for row in waiting(engine)] == ([id.encode()] if end == "commit" else [])


def test_the_columns_are_those_of_debeziums_event_router(engine: Engine) -> None:
    """Whoever runs Debezium needs no relay; the rest becomes headers by its `additional.placement`."""
    with engine.begin() as connection:
        id = outbox.publish(connection, "order", Filled(qty=3), key="EX-1", type="order.filled", source="/executor")
    names = ("id", "aggregatetype", "aggregateid", "type", "payload", "source")
    with engine.begin() as connection:
        row = connection.execute(select(*(table.c[name] for name in names))).one()
    assert tuple(row) == (id, "order", "EX-1", "order.filled", b'{"qty":3}', "/executor")


def test_a_record_has_the_headers_of_a_cloud_event(engine: Engine) -> None:
    """Binary mode of the Kafka binding; own headers are added, and replace those of the same name."""
    headers: dict[str, str | bytes] = {"ce_subject": "mine", "raw": b"\xff\x00"}
    with engine.begin() as connection:
        id = outbox.publish(connection, "order", Filled(qty=3), key="EX-1", type="order.filled", headers=headers)
    [row] = waiting(engine)
    found = dict(row.record.headers)
    assert found.pop("ce_time").endswith(b"Z")
    assert found == {
        "ce_specversion": b"1.0",
        "ce_id": id.encode(),
        "ce_source": b"order",
        "ce_type": b"order.filled",
        "ce_subject": b"mine",
        "content-type": b"application/json",
        "raw": b"\xff\x00",
    }
    assert (row.record.topic, row.record.key, row.record.value) == ("order", b"EX-1", b'{"qty":3}')


@pytest.mark.parametrize(
    ("payload", "value", "content_type"),
    [
        (b"\x00\xff", b"\x00\xff", b"application/octet-stream"),
        (["a", 1], b'["a",1]', b"application/json"),
        (None, None, None),
    ],
)
def test_a_payload_may_be_anything(engine: Engine, payload: object, value: bytes | None, content_type: bytes) -> None:
    """Bytes go as they are, and nothing is a tombstone."""
    with engine.begin() as connection:
        outbox.publish(connection, "order", payload, key="EX-1", type="order.filled")
    [row] = waiting(engine)
    assert (row.record.value, dict(row.record.headers).get("content-type")) == (value, content_type)


@pytest.mark.parametrize(
    ("parent", "sent"), [(PARENT, PARENT), ("nonsense", None), (PARENT.upper(), None), (None, None)]
)
def test_what_is_published_belongs_to_the_trace_of_what_is_handled(
    engine: Engine, parent: str | None, sent: str | None
) -> None:
    """A trace context that cannot be read is not passed on, as W3C says."""
    headers = (("traceparent", parent.encode()), ("tracestate", b"a=b")) if parent else ()
    with handling(headers), engine.begin() as connection:
        outbox.publish(connection, "order", 1, key="EX-1", type="order.filled")
    found = dict(waiting(engine)[0].record.headers)
    assert found.get("traceparent") == (sent.encode() if sent else None)
    assert found.get("tracestate") == (b"a=b" if sent else None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"key": ""}, "key"),
        ({"key": "a\nb"}, "control character"),
        ({"key": "k" * 2001}, "too long"),
        ({"topic": " "}, "topic"),
        ({"type": ""}, "type"),
        ({"payload": object()}, "cannot be put into JSON"),
    ],
)
def test_a_message_that_cannot_be_one_is_refused(engine: Engine, arguments: dict[str, Any], said: str) -> None:
    """It is refused where it is written, before anything is."""
    given: dict[str, Any] = {"topic": "order", "payload": 1, "key": "EX-1", "type": "order.filled"} | arguments
    with engine.begin() as connection, pytest.raises(OutboxError, match=said):
        outbox.publish(connection, given.pop("topic"), given.pop("payload"), **given)
    assert waiting(engine) == []


def test_missing_tables_and_autocommit_are_told(sqlite_url: str) -> None:
    """Either error says what to do."""
    bare = create_engine(sqlite_url)
    with bare.begin() as connection, pytest.raises(OutboxError, match="create_messaging_tables"):
        outbox.publish(connection, "order", 1, key="EX-1", type="order.filled")
    create_messaging_tables(bare)
    alone = bare.connect().execution_options(isolation_level="AUTOCOMMIT")
    with alone, pytest.raises(OutboxError, match="AUTOCOMMIT"):
        outbox.publish(alone, "order", 1, key="EX-1", type="order.filled")
    bare.dispose()


def test_tables_may_be_created_by_several_at_once(postgres_url: str) -> None:
    """Processes that start together do not trip over each other."""
    engine = create_engine(postgres_url)
    threads = [threading.Thread(target=create_messaging_tables, args=(engine,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count(engine, "saga_outbox") == 0
    engine.dispose()


# -- order -----------------------------------------------------------------------------------


def test_writers_of_one_key_wait_for_each_other(postgres_url: str, services: Services) -> None:
    """Else a message could be published before one of the same key with a lower number is committed."""
    engine = services(postgres_url)
    order: list[str] = []

    def second() -> None:
        with engine.begin() as connection:
            outbox.publish(connection, "order", 2, key="EX-1", type="x")
            order.append("second is written")

    thread = threading.Thread(target=second)
    with engine.begin() as connection:
        outbox.publish(connection, "order", 1, key="EX-1", type="x")
        thread.start()
        waits = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        with engine.connect() as other:
            while not other.scalar(waits):
                time.sleep(0.01)
        outbox.publish(connection, "order", 1, key="EX-1", type="x")
        order.append("first commits")
    thread.join()
    assert order == ["first commits", "second is written"]
    assert [row.record.value for row in waiting(engine)] == [b"1", b"1", b"2"]


def test_writers_of_different_keys_do_not_wait(postgres_url: str, services: Services) -> None:
    """A transaction that is open holds up its own key only, and its message is not passed over in the end."""
    engine = services(postgres_url)
    with engine.begin() as late:
        outbox.publish(late, "order", "late", key="EX-1", type="x")
        with engine.begin() as connection:
            outbox.publish(connection, "order", "early", key="EX-2", type="x")
        [early] = waiting(engine)
        with engine.begin() as connection:
            delete_rows(connection, [early.seq])
    [found] = waiting(engine)
    assert found.record.value == b'"late"'
    assert found.seq < early.seq


def test_a_number_is_never_given_again(engine: Engine) -> None:
    """A relay that deletes what another has deleted already hits nothing that was written since."""
    with engine.begin() as connection:
        outbox.publish(connection, "order", 1, key="EX-1", type="x")
    [first] = waiting(engine)
    for _ in range(2):
        with engine.begin() as connection:
            delete_rows(connection, [first.seq])
            outbox.publish(connection, "order", 2, key="EX-1", type="x")
    assert len(waiting(engine)) == 2


def test_a_shard_is_a_checksum_of_the_key(engine: Engine) -> None:
    """All processes agree on it, whatever Python hashes with."""
    with engine.begin() as connection:
        outbox.publish(connection, "order", 1, key="EX-7", type="x")
        shard = zlib.crc32(b"EX-7") % SHARDS
        assert len(next_rows(connection, [shard], 10)) == 1
        assert next_rows(connection, set(ALL) - {shard}, 10) == []


# -- held rows -------------------------------------------------------------------------------


@pytest.mark.parametrize("act", ["retry", "drop"])
def test_a_held_row_holds_its_key_alone_until_somebody_acts(engine: Engine, act: str) -> None:
    """Later messages of the key wait, others do not."""
    with engine.begin() as connection:
        for key in ("EX-1", "EX-2", "EX-1"):
            outbox.publish(connection, "order", 1, key=key, type="x")
    first = waiting(engine)[0]
    with engine.begin() as connection:
        hold(connection, first.seq, "too large")
    assert [row.key for row in waiting(engine)] == ["EX-2"]
    with engine.begin() as connection:
        [held] = outbox.list_held(connection)
        assert (held.key, held.topic, held.type, held.reason) == ("EX-1", "order", "x", "too large")
        getattr(outbox, act)(connection, held.id)
    assert [row.key for row in waiting(engine)] == (["EX-1", "EX-2", "EX-1"] if act == "retry" else ["EX-2", "EX-1"])
    with engine.begin() as connection, pytest.raises(ActRefusedError, match=held.id):
        getattr(outbox, act)(connection, held.id)


def test_importing_the_room_loads_no_client() -> None:
    """Whoever uses the barrier alone needs neither aiokafka nor its time to load."""
    program = "import sys, saga.participant; assert 'aiokafka' not in sys.modules, 'loaded'"
    subprocess.run([sys.executable, "-c", program], check=True)
