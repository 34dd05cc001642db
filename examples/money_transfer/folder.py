"""The folder of a run: it holds one run, one process is at it, and an interrupted run goes on where it ended."""

import secrets
import shlex
import sqlite3
import tempfile
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import make_url

from .database import url_of
from .report import Chapter

__all__ = ("FolderError", "RunFolder", "opened")

_RUN = "run.db"
_TABLE = """
CREATE TABLE IF NOT EXISTS run
(rows INTEGER NOT NULL, finished INTEGER NOT NULL, engine TEXT NOT NULL, name TEXT NOT NULL)
"""


class FolderError(Exception):
    """A folder cannot be used; the message says why and what to do."""


class RunFolder:
    """A folder that belongs to one run, and to this process as long as the connection is open.

    Args:
        path: Where everything of the run lies.
        connection: The connection to the database that says how far the run came.
        rows: How many rows of transfers a run that begins now is to have.
        engine: Which engine it is to use.

    Attributes:
        name: What tells this run from others on the same server.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, rows: int, engine: str) -> None:
        self.path = path
        self._connection = connection
        # The lock stays until the connection is closed; a process that is killed lets go of it, too.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute(_TABLE)
        connection.execute("CREATE TABLE IF NOT EXISTS chapter (number INTEGER PRIMARY KEY, body TEXT NOT NULL)")
        found = connection.execute("SELECT rows, finished, engine, name FROM run").fetchone()
        if found is None:
            connection.execute("INSERT INTO run VALUES (?, 0, ?, ?)", (rows, engine, secrets.token_hex(3)))
        connection.execute("COMMIT")
        self.resumed = found is not None
        read = connection.execute("SELECT rows, finished, engine, name FROM run").fetchone()
        self.rows: int = read[0]
        self.finished = bool(read[1])
        self.engine: str = read[2]
        self.name: str = read[3]

    @property
    def task_queue(self) -> str:
        """The task queue of this run, on a Temporal server."""
        return f"transfers-{self.name}"

    def told(self, number: int) -> Chapter | None:
        """Return a chapter that was told before the run was interrupted."""
        found = self._connection.execute("SELECT body FROM chapter WHERE number = ?", (number,)).fetchone()
        return Chapter.model_validate_json(found[0]) if found else None

    def keep(self, number: int, chapter: Chapter) -> None:
        """Remember that a chapter was told."""
        self._connection.execute("INSERT INTO chapter VALUES (?, ?)", (number, chapter.model_dump_json()))

    def finish(self) -> None:
        """Remember that the run came to its end."""
        self._connection.execute("UPDATE run SET finished = 1")


@contextmanager
def opened(directory: str | None, *, rows: int, engine: str = "embedded") -> Generator[RunFolder]:
    """Open the folder of a run, new or interrupted.

    Args:
        directory: An empty folder, one that is not there yet, or that of an interrupted run; None for a temporary one.
        rows: How many rows of transfers a run that begins now is to have.
        engine: Which engine the run uses.

    Raises:
        FolderError: if it cannot be used, another process is at it, or it holds something else.
    """
    if directory is None:
        with tempfile.TemporaryDirectory(prefix="saga-demo-") as temporary:
            yield from _locked(Path(temporary), temporary, rows, engine)
        return
    yield from _locked(_made(directory), directory, rows, engine)


def _made(directory: str) -> Path:
    folder = Path(directory).resolve()
    if make_url(url_of(folder).render_as_string()).database != str(folder):
        msg = f"{directory} holds what no URL of a database takes; give another folder"
        raise FolderError(msg)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()) and not (folder / _RUN).exists():
            msg = f"{directory} is not empty and holds no run of the demo; give an empty folder or a new one"
            raise FolderError(msg)
        (folder / _RUN).touch(mode=0o600)
    except OSError as error:
        msg = f"{directory} cannot be used: {error.strerror}; give a folder that you may write into"
        raise FolderError(msg) from None
    return folder


def _locked(path: Path, name: str, rows: int, engine: str) -> Generator[RunFolder]:
    with closing(sqlite3.connect(path / _RUN, timeout=0, isolation_level=None)) as connection:
        try:
            folder = RunFolder(path, connection, rows, engine)
        except sqlite3.DatabaseError as error:
            busy = isinstance(error, sqlite3.OperationalError) and "locked" in str(error)
            msg = f"another process runs the demo in {name}" if busy else f"{name} holds no run of the demo ({error})"
            raise FolderError(f"{msg}; give another folder") from None
        if folder.finished:
            msg = f"{name} holds a run that came to its end; look at it with {_looking(folder)}"
            raise FolderError(f"{msg}, or give another folder")
        if folder.engine != engine:
            msg = f"{name} holds a run on the {folder.engine} engine; give --engine {folder.engine}, or another folder"
            raise FolderError(msg)
        yield folder


def _looking(folder: RunFolder) -> str:
    if folder.engine == "embedded":
        place = shlex.quote(url_of(folder.path / "journal.db").render_as_string())
        return f"saga list --database {place}"
    return f"temporal workflow list --query 'TaskQueue = \"{folder.task_queue}\"'"
