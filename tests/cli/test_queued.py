"""Acts that no engine answers now: they wait in the journal for the next one."""

import json
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from saga.embedded import Journal
from saga.errors import ActRefusedError
from saga.kernel import RetryRequest
from tests.cli.conftest import Command, driving, filled

WHO = ("--by", "me", "--why", "because")


@pytest.mark.parametrize("waiting", [("--no-wait",), ("--timeout", "0"), ("--timeout", "0.2")], ids=" ".join)
def test_an_act_without_an_engine_is_queued(saga: Command, journal: str, waiting: tuple[str, ...]) -> None:
    """Exit code 5 and plain words: it is not done, and what will become of it."""
    ended = saga("retry", "lost-2", *WHO, *waiting, database=journal)
    assert (ended.code, ended.out) == (5, "")
    assert ended.err.startswith("lost-2: retry is queued; no engine drives it now. The request stays in the journal:")
    told = json.loads(saga("retry", "lost-2", *WHO, *waiting, "--json", database=journal).out)
    assert (told["outcome"], told["state"]) == ("queued", "STUCK")


def test_the_next_engine_carries_it_out(saga: Command, tmp_path: Path) -> None:
    """What was queued is done by whoever drives the saga next."""
    url = filled(tmp_path)
    assert saga("skip", "frozen-1", "debit", *WHO, "--no-wait", database=url).code == 5
    assert saga("decide", "large-1", "review", '{"approved": true}', "--by", "me", "--no-wait", database=url).code == 5
    with driving(url, tmp_path), Journal.open(url) as journal:
        while not (journal.view("frozen-1").state.ended and journal.view("large-1").state.ended):
            time.sleep(0.02)
        assert journal.view("frozen-1").acts[-1].act == "skip"
        assert journal.view("large-1").state == "COMPLETED"


def test_an_engine_that_does_not_answer(saga: Command, tmp_path: Path) -> None:
    """Whoever does not wait is told that an engine has it."""
    url = filled(tmp_path)
    with driving(url, tmp_path):
        ended = saga("cancel", "large-1", *WHO, "--no-wait", database=url)
    assert ended.code == 5
    assert "the engine that drives it has not answered yet" in ended.err


def test_a_program_is_told_too(tmp_path: Path) -> None:
    """`Journal.send` says whether it was answered, and leaves the request."""
    with Journal.open(filled(tmp_path)) as journal:
        request = RetryRequest(by="me", why="because")
        assert journal.send("lost-1", request, timeout=timedelta(0)) is False
        assert journal.purge(older_than=timedelta(0)).instances == 2


def end_without_answer(file: Path, id: str) -> None:
    """Play an engine whose instance ends by itself while a request waits."""
    with closing(sqlite3.connect(file, timeout=30, isolation_level=None)) as connection:
        while not connection.execute("SELECT 1 FROM saga_requests WHERE answered_at IS NULL").fetchone():
            time.sleep(0.01)
        connection.execute("UPDATE saga_instances SET ended_at = 1, state = 'COMPENSATED' WHERE id = ?", (id,))


def test_an_end_without_an_answer_is_a_refusal(tmp_path: Path) -> None:
    """Whoever asks too late is told as soon as the instance has ended, not when the time is over."""
    with ThreadPoolExecutor(1) as threads, Journal.open(filled(tmp_path)) as journal:
        engine = threads.submit(end_without_answer, tmp_path / "journal.db", "lost-1")
        with pytest.raises(ActRefusedError, match="lost-1 has ended"):
            journal.send("lost-1", RetryRequest(by="me", why="because"), timeout=timedelta(hours=1))
        engine.result()
