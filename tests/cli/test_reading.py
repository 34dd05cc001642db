"""`list`, `show` and `facts`: what they print for people and for programs, and what they keep to themselves."""

import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from datetime import UTC, datetime
from typing import Any

import pytest

from saga import SagaState
from saga.cli._listing import print_listing, write_listing
from saga.embedded import Journal
from saga.kernel import SagaSummary
from tests.cli._bank import TRANSFERS
from tests.cli.conftest import Command

PAYLOADS = ("NL01", "DE01", "credit of", "debit of", "s3cret")

VIEW = (
    """id saga state since started_at deadline parent committed reason call failure calls decisions acts stuck facts"""
)
CALL = "name call role kind state attempts registered_at ended_at failure"


def test_a_list_is_newest_first(saga: Command, journal: str) -> None:
    """A list has one line per instance under a heading."""
    heading, *lines = saga("list", database=journal).out.splitlines()
    assert heading.split() == ["id", "saga", "state", "started", "(UTC)", "changed", "(UTC)"]
    assert [line.split()[0] for line in lines] == list(reversed(TRANSFERS))
    assert lines[0].split()[1:3] == ["MoneyTransfer", "RUNNING"]


def test_a_list_as_json(saga: Command, journal: str) -> None:
    """The keys of a list are fixed, and the times are UTC."""
    value = json.loads(saga("list", "--json", database=journal).out)
    assert list(value) == ["instances", "more"]
    assert value["more"] is False
    assert [list(one) for one in value["instances"]] == [
        ["id", "saga", "state", "started_at", "changed_at", "parent"]
    ] * len(TRANSFERS)
    last = value["instances"][-1]
    assert (last["id"], last["saga"], last["state"], last["parent"]) == ("done-1", "MoneyTransfer", "COMPLETED", None)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", last["started_at"])


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        (("--state", "stuck"), ["lost-2", "lost-1", "frozen-1"]),
        (("--state", "Completed", "--state", "COMPENSATED"), ["refused-1", "done-1"]),
        (("--prefix", "large-"), ["large-3", "large-2", "large-1"]),
        (("--prefix", "LARGE-"), []),
        (("--saga", "Nothing"), []),
        (("--saga", "MoneyTransfer", "--limit", "1"), ["large-3"]),
        (("--since", "1w", "--prefix", "done"), ["done-1"]),
        (("--before", "2020-01-01T00:00+02:00"), []),
        (("--since", "2100-01-01"), []),
    ],
    ids=" ".join,
)
def test_filters(saga: Command, journal: str, filters: tuple[str, ...], ids: list[str]) -> None:
    """Every filter holds, and several hold together."""
    value = json.loads(saga("list", *filters, "--json", database=journal).out)
    assert [one["id"] for one in value["instances"]] == ids


def test_a_list_says_when_there_is_more(saga: Command, journal: str) -> None:
    """A list that was cut says so; `--limit 0` cuts nothing."""
    assert "there are more" in saga("list", "--limit", "7", database=journal).out
    assert json.loads(saga("list", "--limit", "7", "--json", database=journal).out)["more"] is True
    for limit in ("8", "0"):
        assert "there are more" not in saga("list", "--limit", limit, database=journal).out


def test_a_list_is_printed_while_it_is_read() -> None:
    """The first line does not wait for the last: a list of any length takes no more memory than a page."""
    read: list[str] = []

    def instances() -> Iterator[SagaSummary]:
        at = datetime(2026, 3, 4, tzinfo=UTC)
        for number in range(1000):
            read.append(str(number))
            yield SagaSummary(f"i-{number}", "Long", SagaState.RUNNING, at, at, None)

    for listing in (print_listing, write_listing):
        read.clear()
        with pytest.raises(BrokenPipeError), redirect_stdout(OneLine()):
            listing(found := instances(), found)
        assert len(read) <= 201


class OneLine(io.StringIO):
    """Takes two lines, and goes away."""

    def write(self, text: str) -> int:
        """Fail after the second line."""
        if self.getvalue().count("\n") >= 2:
            raise BrokenPipeError
        return super().write(text)


def test_an_empty_list_says_so(saga: Command, journal: str) -> None:
    """Nothing found is no error."""
    assert saga("list", "--prefix", "none", database=journal) == (0, "no such instances\n", "")


def test_the_count_names_every_state(saga: Command, journal: str) -> None:
    """A count shows how many instances are in each state, zeros included."""
    expected = {"RUNNING": 3, "COMPENSATING": 0, "COMPLETED": 1, "COMPENSATED": 1, "STUCK": 3}
    assert json.loads(saga("list", "--count", "--json", database=journal).out) == {"states": expected}
    lines = saga("list", "--count", database=journal).out.splitlines()
    assert {state: int(number) for state, number in map(str.split, lines)} == expected
    none = json.loads(saga("list", "--count", "--saga", "Nothing", "--json", database=journal).out)
    assert none == {"states": dict.fromkeys(expected, 0)}


