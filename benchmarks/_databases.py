"""A fresh database for every child: a file of its own, or a database of its own on one server."""

from __future__ import annotations

import itertools
import os
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from sqlalchemy import create_engine, make_url

from saga.testing.servers import postgres

from ._cells import Database

ADDRESS: Final = "SAGA_TEST_POSTGRES"


class Databases:
    """Hands out empty databases until the block that made it ends."""

    def __init__(self, folder: Path, server: str | None, missing: str) -> None:
        self.folder = folder
        self._server = server
        self._missing = missing
        self._numbers = itertools.count(1)
        self._made: list[str] = []

    def fresh(self, database: Database) -> str:
        """Return the SQLAlchemy URL of an empty database.

        Raises:
            RuntimeError: if it should lie on a PostgreSQL server and there is none.
        """
        name = f"saga_benchmark_{next(self._numbers)}"
        if database is not Database.POSTGRES:
            return f"sqlite:///{self.folder / name}.db"
        if self._server is None:
            raise RuntimeError(self._missing)
        self._execute(f"CREATE DATABASE {name}")
        self._made.append(name)
        return make_url(self._server).set(database=name).render_as_string(hide_password=False)

    def server_version(self) -> str | None:
        """Return PostgreSQL's version, or None where there is no server."""
        if self._server is None:
            return None
        engine = create_engine(self._server)
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
        engine = create_engine(self._server or "", isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)
        engine.dispose()


@contextmanager
def databases(parent: Path | None, *, with_postgres: bool) -> Generator[Databases]:
    """Open a temporary folder and, where asked and possible, a PostgreSQL server."""
    with ExitStack() as running:
        folder = Path(running.enter_context(TemporaryDirectory(prefix="saga-benchmark-", dir=parent)))
        server, missing = _server(running) if with_postgres else (None, "no PostgreSQL was asked for")
        made = Databases(folder, server, missing)
        running.callback(made.drop_all)
        yield made


def _server(running: ExitStack) -> tuple[str | None, str]:
    """Return the server's URL, or why there is none."""
    try:
        return running.enter_context(postgres()), ""
    except Exception as error:  # noqa: BLE001 - whatever it is, the figures say it
        return None, f"no PostgreSQL: {type(error).__name__}"
