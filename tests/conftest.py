"""What every test may ask for: a real PostgreSQL, and a fresh database on it."""

import os
from collections.abc import Generator
from contextlib import ExitStack
from uuid import uuid4

import pytest

from saga.testing.servers import ServerUnavailableError, postgres


def do_without(error: ServerUnavailableError) -> None:
    """Skips with the reason; in CI, where a core server must be there, fails with it."""
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(f"CI=true and {error}", pytrace=False)
    pytest.skip(str(error))


@pytest.fixture(scope="session")
def postgres_server() -> Generator[str]:
    """The URL of a real PostgreSQL that the whole run shares."""
    with ExitStack() as running:
        try:
            url = running.enter_context(postgres())
        except ServerUnavailableError as error:
            do_without(error)
            return
        yield url


@pytest.fixture
def postgres_url(postgres_server: str) -> Generator[str]:
    """The URL of a database that only this test sees; dropped afterwards, whoever is connected."""
    import psycopg  # noqa: PLC0415 - not needed where no test asks for a server
    from psycopg.sql import SQL, Identifier  # noqa: PLC0415 - as above
    from sqlalchemy import make_url  # noqa: PLC0415 - as above

    name = f"test_{uuid4().hex}"
    server = make_url(postgres_server)
    address = server.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
    yield server.set(database=name).render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))
