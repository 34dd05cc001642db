"""Looking at instances on a real Temporal server, and acting on them, each command in a process of its own."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Generator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.cli import _bank
from tests.cli._server import BANK, BY, COMMAND, ROOT, WHO, Bank, environment, saga, shown, started, terminated, working

HOSTILE = "-x 'y' \"\u6f22\u5b57\" $(touch pwned)"


@pytest.fixture(scope="module")
def bank(temporal_address: str, tmp_path_factory: pytest.TempPathFactory) -> Generator[Bank]:
    """A worker, and every transfer at rest."""
    made = Bank(temporal_address, f"q{uuid4().hex[:8]}", tmp_path_factory.mktemp("bank"))
    (made.folder / "frozen").touch()
    with working(made) as process:
        transfers = {made.id(name): transfer for name, transfer in _bank.TRANSFERS.items()}
        started(made, {**transfers, HOSTILE + made.queue: _bank.TRANSFERS["frozen-1"]})
        for name, state in (
            ("frozen-1", "STUCK"),
            ("lost-1", "STUCK"),
            ("large-3", "RUNNING"),
            ("done-1", "COMPLETED"),
        ):
            shown(made, made.id(name), lambda view, state=state: view["state"] == state and len(view["calls"]) > 0)
        shown(made, HOSTILE + made.queue, lambda view: view["state"] == "STUCK")
        assert process.poll() is None
        yield made


@pytest.fixture
def quiet(temporal_address: str, tmp_path: Path) -> Bank:
    """A task queue that nobody polls."""
    return Bank(temporal_address, f"q{uuid4().hex[:8]}", tmp_path)


# -- looking -----------------------------------------------------------------------------


def test_instances_are_listed(bank: Bank) -> None:
    """With their states, for people and for programs; the server's list lags behind by a moment."""
    wanted = dict.fromkeys(("large-1", "large-2", "large-3"), "RUNNING")
    wanted |= {"done-1": "COMPLETED", "refused-1": "COMPENSATED", "lost-2": "STUCK"}
    while True:
        ended = saga("list", "--address", bank.address, "--prefix", bank.queue, "--json")
        assert (ended.code, ended.err) == (0, "")
        found = {one["id"]: one["state"] for one in json.loads(ended.out)["instances"]}
        if found.get(bank.id("lost-2")) == "STUCK":
            break
    assert {name: found[bank.id(name)] for name in wanted} == wanted
    ended = saga("list", "--address", bank.address, "--prefix", bank.queue, "--limit", "1")
    assert ended.out.endswith("the newest 1; there are more: --limit 0 lists all\n")
    counted = json.loads(saga("list", "--address", bank.address, "--count", "--json").out)["states"]
    assert counted["COMPLETED"] >= 1


