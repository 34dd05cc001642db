"""What lies where a journal was said to be: files of others, folders, devices; and who holds a journal."""

from __future__ import annotations

import os
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from saga import EmbeddedEngine
from saga.embedded import _open
from saga.embedded._database import Point, Write
from saga.embedded._store import Store
from saga.errors import JournalCorruptError, JournalError, JournalLockedError, JournalReadOnlyError


def test_a_folder_is_told_from_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And nobody is advised to change its permissions."""
    tmp_path.chmod(0o755)
    with pytest.raises(JournalError, match=f"{tmp_path} is a folder; name a file in it"):
        Store.open(f"sqlite:///{tmp_path}")
    assert caplog.records == []


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """Whoever writes one file name too many is told which."""
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match="file is a file, not a folder"):
        Store.open(f"sqlite:///{tmp_path}/file/journal.db")


def test_a_device_is_no_journal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is opened: a pipe would wait for ever for somebody at its other end."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(JournalError, match="no file that can hold a journal"):
        Store.open(f"sqlite:///{tmp_path}/pipe")
    assert caplog.records == []


def test_no_advice_is_given_about_what_is_no_journal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The file belongs to something else."""
    file = tmp_path / "poem.txt"
    file.write_text("Nothing beside remains. " * 100)
    file.chmod(0o644)
    with pytest.raises(JournalCorruptError, match="is damaged or is no database"):
        Store.open(f"sqlite:///{file}")
    assert caplog.records == []


def test_no_advice_is_given_about_somebody_elses_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not this user's to change."""
    file = tmp_path / "journal.db"
    Store.open(f"sqlite:///{file}").close()
    file.chmod(0o644)
    monkeypatch.setattr("os.geteuid", lambda: file.stat().st_uid + 1)
    Store.open(f"sqlite:///{file}").close()
    assert caplog.records == []


async def test_an_engine_that_cannot_write_says_so_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One typed error; no traceback in the log, and no second try to write."""
    url = f"sqlite:///file:{tmp_path}/journal.db?uri=true"
    Store.open(url).close()
    with pytest.raises(JournalReadOnlyError, match="cannot be written: its URL says mode=ro"):
        await EmbeddedEngine(f"{url}&mode=ro", sagas=[]).__aenter__()
    assert caplog.records == []


async def test_an_engine_that_finds_its_journal_locked_waits_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as one statement may wait, then it says how to find out who holds it; nothing is tried after that."""
    file = tmp_path / "journal.db"
    Store.open(f"sqlite:///{file}").close()
    points: list[tuple[Write, Point]] = []

    class Opener:
        @staticmethod
        def open(url: str, **options: Any) -> Store:
            patience = timedelta(milliseconds=50)
            return Store.open(url, patience=patience, seam=lambda *point: points.append(point), **options)

    monkeypatch.setattr(_open, "Store", Opener)
    with sqlite3.connect(file, isolation_level=None) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalLockedError, match=f"fuser {file} names it"):
            await EmbeddedEngine(f"sqlite:///{file}", sagas=[]).__aenter__()
        holder.execute("ROLLBACK")
    holder.close()
    assert points == [(Write.HEARTBEAT, Point.BEFORE_BEGIN)]
    assert caplog.records == []
