"""What every test may ask for: a real PostgreSQL, a fresh database on it, a real Kafka, and real Temporal servers."""

import os
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import pytest

from saga.errors import SagaError
from saga.testing.servers import ServerUnavailableError, kafka, postgres, temporal, temporal_time_skipping


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


@pytest.fixture(scope="session")
def kafka_address() -> Generator[str]:
    """The address of a real Kafka that the whole run shares; it makes topics of four partitions when they are used."""
    with ExitStack() as running:
        try:
            address = running.enter_context(kafka())
        except ServerUnavailableError as error:
            do_without(error)
            return
        yield address


# -- Temporal ----------------------------------------------------------------------------


@contextmanager
def temporal_program() -> Generator[str]:
    """Sees that a server can be started here, whichever address or container others use."""
    with TemporaryDirectory() as folder, temporal(database_file=Path(folder) / "tried.db") as address:
        pass
    yield address


TEMPORAL_SERVERS: dict[str, Callable[[], AbstractContextManager[str]]] = {
    "temporal_address": temporal,
    "temporal_time_skipping_address": temporal_time_skipping,
    "own_temporal": temporal_program,
}


class TemporalServers:
    """The Temporal servers that the whole run shares."""

    def __init__(self) -> None:
        """Starts none."""
        self._running = ExitStack()
        self._found: dict[str, str | SagaError] = {}

    def address(self, name: str) -> str:
        """The address for the fixture of that name; the server is started if it is not running."""
        self._start(name)
        match self._found[name]:
            case str(address):
                return address
            case ServerUnavailableError() as error:
                do_without(error)
            case error:
                raise error
        raise AssertionError

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Starts what the tests will ask for before the time of any test runs: a first build takes minutes."""
        if not session.config.option.collectonly:
            wanted = {name for item in session.items for name in getattr(item, "fixturenames", ())}
            for name in TEMPORAL_SERVERS.keys() & wanted:
                self._start(name)

    def pytest_unconfigure(self) -> None:
        """Ends them."""
        self._running.close()

    def _start(self, name: str) -> None:
        if name not in self._found:
            try:
                self._found[name] = self._running.enter_context(TEMPORAL_SERVERS[name]())
            except SagaError as error:
                self._found[name] = error


@pytest.fixture(scope="session")
def temporal_servers(pytestconfig: pytest.Config) -> TemporalServers:
    """The Temporal servers of this run."""
    found = pytestconfig.pluginmanager.get_plugin("temporal-servers")
    assert isinstance(found, TemporalServers)
    return found


@pytest.fixture(scope="session")
def temporal_address(temporal_servers: TemporalServers) -> str:
    """The address of a real Temporal server that the whole run shares."""
    return temporal_servers.address("temporal_address")


@pytest.fixture(scope="session")
def temporal_time_skipping_address(temporal_servers: TemporalServers) -> str:
    """The address of a Temporal server whose time skips, and which the whole run shares."""
    return temporal_servers.address("temporal_time_skipping_address")


@pytest.fixture(scope="session")
def own_temporal(temporal_servers: TemporalServers) -> Callable[..., AbstractContextManager[str]]:
    """Starts a Temporal server of the test's own; takes the file of its data and its port, as `temporal` does."""
    temporal_servers.address("own_temporal")
    return temporal


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
    """Has servers started in time, and collects for the page of peer cases if it is asked for."""
    config.pluginmanager.register(TemporalServers(), "temporal-servers")
    file = config.getoption("--peer-page")
    if file:
        config.pluginmanager.register(PeerPage(file), "peer-page")
