"""Places that hold no journal, and journals that cannot be used: exit code 3, and nothing is changed."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from saga.embedded import Journal
from saga.errors import ForeignJournalError, JournalError, JournalLockedError, JournalVersionError
from saga.kernel import Cancel
from tests.cli.conftest import Command, filled


def empty(file: Path) -> None:
    """A file without a byte."""
    file.touch()


def garbage(file: Path) -> None:
    """A file that is no database."""
    file.write_bytes(b"not a database, whatever its name says" * 100)


def foreign(file: Path) -> None:
    """Somebody else's database."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE orders (id)")


def folder(file: Path) -> None:
    """A folder."""
    file.mkdir()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (None, "there is no such file"),
        (empty, "the file holds no tables"),
        (garbage, "is damaged or is no database"),
        (foreign, "it holds other tables (orders)"),
        (folder, "that is no file"),
    ],
    ids=lambda value: getattr(value, "__name__", "missing" if value is None else ""),
)
def test_a_file_without_a_journal(
    saga: Command, tmp_path: Path, make: Callable[[Path], None] | None, told: str
) -> None:
    """A typo in a path is told, makes no file, and changes none."""
    file = tmp_path / "journal.db"
    if make is not None:
        make(file)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for command in (
        ("list",),
        ("show", "t-1"),
        ("retry", "t-1", "--by", "me", "--why", "x"),
        ("purge", "--older-than", "1d"),
    ):
        ended = saga(*command, database=f"sqlite:///{file}")
        assert (ended.code, ended.out) == (3, "")
        assert told in ended.err
        assert str(file) in ended.err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("transfers.db", "cannot be read; write sqlite:///"),
        ("mysql://host/x", "a journal cannot lie in 'mysql'"),
        ("sqlite:////etc/passwd/x.db", "there is no such file"),
        (f"sqlite:////{'x' * 300}.db", "name too long"),
        ("sqlite://", "a journal in memory"),
        ("sqlite:///:memory:", "a journal in memory"),
        ("postgresql://me:s3cret@127.0.0.1:1/x", "cannot be reached"),
    ],
)
def test_a_url_of_no_use(saga: Command, url: str, told: str) -> None:
    """A URL that names no journal is told, without the password in it."""
    ended = saga("list", database=url)
    assert (ended.code, ended.out) == (3, "")
    assert told.casefold() in ended.err.casefold()
    assert "s3cret" not in ended.err


def test_a_postgresql_database_without_a_journal(saga: Command, postgres_url: str) -> None:
    """An empty PostgreSQL database stays empty."""
    import psycopg  # noqa: PLC0415 - not needed where no test asks for a server
    from sqlalchemy import make_url  # noqa: PLC0415 - as above

    for _ in range(2):
        ended = saga("list", database=postgres_url)
        assert (ended.code, ended.out) == (3, "")
        assert "no journal at postgresql://" in ended.err
    address = make_url(postgres_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)


@pytest.mark.parametrize(("version", "told"), [("0000", "migrates them"), ("9999", "upgrade it")])
def test_a_journal_of_another_version(saga: Command, tmp_path: Path, version: str, told: str) -> None:
    """Older tables are left to an engine, newer ones to a newer library; neither is touched."""
    url = filled(tmp_path)
    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection, connection:
        connection.execute("UPDATE saga_journal_version SET version_num = ?", (version,))
    ended = saga("list", database=url)
    assert (ended.code, ended.out) == (3, "")
    assert told in ended.err
    with pytest.raises(JournalVersionError):
        Journal.open(url)
    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
        assert connection.execute("SELECT * FROM saga_journal_version").fetchall() == [(version,)]


def test_a_journal_that_was_changed_by_hand(saga: Command, tmp_path: Path) -> None:
    """Facts in an impossible order, or of an unknown kind, are told with what to do."""
    url = filled(tmp_path)
    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection, connection:
        connection.execute("DELETE FROM saga_facts WHERE seq = 2")
        connection.execute('UPDATE saga_facts SET body = \'{"fact": "Nothing"}\' WHERE number = 1 AND seq = 3')
    ended = saga("show", "refused-1", database=url)
    assert (ended.code, "the journal is not in order" in ended.err) == (3, True)
    ended = saga("show", "done-1", database=url)
    assert (ended.code, "does not know" in ended.err) == (3, True)


def test_the_errors_are_typed(tmp_path: Path) -> None:
    """A program tells a missing journal from somebody else's database."""
    foreign(tmp_path / "orders.db")
    with pytest.raises(ForeignJournalError):
        Journal.open(f"sqlite:///{tmp_path / 'orders.db'}")
    with pytest.raises(JournalError, match=r"no journal at .*none\.db"):
        Journal.open(f"sqlite:///{tmp_path / 'none.db'}")


def test_a_journal_that_somebody_holds(tmp_path: Path) -> None:
    """Reading goes on while somebody writes; a request that cannot be written is a typed error."""
    url = filled(tmp_path)
    with closing(sqlite3.connect(tmp_path / "journal.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with Journal.open(url, patience=timedelta(seconds=0.1)) as journal:
            assert journal.view("done-1").state == "COMPLETED"
            with pytest.raises(JournalLockedError):
                journal.send("large-1", Cancel(by="me"), timeout=timedelta(seconds=1))