def test_show_tells_the_story_of_a_stuck_saga(saga: Command, journal: str) -> None:
    """The timeline has every call with outcome, attempts and error; the page names the ways out."""
    shown = saga("show", "frozen-1", database=journal).out
    timeline, _, page = shown.partition("\n\nfrozen-1 MoneyTransfer is STUCK since ")
    assert "\n\nUTC\n" in timeline
    lines = [line.split(maxsplit=1)[1] for line in timeline.splitlines() if re.match(r"\d\d:", line)]
    told = [re.sub(r"  +", "  ", re.sub(r"[\d.]+ s", "T", line)) for line in lines]
    assert told == [
        "started",
        "debit.1  done  1 attempt, T",
        "credit.1  rejected  1 attempt, T",
        "COMPENSATING  rejected: credit.1: StepRejected: NL02 is closed",
        "debit.1/compensation  rejected  1 attempt, T",
        "STUCK  debit.1/compensation: rejected",
    ]
    assert "\n                StepRejected: account frozen\\x1b[2J\n" in shown
    assert "saga retry frozen-1 " in page
    assert "saga skip frozen-1 debit.1 " in page
    assert f"  export SAGA_DATABASE={journal} " in page


def test_the_ways_out_are_complete_where_the_environment_names_the_journal(saga: Command, journal: str) -> None:
    """Whoever has SAGA_DATABASE set can paste the commands as they are."""
    assert "export SAGA_DATABASE" not in saga("show", "frozen-1", env={"SAGA_DATABASE": journal}).out


def test_show_tells_what_a_saga_waits_for(saga: Command, journal: str) -> None:
    """A saga that waits for a decision says which, and until when."""
    assert re.search(r"review\.1 awaited +until \d{4}-", saga("show", "large-1", database=journal).out)


@pytest.mark.parametrize("id", list(TRANSFERS))
@pytest.mark.parametrize(
    "command", [("show",), ("show", "--json"), ("facts",), ("facts", "--json"), ("list",)], ids=" ".join
)
def test_payloads_are_hidden(saga: Command, journal: str, command: tuple[str, ...], id: str) -> None:
    """Requests, inputs, outputs, results and the data of a rejection are not shown unasked."""
    named = () if command[0] == "list" else (id,)
    ended = saga(*command, *named, database=journal)
    assert ended.code == 0
    assert [payload for payload in PAYLOADS if payload in ended.out] == []


def test_payloads_are_shown_when_asked_for(saga: Command, journal: str) -> None:
    """`--payloads` shows all of them."""
    shown = saga("show", "done-1", "--payloads", database=journal).out
    assert '\nrequest   {"source":"NL01","target":"DE01","cents":1}\n' in shown
    assert '\nresult    "credit of DE01"\n' in shown
    assert re.search(r'\n +input    \{"source":"NL01"', shown)
    assert re.search(r'\n +output   "debit of NL01"\n', shown)


def test_the_shape_of_show_is_fixed(saga: Command, journal: str) -> None:
    """Programs find what they expect; keys of payloads are missing, so nobody takes a hidden one for null."""
    value = json.loads(saga("show", "frozen-1", "--json", database=journal).out)
    assert list(value) == VIEW.split()
    assert [list(call) for call in value["calls"]] == [CALL.split()] * 3
    assert value["failure"] == {"type": "StepRejected", "message": "NL02 is closed", "traceback": None}
    failure = {"type": "StepRejected", "message": "account frozen\x1b[2J", "traceback": None}
    assert value["stuck"] == [{"reason": "rejected", "call": "debit.1/compensation", "failure": failure}]
    decision = json.loads(saga("show", "large-1", "--json", database=journal).out)["decisions"][0]
    assert list(decision) == ["call", "due", "by", "timed_out"]


def test_show_with_payloads_as_json_has_values(saga: Command, journal: str) -> None:
    """Payloads are JSON inside of JSON no more: programs get values."""
    value = json.loads(saga("show", "done-1", "--payloads", "--json", database=journal).out)
    assert set(value) == {*VIEW.split(), "request", "result"}
    assert value["request"] == {"source": "NL01", "target": "DE01", "cents": 1}
    assert value["result"] == "credit of DE01"
    assert [(call["input"], call["output"]) for call in value["calls"]][1:] == [
        ({"source": "NL01", "target": "DE01", "cents": 1}, "credit of DE01"),
        ("done", None),
    ]


def facts_of(text: str) -> list[dict[str, Any]]:
    """Read NDJSON."""
    return [json.loads(line) for line in text.splitlines()]


def test_facts_are_a_line_each(saga: Command, journal: str) -> None:
    """The journal comes out in order, numbered from 1 as it is stored."""
    facts = facts_of(saga("facts", "done-1", database=journal).out)
    assert [fact["seq"] for fact in facts] == list(range(1, len(facts) + 1))
    assert [fact["fact"] for fact in facts] == [
        "SagaStarted",
        *("CallRegistered", "CallDone") * 3,
        "SagaCompleted",
    ]
    assert not any("payload" in fact for fact in facts)


