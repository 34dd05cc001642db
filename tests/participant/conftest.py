"""Databases with a bank and a barrier: SQLite and a real PostgreSQL, synchronous and asynchronous."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine, NullPool, create_engine, insert, inspect, make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from saga.participant import create_barrier_tables
from tests.participant.banks import OPENING, Account, Bank, Base, Books, face

FACES = [
    f"{database} {style} {kind}"
    for database in ("sqlite_url", "bank_postgres_url")
    for style in ("core", "orm")
    for kind in ("sync", "async")
]


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of an empty SQLite database."""
    return f"sqlite:///{tmp_path / 'bank.db'}"


@pytest.fixture
def engines() -> Generator[Callable[..., Engine]]:
    """Make engines that are disposed of afterwards; the first on a database lays its tables."""
    with ExitStack() as stack:

        def make(url: str, *, tables: bool = True, **options: object) -> Engine:
            engine = create_engine(url, **options)
            stack.callback(engine.dispose)
            if tables:
                lay_tables(engine)
            return engine

        yield make


def lay_tables(engine: Engine) -> None:
    """Create the bank's accounts and the barrier's table, if they are not there."""
    with engine.begin() as connection:
        create_barrier_tables(connection)
        Base.metadata.create_all(connection)
        if not connection.execute(Account.__table__.select()).all():
            names = ("anna", "bert")
            connection.execute(insert(Account), [{"name": name, "balance": OPENING} for name in names])


@pytest.fixture(scope="session")
def shared_postgres_url(postgres_server: str) -> Generator[str]:
    """The URL of a PostgreSQL database that tests use one after the other."""
    server = make_url(postgres_server)
    name = f"banks_{uuid4().hex}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with admin.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    yield server.set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture
def bank_postgres_url(shared_postgres_url: str) -> str:
    """The URL of a PostgreSQL database that holds nothing, or empty tables."""
    engine = create_engine(shared_postgres_url, poolclass=NullPool)
    with engine.begin() as connection:
        for name in inspect(connection).get_table_names():
            connection.execute(text(f'TRUNCATE "{name}"'))
    return shared_postgres_url


@pytest.fixture(params=["sqlite_url", "postgres_url"])
def fresh_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database of each kind, without tables."""
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=["sqlite_url", "bank_postgres_url"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of a database of each kind."""
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=FACES)
def url_and_face(request: pytest.FixtureRequest) -> tuple[str, str, str]:
    """A database and what its transactions look like."""
    database, style, kind = request.param.split()
    found: str = request.getfixturevalue(database)
    return found, style, kind


@pytest.fixture
def books(url_and_face: tuple[str, str, str], engines: Callable[..., Engine]) -> Books:
    """An inspector of the bank's database."""
    return Books(engines(url_and_face[0]))


@pytest.fixture
async def bank(url_and_face: tuple[str, str, str], books: Books) -> AsyncGenerator[Bank]:
    """A bank, with each face on each database."""
    url, style, kind = url_and_face
    if kind == "sync":
        yield face(books.engine, style)
        return
    engine = async_engine(url)
    yield face(engine, style)
    await engine.dispose()


def async_engine(url: str, **options: object) -> AsyncEngine:
    """Return an asynchronous engine on the database of a synchronous URL."""
    address = make_url(url)
    driver = "sqlite+aiosqlite" if address.get_backend_name() == "sqlite" else "postgresql+psycopg"
    return create_async_engine(address.set(drivername=driver), **options)
