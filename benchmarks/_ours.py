"""Our engine behind the harness' small interface; everything that knows its tables is here."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, closing
from typing import Final

from sqlalchemy import make_url

from saga import EmbeddedEngine
from saga.embedded._store import Loaded, Store
from saga.kernel import Instance, decode_fact, definition_of, resume

from ._cells import Spec
from ._load import RunOne
from ._sagas import Purchase, ReviewedPurchase, Shop, order_of

RAW_QUERY: Final = """
SELECT facts.number, facts.seq, facts.body, facts.payload
FROM saga_instances AS instances JOIN saga_facts AS facts ON facts.number = instances.number
WHERE instances.ended_at IS NULL
ORDER BY facts.number, facts.seq"""
RAW_JSON: Final = (2, 3)
"""The columns that hold JSON: a fact's body and its payload."""

_WAITING: Final = "SELECT count(*) FROM saga_facts WHERE body LIKE '%DecisionAwaited%'"


@asynccontextmanager
async def ours(spec: Spec) -> AsyncGenerator[RunOne]:
    """Open the engine on that database and yield what runs one saga of three steps."""
    request = order_of(spec.payload_bytes)
    async with _engine(spec) as engine:
        yield lambda number: engine.run(Purchase, request, id=f"purchase-{os.getpid()}-{number}")


@asynccontextmanager
async def waiting_sagas(spec: Spec) -> AsyncGenerator[RunOne]:
    """Open the engine and yield what starts a saga that will wait for its decision."""
    request = order_of(spec.payload_bytes)
    async with _engine(spec) as engine:
        yield lambda number: engine.start(ReviewedPurchase, request, id=f"reviewed-{number}")


async def all_wait(url: str, sagas: int) -> None:
    """Return once so many sagas wait for their decision, durably.

    Raises:
        TimeoutError: if they do not within a minute.
    """
    async with asyncio.timeout(60):
        with closing(sqlite3.connect(make_url(url).database or "")) as connection:
            while connection.execute(_WAITING).fetchone()[0] < sagas:  # noqa: ASYNC110 - only the journal knows
                await asyncio.sleep(0.05)


async def reopened(spec: Spec) -> float:
    """Return the seconds that the engine itself takes to open with the open sagas in its journal."""
    began = time.perf_counter()
    async with _engine(spec):
        return time.perf_counter() - began


def recover(url: str, build: Callable[[Loaded], object]) -> tuple[int, float, float]:
    """Do what an engine does when it opens, and let go of the sagas again.

    Returns:
        How many open sagas there were, and the seconds of claiming and of reading them.
    """
    store = Store.open(url)
    ownership = store.ownership()
    ownership.beat()
    began = time.perf_counter()
    claimed = ownership.claim([Purchase.__name__, ReviewedPurchase.__name__])
    read_from = time.perf_counter()
    built = [build(loaded) for loaded in store.load_open(claimed)]
    ended = time.perf_counter()
    ownership.release()
    store.close()
    return len(built), read_from - began, ended - read_from


def folded(loaded: Loaded) -> Instance:
    """Decode the facts and build the instance from them."""
    return Instance().fold_all(decode_fact(body, payload) for _, body, payload in loaded.facts)


def replayed(loaded: Loaded) -> object:
    """Decode the facts and replay `run` against them."""
    return resume(_REVIEWED, [decode_fact(body, payload) for _, body, payload in loaded.facts])


_REVIEWED: Final = definition_of(ReviewedPurchase)


def fill_completed(path: str, model: str, count: int) -> None:
    """Copy the completed saga `model`, row by row, until there are `count` more of them."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous=OFF")  # nobody measures this write
        names = [row[0] for row in connection.execute("SELECT name FROM pragma_table_info('saga_instances')")]
        columns = ", ".join(name for name in names if name not in {"number", "id"})
        connection.execute(
            f"""WITH RECURSIVE copies(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM copies WHERE i < ?)
            INSERT INTO saga_instances (id, {columns})
            SELECT 'copy-' || i, {columns} FROM copies, saga_instances WHERE id = ?""",  # noqa: S608 - names only
            (count, model),
        )
        connection.execute(
            """INSERT INTO saga_facts
            SELECT copies.number, facts.seq, facts.body, facts.payload
            FROM saga_instances AS copies, saga_instances AS model
            JOIN saga_facts AS facts ON facts.number = model.number
            WHERE model.id = ? AND copies.id LIKE 'copy-%'""",
            (model,),
        )
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # or the next reader would pay for it


def _engine(spec: Spec) -> EmbeddedEngine:
    shop = Shop(spec.jitter_ms)
    return EmbeddedEngine(spec.url, sagas=[Purchase, ReviewedPurchase], participants={"shop": shop})
