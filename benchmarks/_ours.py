"""Our engine behind the harness' small interface; everything that knows its tables is here."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager, closing
from typing import Final

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
RAW_BODY: Final = 2
"""The column that a scan decodes; payloads stay text until somebody asks for them."""


@asynccontextmanager
async def ours(spec: Spec) -> AsyncGenerator[RunOne]:
    """Open the engine on that database and yield what runs one saga of three steps."""
    request = order_of(spec.payload_bytes)
    async with _engine(spec) as engine:
        yield lambda number: engine.run(Purchase, request, id=f"purchase-{os.getpid()}-{number}")


@asynccontextmanager
async def waiting(spec: Spec) -> AsyncGenerator[RunOne]:
    """Open the engine and yield what starts a saga and returns when it waits for its decision."""
    request = order_of(spec.payload_bytes)
    async with _engine(spec) as engine:

        async def start_one(number: int) -> None:
            handle = await engine.start(ReviewedPurchase, request, id=f"reviewed-{number}")
            async with aclosing(handle.facts()) as facts:  # type: ignore[type-var]  # it is a generator
                async for fact in facts:
                    if fact.fact == "DecisionAwaited":
                        return

        yield start_one


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