def test_facts_with_payloads_are_the_whole_journal(saga: Command, journal: str) -> None:
    """With payloads nothing is missing."""
    facts = facts_of(saga("facts", "frozen-1", "--payloads", database=journal).out)
    assert facts[0]["payload"] == {"source": "frozen", "target": "closed", "cents": 3}
    assert facts[-1]["reasons"][0]["failure"]["details"] == {"secret": "s3cret"}


@pytest.mark.parametrize("command", [("show",), ("facts",), ("diagram", "--id")], ids=" ".join)
def test_an_unknown_id(saga: Command, journal: str, command: tuple[str, ...]) -> None:
    """An id that no instance has gets an exit code of its own, and the place that was looked at."""
    ended = saga(*command, "nobody", database=journal)
    assert (ended.code, ended.out) == (4, "")
    assert ended.err == f"Error: the journal at {journal.removeprefix('sqlite:///')} holds no instance 'nobody'\n"


def test_an_error_as_json(saga: Command, journal: str) -> None:
    """With --json an error is JSON too, on standard error."""
    ended = saga("show", "nobody", "--json", database=journal)
    error = json.loads(ended.err)["error"]
    assert (ended.code, ended.out) == (4, "")
    assert list(error) == ["type", "message", "exit_code"]
    assert (error["type"], error["exit_code"]) == ("UnknownSagaError", 4)


def test_a_traceback_can_be_asked_for(saga: Command, journal: str) -> None:
    """SAGA_TRACEBACK=1 lets an error through to Python."""
    from saga.errors import UnknownSagaError  # noqa: PLC0415 - what leaves is what is tested

    with pytest.raises(UnknownSagaError):
        saga("show", "nobody", database=journal, env={"SAGA_TRACEBACK": "1"})


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_a_narrow_terminal_cuts_nothing(saga: Command, journal: str, columns: int) -> None:
    """On a narrow terminal an instance takes several lines in a list, and is whole in `show`."""
    narrow = {"COLUMNS": str(columns)}
    listed = saga("list", "--prefix", "refused", database=journal, env=narrow).out
    assert max(len(line) for line in listed.splitlines()) <= columns
    words = saga("list", "--prefix", "refused", database=journal).out.splitlines()[1].split()
    assert {"refused-1", "MoneyTransfer", "COMPENSATED"} < set(words)
    assert set(words) <= set(listed.split())
    assert "UTC" in listed
    wide = saga("show", "refused-1", database=journal).out
    assert saga("show", "refused-1", database=journal, env=narrow).out == wide


@pytest.mark.parametrize("command", [("list",), ("show", "frozen-1"), ("list", "--count")], ids=" ".join)
def test_colours_are_for_terminals(saga: Command, journal: str, command: tuple[str, ...]) -> None:
    """There are no control characters in a pipe, and no colours where NO_COLOR is set."""
    assert "\x1b" not in saga(*command, database=journal).out
    coloured = saga(*command, database=journal, env={"FORCE_COLOR": "1", "TERM": "xterm-256color"}).out
    plain = saga(*command, database=journal, env={"FORCE_COLOR": "1", "TERM": "xterm-256color", "NO_COLOR": "1"}).out
    colour = re.compile(r"\x1b\[[\d;]*3\dm")
    assert colour.search(coloured)
    assert not colour.search(plain)


def test_a_message_cannot_steer_the_terminal(saga: Command, journal: str) -> None:
    """What a participant said is shown with its control characters made visible."""
    shown = saga("show", "frozen-1", database=journal, env={"FORCE_COLOR": "1", "TERM": "xterm-256color"}).out
    assert "\x1b[2J" not in shown
    assert shown.count("\\x1b[2J") == 1  # in the timeline; the page has a space there


def test_the_diagram_of_an_instance(saga: Command, journal: str) -> None:
    """The path of an instance is drawn as Mermaid, without payloads."""
    drawn = saga("diagram", "--id", "refused-1", database=journal).out
    assert drawn.startswith("sequenceDiagram\n")
    assert "credit.1" in drawn
    assert "NL01" not in drawn
    assert json.loads(saga("diagram", "--id", "refused-1", "--json", database=journal).out) == {"mermaid": drawn}


def test_no_class_is_needed_to_read(journal: str) -> None:
    """A process that never imported the saga's code reads and counts its instances."""
    code = "import sys; from saga.embedded import Journal; journal = Journal.open(sys.argv[1]).__enter__()\n"
    code += "print(journal.view('done-1').result, '_bank' in ' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code, journal], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == '"credit of DE01" False\n'


def test_the_journal_is_an_api_too(journal: str) -> None:
    """What the command reads, a program reads."""
    with Journal.open(journal) as opened:
        assert [one.id for one in opened.list(states=[SagaState.STUCK], limit=2)] == ["lost-2", "lost-1"]
        assert opened.count()[SagaState.RUNNING] == 3
        assert opened.facts("done-1")[0].fact == "SagaStarted"
        assert opened.driven("large-1") is False
