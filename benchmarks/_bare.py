"""The bare reference: the least code that journals the same facts with group commit.

It knows nothing of sagas: no compensation, no recovery, no validation. What it leaves
out is what an engine is for, so an engine is measured as a share of it (P10).
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Final, TypeAlias

from sqlalchemy import make_url

from ._cells import Spec
from ._figures import STEPS
from ._load import RunOne
from ._payload import Fields, encode, payload

Row: TypeAlias = tuple[str, int, str, str]
Entry: TypeAlias = tuple[list[Row], asyncio.Future[None]]

_SCHEMA: Final = """
CREATE TABLE facts (
    saga TEXT NOT NULL, position INTEGER NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (saga, position)
) WITHOUT ROWID"""
_INSERT: Final = "INSERT INTO facts VALUES (?, ?, ?, ?)"


class BareJournal:
    """One writer thread that commits whatever has queued while it wrote the last batch."""

    def __init__(self, path: str, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: SimpleQueue[Entry | None] = SimpleQueue()
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute(_SCHEMA)
        self._thread = threading.Thread(target=self._write, name="bare-journal", daemon=True)
        self._thread.start()

    def append(self, rows: list[Row]) -> asyncio.Future[None]:
        """Queue rows; the future is done when they are on the disk."""
        durable = self._loop.create_future()
        self._queue.put((rows, durable))
        return durable

    def close(self) -> None:
        """Commit what has queued, and end the writer."""
        self._queue.put(None)
        self._thread.join()
        self._connection.close()

    def _write(self) -> None:
        while batch := self._next_batch():
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(_INSERT, [row for rows, _ in batch for row in rows])
            self._connection.execute("COMMIT")
            self._loop.call_soon_threadsafe(_wake, [durable for _, durable in batch])

    def _next_batch(self) -> list[Entry]:
        first = self._queue.get()
        batch: list[Entry] = []
        with suppress(Empty):
            while first is not None:
                batch.append(first)
                first = self._queue.get_nowait()
        if first is None and batch:
            self._queue.put(None)  # the next turn ends the thread
        return batch


def _wake(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


@asynccontextmanager
async def bare(spec: Spec) -> AsyncGenerator[RunOne]:
    """Open the journal and yield what runs one saga of three steps."""
    path = make_url(spec.url).database
    assert path is not None  # noqa: S101 - our own parent chose the URL
    journal = BareJournal(path, asyncio.get_running_loop())
    request = payload(spec.payload_bytes)
    jitter = random.Random(spec.payload_bytes)

    async def activity(fields: Fields) -> Fields:
        if spec.jitter_ms:
            await asyncio.sleep(jitter.uniform(0, spec.jitter_ms / 1000))
        return {**fields}

    async def run_one(number: int) -> Fields:
        saga = f"saga-{number}"
        rows: list[Row] = [(saga, 0, "started", encode(request))]
        current = request
        for step in range(STEPS):
            rows.append((saga, 2 * step + 1, "registered", encode(current)))
            await journal.append(rows)
            current = await activity(current)
            rows = [(saga, 2 * step + 2, "done", encode(current))]
        rows.append((saga, 2 * STEPS + 1, "completed", encode(current)))
        await journal.append(rows)
        return current

    try:
        yield run_one
    finally:
        journal.close()
