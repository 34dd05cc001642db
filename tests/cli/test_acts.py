"""Acts on sagas that another process drives: on SQLite, and on a real PostgreSQL."""

import json
import re
import subprocess
import sys
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from saga.embedded import Journal
from saga.errors import ActRefusedError, InvalidRequestError, PayloadTooLargeError, UnknownSagaError
from saga.kernel import PAYLOAD_LIMIT, Cancel, Decide, Resolve
from tests.cli.conftest import Command, driving, shown, wait_until_at_rest

WHO = ("--by", "me", "--why", "because")
ANSWER = ["id", "act", "call", "outcome", "state", "message"]


class Driven(NamedTuple):
    """A journal that another process drives, and the folder where its bank looks."""

    url: str
    folder: Path


@pytest.fixture
def driven(tmp_path: Path) -> Generator[Driven]:
    """A journal in a file, with every transfer at rest."""
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    (tmp_path / "frozen").touch()
    with driving(url, tmp_path):
        wait_until_at_rest(url)
        yield Driven(url, tmp_path)


def view(saga: Command, url: str, id: str) -> dict[str, Any]:
    """What `show --json` says."""
    value: dict[str, Any] = json.loads(saga("show", id, "--json", "--payloads", database=url).out)
    return value


def act(saga: Command, url: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code and answer of an act."""
    ended = saga(*arguments, "--json", "--timeout", "60", database=url)
    told = json.loads(ended.out)
    assert list(told) == ANSWER
    assert (told["act"], told["id"]) == arguments[:2]
    return ended.code, told


def check_every_act(saga: Command, url: str, folder: Path) -> None:
    """Every act reaches the process that drives the saga, and is answered."""
    wait_until_at_rest(url)
    code, told = act(saga, url, "retry", "frozen-1", *WHO)
    assert (code, told["outcome"], told["call"]) == (0, "accepted", None)
    wait_until_at_rest(url)  # the account is still frozen
    (folder / "frozen").unlink()
    assert act(saga, url, "retry", "frozen-1", *WHO)[0] == 0
    assert act(saga, url, "resolve", "lost-1", "credit", "--happened", '"p-1"', *WHO)[1]["call"] == "credit.1"
    assert act(saga, url, "resolve", "lost-2", "credit.1", "--did-not-happen", *WHO)[0] == 0
    assert act(saga, url, "decide", "large-1", "review", '{"approved": true}', "--by", "me")[0] == 0
    assert act(saga, url, "cancel", "large-2", *WHO)[0] == 0
    assert act(saga, url, "abort", "large-3", *WHO)[0] == 0
    wait_until_at_rest(url)
    ends = {one["id"]: one["state"] for one in json.loads(saga("list", "--json", database=url).out)["instances"]}
    assert ends == {
        "done-1": "COMPLETED",
        "refused-1": "COMPENSATED",
        "frozen-1": "COMPENSATED",
        "lost-1": "COMPLETED",
        "lost-2": "COMPENSATED",
        "large-1": "COMPLETED",
        "large-2": "COMPENSATED",
        "large-3": "COMPENSATED",
    }
    assert view(saga, url, "lost-1")["result"] == "p-1"
    assert view(saga, url, "large-1")["decisions"][0]["answer"] == {"approved": True}
    assert [one["act"] for one in view(saga, url, "frozen-1")["acts"]] == ["retry", "retry"]
    acts = [view(saga, url, one)["acts"][0] for one in ("lost-1", "large-2", "large-3")]
    assert [(one["act"], one["by"], one["why"]) for one in acts] == [
        ("resolve", "me", "because"),
        ("cancel", "me", "because"),
        ("abort", "me", "because"),
    ]


def test_every_act_works_while_another_process_drives(saga: Command, driven: Driven) -> None:
    """Retry, resolve, decide, cancel and abort reach the engine through the journal, and it answers."""
    check_every_act(saga, *driven)


def test_every_act_works_on_postgresql(saga: Command, postgres_url: str, tmp_path: Path) -> None:
    """The same on PostgreSQL."""
    (tmp_path / "frozen").touch()
    with driving(postgres_url, tmp_path):
        check_every_act(saga, postgres_url, tmp_path)
    assert saga("purge", "--older-than", "0s", database=postgres_url).code == 0
    assert json.loads(saga("list", "--json", database=postgres_url).out) == {"instances": [], "more": False}


def test_the_second_answer_is_ignored(saga: Command, driven: Driven) -> None:
    """Whoever answers a decision that was answered is told that it changes nothing."""
    again = ("decide", "frozen-1", "review", '{"approved": true}', "--by", "me")
    code, told = act(saga, driven.url, *again)  # it is compensating already, so nobody will ask
    assert (code, told["outcome"]) == (1, "ignored")
    ended = saga(*again, database=driven.url)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("frozen-1: decide review.1 is ignored; ")


def test_a_cancel_waits_for_the_pivot(saga: Command, driven: Driven) -> None:
    """While nobody knows whether the pivot happened a cancel is journaled, and carried out once it is known."""
    code, told = act(saga, driven.url, "cancel", "lost-1", *WHO)
    assert (code, told["outcome"], told["state"]) == (0, "accepted", "STUCK")
    assert act(saga, driven.url, "resolve", "lost-1", "credit", "--did-not-happen", *WHO)[0] == 0
    wait_until_at_rest(driven.url)
    ended = view(saga, driven.url, "lost-1")
    assert (ended["state"], ended["reason"]) == ("COMPENSATED", "cancelled")


def test_a_skipped_compensation_ends_the_saga(saga: Command, driven: Driven) -> None:
    """The act that ends a saga is accepted, although the saga has ended by the time of the answer."""
    code, answer = act(saga, driven.url, "skip", "frozen-1", "debit.1/compensation", *WHO)
    assert (code, answer["outcome"], answer["call"]) == (0, "accepted", "debit.1")
    wait_until_at_rest(driven.url)
    told = saga("show", "frozen-1", database=driven.url).out
    assert "\nstate     COMPENSATED\n" in told
    assert "skip debit.1/compensation" in told
    assert "by me: because" in told


def test_an_act_of_another_process(driven: Driven) -> None:
    """The installed command, in a third process, says what became of the act."""
    command = [sys.executable, "-m", "saga.cli", "skip", "frozen-1", "debit", *WHO, "--database", driven.url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("frozen-1: skip debit.1 is journaled; the saga is ")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("retry", "large-1"), "nothing is blocked"),
        (("retry", "done-1"), "nothing can change any more"),
        (("cancel", "refused-1"), "nothing can change any more"),
        (("skip", "lost-1", "debit"), "no compensation is waiting"),
        (("skip", "frozen-1", "credit"), "skip works for debit.1"),
        (("abort", "lost-1"), "credit.1 has registered"),
        (("abort", "frozen-1"), "it is compensating already"),
        (("resolve", "lost-1", "debit", "--did-not-happen"), "so there is no doubt"),
        (("resolve", "lost-1", "nothing", "--did-not-happen"), "it has no such call"),
        (("resolve", "lost-1", "credit", "--happened", "5"), "valid string"),
    ],
    ids=shown,
)
def test_a_refused_act(saga: Command, journal_driven: str, arguments: tuple[str, ...], told: str) -> None:
    """An act that makes no sense in the saga's state changes nothing; exit code 1, and the reason."""
    before = saga("facts", arguments[1], database=journal_driven).out
    ended = saga(*arguments, *WHO, database=journal_driven)
    assert (ended.code, ended.out) == (1, "")
    assert arguments[1] in ended.err
    assert len(re.findall("(?:is|was) refused", ended.err)) == 1
    assert told in ended.err
    assert saga("facts", arguments[1], database=journal_driven).out == before


@pytest.fixture(scope="module")
def journal_driven(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """A journal that is driven while acts on it are refused, so that they may share it."""
    folder = tmp_path_factory.mktemp("driven")
    url = f"sqlite:///{folder / 'journal.db'}"
    (folder / "frozen").touch()
    with driving(url, folder):
        wait_until_at_rest(url)
        yield url


def test_a_refusal_as_json(saga: Command, journal_driven: str) -> None:
    """A refusal is an answer, so it is on standard output, with the state that the saga is in."""
    code, told = act(saga, journal_driven, "retry", "large-1", *WHO)
    assert (code, told["outcome"], told["state"]) == (1, "refused", "RUNNING")
    assert "nothing is blocked" in told["message"]


def test_an_act_on_an_unknown_id(saga: Command, journal_driven: str) -> None:
    """Nobody can act on an instance that is not there."""
    ended = saga("retry", "nobody", *WHO, database=journal_driven)
    assert (ended.code, ended.out) == (4, "")
    assert "holds no instance" in ended.err


def test_an_output_may_come_from_standard_input(saga: Command, driven: Driven) -> None:
    """What must not be in the shell's history is read from standard input."""
    arguments = ("resolve", "lost-1", "credit", "--happened", "-", *WHO)
    assert saga(*arguments, database=driven.url, input='\n"p-7"\n').code == 0
    wait_until_at_rest(driven.url)
    assert view(saga, driven.url, "lost-1")["result"] == "p-7"
    lines = saga("facts", "lost-1", "--payloads", database=driven.url).out.splitlines()
    assert all(json.loads(line) for line in lines)  # an operator's line ends do not end a line of the journal


def test_a_decision_nobody_declared(saga: Command, driven: Driven) -> None:
    """A mistyped decision is refused, and nothing is journaled."""
    ended = saga("decide", "large-1", "reveiw", '{"approved": true}', "--by", "me", database=driven.url)
    assert ended.code == 1
    assert "reveiw.1" in ended.err
    assert "it has review.1" in ended.err
    assert view(saga, driven.url, "large-1")["acts"] == []


def test_the_failure_that_ended_a_call_stays_on_record(saga: Command, driven: Driven) -> None:
    """A call that was done after somebody's retry still tells what had gone wrong before."""
    (driven.folder / "frozen").unlink()
    assert act(saga, driven.url, "retry", "frozen-1", *WHO)[0] == 0
    wait_until_at_rest(driven.url)
    shown = saga("show", "frozen-1", database=driven.url).out
    assert re.search(r"debit\.1/compensation  done .*\n +then rejected: StepRejected: account frozen", shown)


def test_an_answer_that_nobody_has_asked_for_is_kept_and_said_to_be(saga: Command, driven: Driven) -> None:
    """A wrong call number looks like an early answer: it is told what `run` did ask for."""
    code, told = act(saga, driven.url, "decide", "large-1", "review.9", '{"approved": true}', "--by", "me")
    assert (code, told["outcome"], told["state"]) == (0, "kept", "RUNNING")
    assert told["message"] == "run has not asked for review.9, so far it has asked for review.1; the saga is RUNNING"


def test_an_answer_of_the_wrong_type(saga: Command, driven: Driven) -> None:
    """An answer that does not fit is refused, and the saga goes on waiting."""
    ended = saga("decide", "large-1", "review", '{"approved": 7}', "--by", "me", database=driven.url)
    assert ended.code == 1
    assert "approved" in ended.err
    assert "give a value that fits" in ended.err
    assert view(saga, driven.url, "large-1")["state"] == "RUNNING"


def test_the_same_from_a_program(journal_driven: str) -> None:
    """`Journal.send` raises what the engine answered, typed."""
    soon = timedelta(seconds=60)
    with Journal.open(journal_driven) as journal:
        assert journal.driven("large-1") is True
        assert journal.driven("done-1") is False
        assert journal.driven("nobody") is False
        with pytest.raises(ActRefusedError, match="nothing can change any more"):
            journal.send("done-1", Cancel(by="me"), timeout=soon)
        with pytest.raises(UnknownSagaError, match="holds no instance"):
            journal.send("nobody", Cancel(by="me"), timeout=soon)
        large = Decide(by="me", call="review.1", payload=f'"{"x" * PAYLOAD_LIMIT}"')
        with pytest.raises(PayloadTooLargeError, match="large-1: the payload of decide"):
            journal.send("large-1", large, timeout=soon)
        output = Resolve(by="me", why="because", call="credit.1", finding="happened", payload="7")
        with pytest.raises(InvalidRequestError, match="valid string"):
            journal.send("lost-1", output, timeout=soon)
