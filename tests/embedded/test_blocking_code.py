"""A `run` that blocks the process: whoever kills it, again and again, gets a STUCK instance in the end (S20)."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from saga import EmbeddedEngine
from saga.kernel import RESUME_LIMIT, Reason
from tests.embedded._blocking import Blocking


def killed(url: str, *how: str, at: str) -> None:
    """Start the process, wait until it says something, and kill it."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.embedded._blocking", url, *how], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert any(line.strip() == at for line in process.stdout)
        process.kill()


def answers(url: str, *how: str) -> str:
    """Let the process come to its end and return what it said."""
    found = subprocess.run(
        [sys.executable, "-m", "tests.embedded._blocking", url, *how],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    return found.stdout


@pytest.mark.peer("DBO-33", "NEW-13")
async def test_changed_code_that_blocks_at_every_resume_is_not_entered_for_ever(tmp_path: Path) -> None:
    """The resume is counted before `run` is entered; with mended code the operator's retry goes on."""
    url = f"sqlite:///{tmp_path}/journal.db"
    killed(url, "start", at="sending")
    killed(url, "block", at="blocking")
    killed(url, "block", at="blocking")
    with sqlite3.connect(tmp_path / "journal.db") as connection:  # as many more take a while, and do the same
        connection.execute("UPDATE saga_instances SET epoch = epoch + ?", (RESUME_LIMIT - 4,))
    connection.close()
    killed(url, "block", at="blocking")
    assert "its owners keep ending before it progresses" in answers(url, "block")
    async with EmbeddedEngine(url, sagas=[Blocking]) as engine:
        handle = await engine.get(Blocking, "b-1")
        assert [one.reason for one in (await handle.view()).stuck] == [Reason.POISON]
        await handle.retry(by="olga", why="deployed code that does not block")
        assert await handle.result() == 7


async def test_an_instance_below_the_limit_is_resumed(tmp_path: Path) -> None:
    """Once less is no reason to give it up."""
    url = f"sqlite:///{tmp_path}/journal.db"
    killed(url, "start", at="sending")
    with sqlite3.connect(tmp_path / "journal.db") as connection:
        connection.execute("UPDATE saga_instances SET epoch = ?", (RESUME_LIMIT - 1,))
    connection.close()
    assert "returned 7" in answers(url)
