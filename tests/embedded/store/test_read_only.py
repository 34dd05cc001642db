"""A journal's file that cannot be written: whoever reads the message is told what it is that is read-only."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from sqlalchemy import make_url

from saga.errors import JournalReadOnlyError
from tests.embedded.store.another_process import ROOT
from tests.embedded.store.conftest import Opener
from tests.embedded.store.journals import TIME_ENOUGH

NOBODY = 65534

# Whoever runs the tests as root becomes somebody else, after all is loaded that only root may read.
WRITE = f"""
import logging, os, subprocess, sys
import sqlalchemy.dialects.sqlite
from saga.embedded._store import Store
from saga.errors import JournalError
logging.basicConfig(format="warning: %(message)s", stream=sys.stdout)
if len(sys.argv) > 3 and not os.getuid():
    os.setuid({NOBODY})
subprocess.run(sys.argv[2], shell=True, check=True)
try:
    store = Store.open(sys.argv[1])
    try:
        store.ownership().beat()
        print("written")
    finally:
        store.close()
except JournalError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def folder(opened: Opener) -> Generator[Path]:
    """A folder with a journal, both of an ordinary user. Not pytest's own: every run shuts those to all others."""
    with TemporaryDirectory() as made:
        folder = Path(made) / "data"
        folder.mkdir()
        opened(f"sqlite:///{folder}/journal.db").close()
        for each in (folder, folder.parent):
            each.chmod(0o755)
        if not os.getuid():
            for each in (folder, folder / "journal.db"):
                os.chown(each, NOBODY, NOBODY)
        yield folder
        folder.chmod(0o755)


def tried(file: Path, first: str = "true", *, uri: str = "", user: bool = True, within: tuple[str, ...] = ()) -> str:
    """Return what an ordinary user is told who writes to a journal after a command."""
    url = f"sqlite:///file:{file}?uri=true{uri}" if uri else f"sqlite:///{file}"
    command = [*within, sys.executable, "-c", WRITE, url, first, *(["user"] if user else [])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=TIME_ENOUGH)
    assert not done.stderr, done.stderr
    return done.stdout


def advice_in(said: str) -> str:
    """Return the command that a message advises."""
    found = re.search(r"(chmod [^;(]+?)(?:,? so that|;| \(|$)", said)
    assert found, said
    return found[1].strip()


def test_a_file_that_is_read_only_can_be_written_after_what_is_advised(folder: Path) -> None:
    """Whatever SQLite put beside it meanwhile has the same permissions, and is named too."""
    file = folder / "journal.db"
    file.chmod(0o400)
    assert tried(file).startswith("JournalReadOnlyError")
    said = tried(file)
    assert said.startswith("JournalReadOnlyError")
    assert "may not write to" in said
    assert advice_in(said).startswith("chmod 600 ")
    assert str(file) in shlex.split(advice_in(said))
    assert tried(file, advice_in(said)) == "written\n"


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_folder_that_is_read_only_can_be_written_to_after_what_is_advised(folder: Path, mode: int) -> None:
    """Nothing is wrong with the file, so nobody is told to change its permissions."""
    file = folder / "journal.db"
    file.chmod(mode)
    folder.chmod(0o555)
    said = tried(file)
    assert said.startswith("JournalReadOnlyError")
    assert "600" not in said
    assert f"its folder {folder}" in said
    assert advice_in(said) == f"chmod u+wx {folder}"
    assert tried(file, advice_in(said)).splitlines()[-1] == "written"


def test_a_file_and_its_folder_that_are_read_only_are_both_named(folder: Path) -> None:
    """One command mends both."""
    file = folder / "journal.db"
    file.chmod(0o400)
    folder.chmod(0o555)
    said = tried(file)
    assert said.startswith("JournalReadOnlyError")
    assert tried(file, advice_in(said)) == "written\n"


def test_a_file_of_somebody_else_is_not_this_user_s_to_change(folder: Path) -> None:
    """The user is told whose it is, not to change what they may not change."""
    if os.getuid():
        pytest.skip("only root can make a file of somebody else")
    file = folder / "journal.db"
    os.chown(file, 0, 0)
    file.chmod(0o644)
    said = tried(file)
    assert said.startswith("JournalReadOnlyError")
    assert "belongs to another user" in said
    assert "chmod" not in said


@pytest.fixture
def mounted(folder: Path) -> tuple[str, ...]:
    """The beginning of a command that finds a folder on a file system that is mounted read-only."""
    unshare = shutil.which("unshare")
    mount = f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder} {folder}"
    within = (str(unshare), "--mount", "--map-root-user", "sh", "-c", f'{mount} && exec "$@"', "sh")
    done = subprocess.run([*within, "true"], capture_output=True, text=True, check=False) if unshare else None
    if done is None or done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip() if done else 'no unshare'}")
    return within


@pytest.mark.parametrize("mode", [0o600, 0o444])
def test_a_file_system_that_is_read_only_is_named(folder: Path, mounted: tuple[str, ...], mode: int) -> None:
    """No permission of file or folder would help, so none is advised."""
    file = folder / "journal.db"
    file.chmod(mode)
    said = tried(file, user=False, within=mounted)
    assert said.startswith("JournalReadOnlyError")
    assert "file system that is mounted read-only" in said
    assert "chmod" not in said


def test_a_new_file_on_a_file_system_that_is_read_only_is_told_alike(folder: Path, mounted: tuple[str, ...]) -> None:
    """It is not there yet, and will not be."""
    said = tried(folder / "new.db", user=False, within=mounted)
    assert said.startswith("JournalReadOnlyError")
    assert "file system that is mounted read-only" in said


def test_a_new_file_in_a_folder_that_is_read_only_is_told_alike(folder: Path) -> None:
    """And can be made after what is advised."""
    folder.chmod(0o555)
    said = tried(folder / "new.db")
    assert said.startswith("JournalReadOnlyError")
    assert tried(folder / "new.db", advice_in(said)) == "written\n"


def test_a_url_that_asks_for_reading_only_is_named(folder: Path) -> None:
    """Whatever the permissions are."""
    said = tried(folder / "journal.db", uri="&mode=ro")
    assert said.startswith("JournalReadOnlyError")
    assert "mode=ro" in said
    assert "chmod" not in said


def test_a_server_that_only_reads_is_told_from_a_user_who_may_not(postgres_url: str, opened: Opener) -> None:
    """A standby has a primary; a user can be granted what is missing."""
    opened(postgres_url).close()
    url = make_url(postgres_url)
    standby = url.update_query_dict({"options": "-cdefault_transaction_read_only=on"})
    with pytest.raises(JournalReadOnlyError, match="only reads.*primary"):
        opened(standby.render_as_string(hide_password=False)).ownership().beat()
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
        name = f"reader_{url.database}"
        connection.execute(f"CREATE ROLE {name}")  # type: ignore[call-overload]
        connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}")  # type: ignore[call-overload]
    try:
        reader = url.update_query_dict({"options": f"-crole={name}"})
        with pytest.raises(JournalReadOnlyError, match="may not do that.*GRANT"):
            opened(reader.render_as_string(hide_password=False)).ownership().beat()
    finally:
        with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")  # type: ignore[call-overload]
