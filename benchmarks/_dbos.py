"""The peer behind the harness' interface, with its own defaults or with our pragmas."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from sqlalchemy import event, make_url
from sqlalchemy.engine import Engine

from ._cells import Database, Spec
from ._load import RunOne, RunOneInThread
from ._payload import payload
from ._peer import launch, workflow_async, workflow_in_thread


@contextmanager
def dbos_in_threads(spec: Spec) -> Generator[RunOneInThread]:
    """Launch DBOS and yield what runs one workflow on the calling thread."""
    with _pragmas(spec):
        dbos = launch(_driver_url(spec.url))
        workflow = workflow_in_thread(dbos)
        dbos.launch()
        fields = payload(spec.payload_bytes)
        workflow(fields)
        yield lambda _number: workflow(fields)
        dbos.destroy()


@asynccontextmanager
async def dbos_async(spec: Spec) -> AsyncGenerator[RunOne]:
    """Launch DBOS and yield what runs one workflow on the running loop."""
    with _pragmas(spec):
        dbos = launch(_driver_url(spec.url))
        workflow = workflow_async(dbos)
        dbos.launch()
        fields = payload(spec.payload_bytes)
        await workflow(fields)
        yield lambda _number: workflow(fields)
        await asyncio.to_thread(dbos.destroy)


@contextmanager
def _pragmas(spec: Spec) -> Generator[None]:
    """Give every SQLite connection of the process our pragmas, where the cell asks for them."""
    if spec.cell.database is not Database.SQLITE:
        yield
        return

    def set_pragmas(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    event.listen(Engine, "connect", set_pragmas)
    try:
        yield
    finally:
        event.remove(Engine, "connect", set_pragmas)


def _driver_url(url: str) -> str:
    """DBOS chooses the PostgreSQL driver itself."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "postgresql":
        return url
    return parsed.set(drivername="postgresql").render_as_string(hide_password=False)
