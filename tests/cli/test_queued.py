"""Acts that no engine answers now: they wait in the journal for the next one."""

import json
import time
from datetime import timedelta
from pathlib import Path

import pytest

from saga.embedded import Journal
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
    with driving(url, tmp_path):
        with Journal.open(url) as journal:
            while not (journal.view("frozen-1").state.ended and journal.view("large-1").state.ended):
                time.sleep(0.02)
    with Journal.open(url) as journal:
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