def test_the_page_of_a_stuck_saga_can_be_pasted(bank: Bank, tmp_path: Path) -> None:
    """Its lines carry the options by which they find the server, whatever the id, and are taken as they stand."""
    id = HOSTILE + bank.queue
    ended = saga("show", "--engine", "temporal", "--namespace", "default", "--", id, TEMPORAL_ADDRESS=bank.address)
    assert (ended.code, ended.err) == (0, "")
    retry, skip = ended.out.rpartition("Nothing else will run until someone acts:\n")[2].splitlines()
    assert retry.startswith("  saga retry --engine temporal --namespace default --by YOU --why ... -- ")
    assert "saga skip --engine temporal --namespace default" in skip
    ended = saga("show", "--address", bank.address, "--", id)
    retry = next(line for line in ended.out.splitlines() if line.startswith("  saga retry "))
    assert retry.startswith(f"  saga retry --address {bank.address} --by YOU")
    program = " ".join(map(shlex.quote, COMMAND))
    done = subprocess.run(
        ["sh", "-c", f'cd "$OLD" && {retry.replace("saga", program, 1)}'],
        env=environment(OLD=str(tmp_path), PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{id}: retry is journaled; the saga is ")
    assert list(tmp_path.iterdir()) == []


def test_a_look_needs_no_worker(quiet: Bank) -> None:
    """Whoever looks is told that nobody runs the instance; its facts and its diagram are there."""
    started(quiet, {quiet.id("t"): _bank.TRANSFERS["done-1"]})
    ended = saga("show", quiet.id("t"), "--address", quiet.address)
    assert (ended.code, ended.err) == (0, "")
    assert f"\nworkflow  no worker has polled the task queue '{quiet.queue}' lately\n" in ended.out
    facts = saga("facts", quiet.id("t"), "--address", quiet.address)
    assert json.loads(facts.out.splitlines()[0])["fact"] == "SagaStarted"
    assert saga("diagram", "--id", quiet.id("t"), "--address", quiet.address).code == 0


def test_an_instance_that_was_terminated(quiet: Bank) -> None:
    """It is told that nothing runs it any more, and what starts its recovery."""
    started(quiet, {quiet.id("t"): _bank.TRANSFERS["done-1"]})
    terminated(quiet, quiet.id("t"))
    ended = saga("show", quiet.id("t"), "--address", quiet.address)
    assert (ended.code, ended.err) == (0, "")
    assert "\nworkflow  terminated: ended from outside, nothing was compensated by that\n" in ended.out
    hint = f"  saga recover --address {quiet.address} --by YOU --why ... {quiet.id('t')} module:Class\n"
    assert ended.out.endswith(hint)
    told = json.loads(saga("show", quiet.id("t"), "--address", quiet.address, "--json").out)["workflow"]
    assert (told["status"], told["cut_off"]) == ("TERMINATED", True)
    late = saga("cancel", quiet.id("t"), *WHO, "--address", quiet.address)
    assert (late.code, "is TERMINATED: cancel is refused" in late.err) == (1, True)


def test_an_instance_that_was_terminated_is_recovered(quiet: Bank) -> None:
    """The command starts it again, and what was done is compensated; a second time there is nothing to recover."""
    id, there = quiet.id("t"), ("--address", quiet.address)
    with working(quiet):
        started(quiet, {id: _bank.TRANSFERS["large-1"]})
        shown(quiet, id, lambda view: bool(view["decisions"]))
        refused = saga("recover", id, BANK, *WHO, *there)
        assert (refused.code, "recover is refused, it runs" in refused.err) == (1, True)
        terminated(quiet, id)
        ended = saga("recover", id, BANK, *WHO, *there)
        assert (ended.code, ended.err) == (0, "")
        assert ended.out.startswith(
            f"{id}: recover is journaled; the saga is COMPENSATING now. See how it goes on: saga show"
        )
        view = shown(quiet, id, lambda view: view["state"] == "COMPENSATED")
    assert [(call["name"], call["state"]) for call in view["calls"]] == [
        ("debit.1", "done"),
        ("debit.1/compensation", "done"),
    ]
    wrong = saga("recover", id, f"{BANK}Other", *WHO, *there)
    assert (wrong.code, "has no MoneyTransferOther" in wrong.err) == (2, True)


# -- acting ------------------------------------------------------------------------------


def test_acts_reach_the_worker(bank: Bank) -> None:
    """Decide, cancel, retry, resolve and skip are answered by the worker in its own process."""
    there = ("--address", bank.address)
    decided = saga("decide", bank.id("large-1"), "review", '{"approved": true}', *BY, *there)
    assert (decided.code, decided.err) == (0, "")
    assert decided.out.startswith(f"{bank.id('large-1')}: decide review.1 is journaled; the saga is ")
    cancelled = saga("cancel", bank.id("large-2"), *WHO, *there, "--json")
    assert (cancelled.code, json.loads(cancelled.out)["outcome"]) == (0, "accepted")
    retried = saga("retry", bank.id("frozen-1"), *WHO, *there)
    assert (retried.code, retried.err) == (0, "")
    assert saga("resolve", bank.id("lost-1"), "credit", "--happened", '"p-1"', *WHO, *there).code == 0
    shown(bank, bank.id("frozen-1"), lambda view: view["state"] == "STUCK" and len(view["acts"]) == 1)
    assert saga("skip", bank.id("frozen-1"), "debit", *WHO, *there).code == 0
    ends = {"large-1": "COMPLETED", "large-2": "COMPENSATED", "lost-1": "COMPLETED", "frozen-1": "COMPENSATED"}
    for name, state in ends.items():
        shown(bank, bank.id(name), lambda view, state=state: view["state"] == state)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("retry", "large-3", *WHO), 1, "is RUNNING: retry is refused, nothing is blocked"),
        (("retry", "done-1", *WHO), 1, "is COMPLETED: retry is refused, nothing can change any more"),
        (("decide", "large-3", "reveiw", "true", *BY), 1, "no such decision; it has review"),
        (("decide", "large-3", "review", "7", *BY), 1, "give a value that fits"),
        (("retry", "large-3", *WHO, "--no-wait"), 2, "a Temporal server keeps only cancel and decide"),
        (("retry", "nobody", *WHO), 4, "has no instance"),
        (("show", "nobody"), 4, "has no instance"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_an_answer_that_is_no(bank: Bank, arguments: tuple[str, ...], code: int, told: str) -> None:
    """The exit codes are those of the embedded engine."""
    command, name, *rest = arguments
    ended = saga(command, bank.id(name), *rest, "--address", bank.address)
    assert (ended.code, ended.out) == (code, "")
    assert told in " ".join(ended.err.split())


def test_an_act_without_a_worker(quiet: Bank) -> None:
    """It is told that no worker has polled the queue; a cancel can be left with the server."""
    started(quiet, {quiet.id("t"): _bank.TRANSFERS["large-1"]})
    ended = saga("cancel", quiet.id("t"), *WHO, "--address", quiet.address)
    assert (ended.code, ended.out) == (3, "")
    assert f"no worker has polled the task queue '{quiet.queue}' lately; start one: saga worker" in ended.err
    left = saga("cancel", quiet.id("t"), *WHO, "--no-wait", "--address", quiet.address)
    assert (left.code, "cancel is queued; the server keeps it" in left.err) == (5, True)
    with working(quiet):
        view = shown(quiet, quiet.id("t"), lambda view: view["state"] == "COMPENSATED")
    assert view["reason"] == "cancelled"


def test_output_arrives_whatever_ends_the_process(bank: Bank) -> None:
    """A command that ends without Python's farewell loses nothing that it said, also through a pipe."""
    ended = saga("list", "--address", bank.address, "--limit", "0", "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["more"] is False
