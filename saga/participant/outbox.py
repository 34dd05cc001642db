"""The outbox: a message leaves exactly if the business change beside it was committed.

    with Session(engine) as session, session.begin():
        session.add(Exchange(id="EX-1", qty=10))
        outbox.publish(session, "exchange", ExchangeRequested(qty=10), key="EX-1", type="exchange.requested")

The row is in the same transaction as the change; a `Relay` publishes it afterwards, at least once, in the order of
the commits of each key. Whoever consumes it removes what came twice, as `Consumer` does.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, overload
from uuid import uuid4

from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError
from sqlalchemy import delete, select, update

from saga.errors import ActRefusedError, OutboxError
from saga.participant import _outbox_rows as rows
from saga.participant._connection import is_asynchronous, open_connection
from saga.participant._headers import current_trace
from saga.participant._tables import outbox as table
from saga.participant._tables import tables_expected

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from sqlalchemy.engine import Connection, RowMapping
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
    from sqlalchemy.orm import Session

__all__ = ("HeldRow", "drop", "list_held", "publish", "retry")

KEY_BYTES: Final = 2000
TOPIC_LENGTH: Final = 249  # what Kafka takes
JSON: Final = "application/json"
BYTES: Final = "application/octet-stream"
_ANY: Final[TypeAdapter[Any]] = TypeAdapter(Any)  # dumps each value by its own type


@dataclass(frozen=True, slots=True)
class HeldRow:
    """A row that the broker refused; later rows of its key wait behind it.

    Attributes:
        id: Id of the message.
        topic: Where it was to go.
        key: Id of its aggregate.
        type: Type of the message.
        reason: What the broker said.
        since: When it was refused, in UTC.
    """

    id: str
    topic: str
    key: str
    type: str
    reason: str
    since: datetime


@overload
def publish(
    transaction: Connection | Session,
    topic: str,
    payload: object,
    *,
    key: str,
    type: str,
    headers: Mapping[str, str | bytes] | None = None,
    id: str | None = None,
    source: str | None = None,
) -> str: ...
@overload
def publish(
    transaction: AsyncConnection | AsyncSession,
    topic: str,
    payload: object,
    *,
    key: str,
    type: str,
    headers: Mapping[str, str | bytes] | None = None,
    id: str | None = None,
    source: str | None = None,
) -> Coroutine[Any, Any, str]: ...
def publish(
    transaction: Any,  # as the overloads say
    topic: str,
    payload: object,
    *,
    key: str,
    type: str,
    headers: Mapping[str, str | bytes] | None = None,
    id: str | None = None,
    source: str | None = None,
) -> str | Coroutine[Any, Any, str]:
    """Write a message into the outbox, in the caller's transaction.

    Messages of one key are published in the order in which their transactions were committed: on PostgreSQL
    a transaction that publishes for a key waits for the one that did so before it. Publish for several keys
    in one order everywhere, or the database may have to end one of two transactions that wait for each other.

    The message gets the headers of a CloudEvent (`ce_id`, `ce_source`, `ce_type`, `ce_subject`, `ce_time`),
    and the trace context of the running OpenTelemetry span, or else of the message that is being handled.

    Args:
        transaction: The transaction of the business change; the caller commits it.
        topic: Where the message goes; Debezium's `aggregatetype`.
        payload: A pydantic model or anything pydantic can put into JSON; bytes go as they are, and None is
            a tombstone.
        key: Id of the aggregate: what order is kept by, at most 2,000 bytes.
        type: What happened, such as `order.filled`.
        headers: More headers; a name among those above replaces it.
        id: Id of the message, by which a consumer knows it when it comes twice; by default a new UUID.
        source: Who says it, a URI reference; by default the topic.

    Returns:
        The id. For an asynchronous transaction: to be awaited.

    Raises:
        OutboxError: if the message, the transaction or the database does not allow it.
    """
    values = _values(topic, payload, key=key, type=type, id=id or str(uuid4()), source=source or topic)
    work = partial(_publish, values=values, headers=headers or {})
    return transaction.run_sync(work) if is_asynchronous(transaction) else work(transaction)


def _publish(transaction: Connection | Session, values: Mapping[str, Any], headers: Mapping[str, str | bytes]) -> str:
    rows.insert_row(open_connection(transaction, "the outbox", OutboxError), values, headers)
    id: str = values["id"]
    return id


def _values(topic: str, payload: object, *, key: str, type: str, id: str, source: str) -> dict[str, Any]:
    limits = {"topic": (topic, TOPIC_LENGTH), "key": (key, KEY_BYTES), "type": (type, 200), "id": (id, 200)}
    for name, (text, limit) in limits.items():
        _check(name, text, limit)
    value, content_type = _encoded(payload)
    parent, state = current_trace()
    return {
        "id": id,
        "aggregatetype": topic,
        "aggregateid": key,
        "type": type,
        "payload": value,
        "source": source,
        "content_type": content_type,
        "traceparent": parent,
        "tracestate": state,
    }


def _check(name: str, text: str, limit: int) -> None:
    if not text.strip() or not text.isprintable():
        raise OutboxError(f"the message's {name} {text!r} is empty or holds a control character")
    size = len(text.encode(errors="replace"))
    if size > limit:
        raise OutboxError(f"the message's {name} is too long: {size} bytes, at most {limit}: {text[:40]!r}...")


def _encoded(payload: object) -> tuple[bytes | None, str | None]:
    if payload is None:
        return None, None
    if isinstance(payload, bytes | bytearray):
        return bytes(payload), BYTES
    try:
        return _ANY.dump_json(payload), JSON
    except PydanticSerializationError as error:
        raise OutboxError(f"the payload of type {payload.__class__.__name__} cannot be put into JSON") from error


# -- rows that the broker refused ------------------------------------------------------------


@overload
def list_held(transaction: Connection | Session) -> list[HeldRow]: ...
@overload
def list_held(transaction: AsyncConnection | AsyncSession) -> Coroutine[Any, Any, list[HeldRow]]: ...
def list_held(transaction: Any) -> Any:  # as the overloads say
    """List the rows that the broker refused, the oldest first; their keys wait until `retry` or `drop`.

    Args:
        transaction: A transaction of the participant's database.

    Returns:
        The rows. For an asynchronous transaction: to be awaited.
    """
    return _run(transaction, _list_held)


@overload
def retry(transaction: Connection | Session, id: str) -> None: ...
@overload
def retry(transaction: AsyncConnection | AsyncSession, id: str) -> Coroutine[Any, Any, None]: ...
def retry(transaction: Any, id: str) -> Any:  # as the overloads say
    """Have a held row published again, and after it those of its key; the caller commits.

    Args:
        transaction: A transaction of the participant's database.
        id: Id of the message.

    Raises:
        ActRefusedError: if no held row has this id.
    """
    return _run(transaction, partial(_act, statement=update(table).values(held_at=None, held_reason=None), id=id))


@overload
def drop(transaction: Connection | Session, id: str) -> None: ...
@overload
def drop(transaction: AsyncConnection | AsyncSession, id: str) -> Coroutine[Any, Any, None]: ...
def drop(transaction: Any, id: str) -> Any:  # as the overloads say
    """Delete a held row for good, so that the next of its key is published; the caller commits.

    Args:
        transaction: A transaction of the participant's database.
        id: Id of the message.

    Raises:
        ActRefusedError: if no held row has this id.
    """
    return _run(transaction, partial(_act, statement=delete(table), id=id))


def _run(transaction: Any, work: Callable[[Any], Any]) -> Any:  # a transaction of any kind, and what the work returns
    with tables_expected(OutboxError):
        return transaction.run_sync(work) if is_asynchronous(transaction) else work(transaction)


def _list_held(transaction: Connection | Session) -> list[HeldRow]:
    connection = open_connection(transaction, "the outbox", OutboxError)
    names = ("id", "aggregatetype", "aggregateid", "type", "held_reason", "held_at")
    statement = select(*(table.c[name] for name in names)).where(table.c.held_at.is_not(None)).order_by(table.c.seq)
    return [_held(row) for row in connection.execute(statement).mappings()]


def _held(row: RowMapping) -> HeldRow:
    since: datetime = row["held_at"]
    return HeldRow(
        id=row["id"],
        topic=row["aggregatetype"],
        key=row["aggregateid"],
        type=row["type"],
        reason=row["held_reason"],
        since=since if since.tzinfo else since.replace(tzinfo=UTC),
    )


def _act(transaction: Connection | Session, statement: Any, id: str) -> None:  # an update or a delete
    connection = open_connection(transaction, "the outbox", OutboxError)
    if not connection.execute(statement.where(table.c.id == id, table.c.held_at.is_not(None))).rowcount:
        raise ActRefusedError(f"no held row of the outbox has the id {json.dumps(id)}; outbox.list_held shows them")
