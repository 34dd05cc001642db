"""A participant's database as relay and consumer use it, whatever SQLAlchemy object stands for it."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import sessionmaker

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from sqlalchemy.engine import Connection

__all__ = ("Database", "HeldConnection", "is_passing")

Result = TypeVar("Result")


def is_passing(error: BaseException) -> bool:
    """Whether a failure is the database's, and is likely to pass: trying again costs no message an attempt."""
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    if not isinstance(error, OperationalError):
        return False
    if getattr(error.orig, "sqlstate", None) is not None or "psycopg" in type(error.orig).__module__:
        return True
    said = str(error.orig)  # SQLite says so of a missing table too
    return "locked" in said or "busy" in said or "disk" in said


class HeldConnection:
    """One connection that is kept; each piece of work is a transaction on it."""

    def __init__(self, database: Database, connection: Any) -> None:
        self._database = database
        self._connection = connection

    async def run(self, work: Callable[[Connection], Result]) -> Result:
        """Do the work and commit it."""
        if self._database.asynchronous:
            async with self._connection.begin():
                found: Result = await self._connection.run_sync(work)
                return found
        return await self._database.in_thread(partial(self._run, work))

    def _run(self, work: Callable[[Connection], Result]) -> Result:
        with self._connection.begin():
            return work(self._connection)


class Database:
    """A database, reached through an engine or a maker of sessions.

    Attributes:
        source: What the application gave.
        asynchronous: Whether its transactions are awaited.
        engine: The engine behind it.
    """

    def __init__(self, source: Any, *, threads: int = 1) -> None:
        self.source = source
        self.asynchronous, self.engine = _kind(source)
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None

    @property
    def dialect(self) -> str:
        """Name of the kind of database."""
        name: str = self.engine.dialect.name
        return name

    async def __aenter__(self) -> Self:
        """Get the threads ready in which a synchronous database is waited for."""
        if not self.asynchronous:
            self._pool = ThreadPoolExecutor(self._threads, "saga-messages")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let the threads end, whatever they still wait for."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)

    async def in_thread(self, work: Callable[[], Result]) -> Result:
        """Do work that blocks; being cancelled does not stop it, so it is waited for."""
        loop = asyncio.get_running_loop()
        context = contextvars.copy_context()
        running = loop.run_in_executor(self._pool, partial(context.run, work))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            raise

    async def run(self, work: Callable[[Connection], Result]) -> Result:
        """Do the work in a transaction of its own and commit it."""
        if self.asynchronous:
            async with self.engine.begin() as connection:
                found: Result = await connection.run_sync(work)
                return found
        return await self.in_thread(partial(self._run, work))

    def _run(self, work: Callable[[Connection], Result]) -> Result:
        with self.engine.begin() as connection:
            return work(connection)

    @asynccontextmanager
    async def kept_connection(self) -> AsyncGenerator[HeldConnection]:
        """Keep one connection until the block ends."""
        if self.asynchronous:
            async with self.engine.connect() as connection:
                yield HeldConnection(self, connection)
            return
        connection = await self.in_thread(self.engine.connect)
        try:
            yield HeldConnection(self, connection)
        finally:
            await self.in_thread(connection.close)


def _kind(source: Any) -> tuple[bool, Any]:  # the engine is of either kind
    asynchronous: Any = sys.modules.get("sqlalchemy.ext.asyncio")  # whoever has one has imported it
    if isinstance(source, Engine):
        return False, source
    if asynchronous is not None and isinstance(source, asynchronous.AsyncEngine):
        return True, source
    awaited = asynchronous is not None and isinstance(source, asynchronous.async_sessionmaker)
    made_by: Any = sessionmaker
    if awaited or isinstance(source, made_by):
        bind = source.kw.get("bind")
        if bind is None:
            msg = "this maker of sessions has no engine: make it with bind=engine"
            raise TypeError(msg)
        return awaited, bind
    msg = f"needed: an Engine, AsyncEngine, sessionmaker or async_sessionmaker; this is a {type(source).__name__}"
    raise TypeError(msg)
