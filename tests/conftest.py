"""What every test may ask for: a real PostgreSQL, and a fresh database on it."""

import os
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
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


# -- the page of peer cases --------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option that writes the page of peer cases."""
    parser.addoption("--peer-page", metavar="FILE", help="write which peer cases the tests of this run cover")


class PeerPage:
    """Collects how the tests of peer cases ended, and writes the page at the end of the run."""

    def __init__(self, file: str) -> None:
        """Remembers where to."""
        self._file = Path(file)
        self._cases: dict[str, list[str]] = {}
        self._results: dict[str, dict[str, str]] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Remembers which test belongs to which case."""
        for item in items:
            self._cases[item.nodeid] = [case for mark in item.iter_markers("peer") for case in mark.args]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keeps the worst outcome of a test over its phases and parameters."""
        for case in self._cases.get(report.nodeid, []):
            name = report.nodeid.rpartition("::")[2].partition("[")[0]
            outcomes = self._results.setdefault(case, {})
            if report.outcome != "passed" or name not in outcomes:
                outcomes[name] = report.outcome

    def pytest_sessionfinish(self) -> None:
        """Writes the page."""
        from tests.peer.page import page  # noqa: PLC0415 - only when the page is asked for

        self._file.write_text(page(self._results), encoding="utf8")


def pytest_configure(config: pytest.Config) -> None:
    """Collects for the page of peer cases if it is asked for."""
    file = config.getoption("--peer-page")
    if file:
        config.pluginmanager.register(PeerPage(file), "peer-page")
