"""How the participants of this example open their SQLite databases."""

from pathlib import Path

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

__all__ = ("open_database", "url_of")


def url_of(path: Path) -> URL:
    """Return the URL of a file; a name may hold what a URL would read as something else."""
    return URL.create("sqlite", database=str(path))


def open_database(path: Path) -> Engine:
    """Open a database that only its owner can read; made if it is not there."""
    path.touch(mode=0o600)
    # One connection: SQLite has one writer at a time, and waiting for a connection is fairer than for its lock.
    engine = create_engine(url_of(path), pool_size=1, max_overflow=0)
    event.listen(engine, "connect", _write_ahead)
    return engine


def _write_ahead(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")  # a reader in another process does not stop the writer
    cursor.execute("PRAGMA synchronous = FULL")  # what was committed survives a loss of power
    cursor.close()
