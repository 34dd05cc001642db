"""A caller's transaction, in each of the forms that SQLAlchemy gives it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeGuard

from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

    from saga.errors import SagaError

__all__ = ("is_asynchronous", "open_connection")


def is_asynchronous(transaction: object) -> TypeGuard[AsyncConnection | AsyncSession]:
    """Tell whether a transaction is awaited."""
    # Importing that needs greenlet. Whoever has such a transaction has imported it.
    module: Any = sys.modules.get("sqlalchemy.ext.asyncio")
    return module is not None and isinstance(transaction, (module.AsyncConnection, module.AsyncSession))


def open_connection(transaction: object, user: str, error: type[SagaError]) -> Connection:
    """Return the connection behind a transaction, which has begun then.

    Raises:
        TypeError: if it is none of the things that the user takes.
        SagaError: of the given type, if the connection commits every statement by itself.
    """
    if not isinstance(transaction, Connection | Session):
        msg = (
            f"{user} works inside a transaction of yours and got a {type(transaction).__name__}: "
            "give it a SQLAlchemy Connection, Session, AsyncConnection or AsyncSession"
        )
        raise TypeError(msg)
    connection = transaction.connection() if isinstance(transaction, Session) else transaction
    if not connection.in_transaction():
        connection.begin()
    if _commits_by_itself(connection):
        raise error(
            f"this connection is in AUTOCOMMIT: what {user} records and what you change could not be "
            "committed together. Use an engine or connection without that isolation level."
        )
    return connection


def _commits_by_itself(connection: Connection) -> bool:
    if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        return True
    pooled: Any = connection.connection
    if connection.dialect.name != "sqlite":
        return getattr(pooled.dbapi_connection, "autocommit", False) is True
    driver = getattr(pooled.driver_connection, "_conn", pooled.driver_connection)  # aiosqlite has it in there
    # Without a level of its own it is either that, or SQLAlchemy's recipe, where an event has sent BEGIN by now.
    return getattr(driver, "autocommit", False) is True or not (
        driver.isolation_level is not None or driver.in_transaction
    )
