"""A fresh database for every child: a file of its own, or a database or task queue of its own on one server."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from sqlalchemy import create_engine, make_url

from saga.testing.servers import postgres, temporal

from ._cells import Database

ADDRESS: Final = "SAGA_TEST_POSTGRES"
SERVERS: Final[dict[Database, Callable[[], AbstractContextManager[str]]]] = {
    Database.POSTGRES: postgres,
    Database.TEMPORAL: temporal,
}


class Databases:
    """Hands out empty databases until the block that made it ends."""

    def __init__(self, folder: Path, servers: dict[Database, str], missing: dict[Database, str]) -> None:
        self.folder = folder
        self._servers = servers
        self._missing = missing
        self._numbers = itertools.count(1)
        self._made: list[str] = []

    def serve(self, database: Database, running: ExitStack) -> None:
        """Start that server until the stack unwinds, or note why there is none."""
        try:
            self._servers[database] = running.enter_context(SERVERS[database]())
        except Exception as error:  # noqa: BLE001 - whatever it is, the figures say it
            self._missing[database] = f"no {database}: {type(error).__name__}"

    def fresh(self, database: Database) -> str:
        """Return the SQLAlchemy URL of an empty database, or the URL of an unused task queue.

        Raises:
            RuntimeError: if it should lie on a server and there is none.
        """
        name = f"saga_benchmark_{next(self._numbers)}"
        if database not in SERVERS:
            return f"sqlite:///{self.folder / name}.db"
        server = self._servers.get(database)
        if server is None:
            raise RuntimeError(self._missing.get(database, f"no {database} was asked for"))
        if database is Database.TEMPORAL:
            return f"temporal://{server}/{name}-{os.getpid()}"  # ids of an earlier run may be there still
        self._execute(f"CREATE DATABASE {name}")
        self._made.append(name)
        return make_url(server).set(database=name).render_as_string(hide_password=False)

    def server_version(self) -> str | None:
        """Return PostgreSQL's version, or None where there is no server."""
        server = self._servers.get(Database.POSTGRES)
        if server is None:
            return None
        engine = create_engine(server)
        with engine.connect() as connection:
            version = str(connection.exec_driver_sql("SHOW server_version").scalar_one())
        engine.dispose()
        return version

    def drop_all(self) -> None:
        """Drop what was made on a server that is somebody's own; any other one goes as a whole."""
        for name in self._made if os.environ.get(ADDRESS) else ():
            self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self._made.clear()

    def _execute(self, statement: str) -> None:
        engine = create_engine(self._servers[Database.POSTGRES], isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)
        engine.dispose()


@contextmanager
def databases(parent: Path | None, needed: frozenset[Database]) -> Generator[Databases]:
    """Open a temporary folder and, where needed and possible, the servers."""
    with ExitStack() as running:
        folder = Path(running.enter_context(TemporaryDirectory(prefix="saga-benchmark-", dir=parent)))
        made = Databases(folder, {}, {})
        for database in SERVERS:
            if database in needed:
                made.serve(database, running)
        running.callback(made.drop_all)
        yield made
