"""Databases that cannot be a journal: each gets an error of its own that says what to do."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from saga.embedded import _address
from saga.embedded._store import Store
from saga.errors import (
    JournalCorruptError,
    JournalError,
    JournalLockedError,
    JournalReadOnlyError,
    MissingExtraError,
)
from tests.embedded.store.another_process import ROOT
from tests.embedded.store.conftest import Opener, PenOn
from tests.embedded.store.journals import TIME_ENOUGH, first

SOON = timedelta(milliseconds=50)
SECRET = "s3cr3t"  # noqa: S105 - nobody's


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("sqlite:///file::memory:?uri=true", "in memory"),
        ("sqlite:///file:x?mode=memory&uri=true", "in memory"),
        ("mysql://localhost/x", "'mysql'"),
        ("sqlite+aiosqlite:///x.db", "sqlite:///"),
        ("postgresql+asyncpg://localhost/x", "postgresql://"),
        ("just words", "cannot be read"),
        ("", "cannot be read"),
        (f"postgresql://u:{SECRET}@h:port/x", "cannot be read"),
    ],
)
def test_a_url_of_no_use_says_what_to_write_instead(url: str, words: str) -> None:
    """Nothing is opened, and no password is shown."""
    with pytest.raises(JournalError) as caught:
        Store.open(url)
    assert words in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """It is not created: the path may be a mistake."""
    with pytest.raises(JournalError, match=rf"{tmp_path / 'none'} does not exist; create it"):
        Store.open(f"sqlite:///{tmp_path / 'none' / 'journal.db'}")
    assert not (tmp_path / "none").exists()


def test_a_folder_is_no_journal(tmp_path: Path) -> None:
    """Its place is named."""
    with pytest.raises(JournalError, match=str(tmp_path)):
        Store.open(f"sqlite:///{tmp_path}")


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    """It is said to be none, and not a byte of it changes."""
    file = tmp_path / "letter.txt"
    file.write_text("Dear reader, " * 100)
    file.chmod(0o600)
    with pytest.raises(JournalCorruptError, match=r"letter\.txt.*restore it from a backup"):
        Store.open(f"sqlite:///{file}")
    assert file.read_text() == "Dear reader, " * 100


async def test_a_damaged_journal_says_so(sqlite_url: str, opened: Opener, pen_on: PenOn) -> None:
    """Pages that hold rubbish are noticed where they are read."""
    store = opened(sqlite_url)
    await pen_on(store).write(*[first(f"i-{number}", facts=20) for number in range(50)])
    store.discard()
    damage(Path(make_url(sqlite_url).database or ""))
    with pytest.raises(JournalCorruptError):
        Store.open(sqlite_url)


def damage(file: Path) -> None:
    """Leave a database nothing but its first page."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    pages = bytearray(file.read_bytes())
    pages[4096:] = b"\xff" * (len(pages) - 4096)
    file.write_bytes(pages)


def test_a_place_that_cannot_be_written_says_so(sqlite_url: str) -> None:
    """A new journal needs tables."""
    file = make_url(sqlite_url).database
    sqlite3.connect(file or "").close()
    with pytest.raises(JournalReadOnlyError):
        Store.open(f"sqlite:///file:{file}?mode=ro&uri=true")


async def test_a_read_only_journal_can_be_read(sqlite_url: str, opened: Opener, pen_on: PenOn) -> None:
    """Listing writes nothing; what does is refused with an error that says why."""
    await pen_on(opened(sqlite_url)).write(first("a"))
    readable = opened(f"sqlite:///file:{make_url(sqlite_url).database}?mode=ro&uri=true")
    assert [found.id for found in readable.list().instances] == ["a"]
    with pytest.raises(JournalReadOnlyError, match="cannot be written: its URL says mode=ro"):
        readable.ownership().beat()
    with pytest.raises(JournalReadOnlyError):
        readable.requests.put("a", "cancel")


def test_a_server_that_only_reads_says_so(postgres_url: str) -> None:
    """A standby, or a session that was told to."""
    url = make_url(postgres_url).update_query_dict({"options": "-cdefault_transaction_read_only=on"})
    with pytest.raises(JournalReadOnlyError):
        Store.open(url.render_as_string(hide_password=False))


@pytest.fixture
def held(url: str) -> Generator[None]:
    """Another program that holds the journal's lock."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(make_url(url).database or "", isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
    else:
        with psycopg.connect(url.replace("+psycopg", "")) as server:
            server.execute("LOCK TABLE saga_owners IN ACCESS EXCLUSIVE MODE")
            yield


def test_a_journal_that_another_program_holds_says_so(url: str, opened: Opener, request: pytest.FixtureRequest) -> None:
    """It waits as long as it was told to, then names the reason."""
    opened(url).close()
    store = opened(url, patience=SOON)
    request.getfixturevalue("held")
    with pytest.raises(JournalLockedError, match="another process"):
        store.ownership().beat()


def test_a_new_file_that_another_program_holds_says_so(sqlite_url: str) -> None:
    """Not even its mode can be set."""
    with closing(sqlite3.connect(make_url(sqlite_url).database or "", isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(JournalLockedError):
            Store.open(sqlite_url, patience=SOON)


def test_a_server_that_does_not_answer_says_so_without_the_password() -> None:
    """Host, port and database are named."""
    with pytest.raises(JournalError, match=r"postgresql://127\.0\.0\.1:1/x cannot be reached") as caught:
        Store.open(f"postgresql://u:{SECRET}@127.0.0.1:1/x")
    assert SECRET not in f"{caught.value} {caught.value.__cause__}"


def test_a_missing_driver_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL is an extra."""
    nothing: dict[str, object] = {}
    monkeypatch.setattr(_address, "find_spec", nothing.get)
    with pytest.raises(MissingExtraError, match=r'pip install "sagakit\[postgres\]"'):
        Store.open("postgresql://localhost/x")


def test_a_url_may_name_its_driver_or_not(postgres_url: str, opened: Opener) -> None:
    """Both forms lead to the same journal."""
    plain = postgres_url.replace("+psycopg", "")
    assert plain.startswith("postgresql://")
    opened(plain)
    assert opened(postgres_url).count() == {}


def test_an_unprivileged_user_cannot_open_a_file_of_another(sqlite_url: str, opened: Opener) -> None:
    """What the operating system refuses becomes an error that names the place."""
    opened(sqlite_url).close()
    file = Path(make_url(sqlite_url).database or "")
    for folder in (file.parent, *file.parents[:3]):
        folder.chmod(0o755)
    # Whoever runs the tests as root becomes somebody else, after all is loaded that only root may read.
    program = (
        "import os, sys, sqlalchemy.dialects.sqlite\n"
        "from saga.embedded._store import Store\n"
        "from saga.errors import JournalError\n"
        "os.getuid() or os.setuid(65534)\n"
        "try: Store.open(sys.argv[1])\n"
        "except JournalError as error: print(type(error).__name__, error)"
    )
    file.chmod(0)
    arguments = [sys.executable, "-c", program, sqlite_url]
    answer = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False, timeout=TIME_ENOUGH)
    assert str(file) in answer.stdout, answer.stderr
