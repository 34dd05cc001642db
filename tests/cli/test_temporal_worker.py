"""`saga worker` on a real Temporal server, and what is told where a server, a worker or a package is missing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import pytest

from tests.cli import _bank
from tests.cli._server import BANK, ROOT, WHO, Bank, saga, shown, started, working


@pytest.fixture
def quiet(temporal_address: str, tmp_path: Path) -> Bank:
    """A task queue that nobody polls."""
    return Bank(temporal_address, f"q{uuid4().hex[:8]}", tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_worker_says_what_it_serves_and_ends_when_told(quiet: Bank, number: signal.Signals) -> None:
    """A signal is a wish, not an accident: exit code 0, and no traceback."""
    with working(quiet) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        process.send_signal(number)
        rest, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert lines[0].startswith(f"a worker polls the task queue '{quiet.queue}' of {quiet.address}, namespace 'default'")
    assert lines[1:3] == [
        "  sagas       MoneyTransfer\n",
        "  activities  bank.credit, bank.debit, bank.refund, bank.tell\n",
    ]
    assert rest == "ended; what it did not finish, the next worker does\n"


def test_a_worker_as_json_drains(quiet: Bank) -> None:
    """What runs at the signal is finished, and what is served is told as JSON."""
    with working(quiet, "--json") as process:
        started(quiet, {quiet.id("slow"): _bank.Transfer(source="slow", target="DE01", cents=1)})
        while not (quiet.folder / "debiting").exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    told = json.loads(out)
    assert (told["sagas"], told["task_queue"]) == (["MoneyTransfer"], quiet.queue)
    assert (quiet.folder / "debited").exists()
    view = shown(quiet, quiet.id("slow"), lambda view: bool(view["calls"]))
    assert (view["calls"][0]["name"], view["calls"][0]["state"]) == ("debit.1", "done")


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        ((), 3, "participant 'bank' is missing (MoneyTransfer.debit)"),
        ((), 3, "name them with --participants module:function"),
        (("--participants", "os:getcwd"), 3, "getcwd gives str, no participants; return a mapping such as"),
        (("--participants", "json:loads"), 3, "loads gives no participants: TypeError: "),
        (("--participants", "json:nothing"), 2, "--participants: json has no nothing"),
        (("--participants", "bank"), 2, "--participants: 'bank' names no function; write module:function"),
        (("--participants", "tests.cli._bank:TRANSFERS"), 2, "is no function; write one that returns the participants"),
        (("--namespace", "nowhere"), 3, "has no namespace 'nowhere'; name another with --namespace"),
        (("--task-queue", " "), 2, "--task-queue names no queue"),
    ],
)
def test_a_worker_that_cannot_start(quiet: Bank, options: tuple[str, ...], code: int, told: str) -> None:
    """What is missing is named, and what to write."""
    queue = () if "--task-queue" in options else ("--task-queue", quiet.queue)
    ended = saga("worker", BANK, "--address", quiet.address, *queue, *options)
    assert (ended.code, ended.out) == (code, "")
    assert told in " ".join(ended.err.split())


@pytest.mark.parametrize("command", ["list", "show t-1", "retry t-1 --by me --why x", "worker json --task-queue q"])
def test_no_server_at_the_address(command: str) -> None:
    """One line says so, and what to do."""
    name = command.replace("json", BANK)
    ended = saga(*name.split(), "--address", "127.0.0.1:1")
    assert (ended.code, ended.out) == (3, "")
    assert "the server at 127.0.0.1:1 cannot be used: nothing listens there; start one, such as" in ended.err
    told = json.loads(saga(*name.split(), "--address", "127.0.0.1:1", "--json").err)["error"]
    assert (told["type"], told["exit_code"]) == ("ServerError", 3)


@pytest.mark.parametrize(
    ("options", "settings", "told"),
    [
        (("--namespace", "nowhere"), {}, "has no namespace 'nowhere'; name another with --namespace, or create it"),
        ((), {"TEMPORAL_TLS": "true"}, "it speaks no TLS; set TEMPORAL_TLS=false"),
        ((), {"TEMPORAL_API_KEY": "s3cret"}, "it speaks no TLS"),
        (("--profile", "nowhere"), {}, "Temporal's configuration cannot be used: Profile 'nowhere' not found"),
        ((), {"TEMPORAL_TLS_SERVER_CA_CERT_PATH": "nowhere.pem"}, "No such file or directory: 'nowhere.pem'"),
    ],
)
def test_a_server_that_does_not_let_us_in(
    temporal_address: str, options: tuple[str, ...], settings: dict[str, str], told: str
) -> None:
    """What the server, or the configuration, has against it is told with what to change; secrets are not."""
    ended = saga("list", "--address", temporal_address, *options, **settings)
    assert (ended.code, ended.out) == (3, "")
    assert told in ended.err
    assert "s3cret" not in ended.err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--address", "nowhere"), "'nowhere' is no address; write HOST:PORT"),
        (("--address", "127.0.0.1:1", "--engine", "embedded"), "are for --engine temporal"),
        (("--address", "127.0.0.1:1", "--database", "sqlite:///x.db"), "name one place"),
        (("--engine", "other"), "'other' is not one of 'embedded', 'temporal'"),
    ],
)
def test_options_that_name_no_place(options: tuple[str, ...], told: str) -> None:
    """Nothing is guessed."""
    ended = saga("list", *options)
    assert (ended.code, ended.out) == (2, "")
    assert told in ended.err


def test_without_temporalio(tmp_path: Path) -> None:
    """One line tells what to install, with the exit code for it."""
    (tmp_path / "temporalio.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'temporalio'\", name='temporalio')\n"
    )
    for command in (("list",), ("worker", BANK, "--task-queue", "q"), ("recover", "t", BANK, *WHO)):
        ended = saga(*command, "--address", "127.0.0.1:1", PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
        assert (ended.code, ended.out) == (3, "")
        assert ended.err == (
            'Error: sagas on Temporal need the package temporalio; install it with: pip install "sagakit[temporal]"\n'
        )


@pytest.mark.parametrize("command", ["--version", "--help", "worker --help", "list --help", "check " + BANK])
def test_what_needs_no_server_loads_no_vendor(command: str) -> None:
    """Help, the version and a check wait for no native library."""
    code = f"import sys; from saga.cli import main; sys.argv = ['saga', *{command.split()!r}]\n"
    code += "try: main()\nexcept SystemExit: print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "typer" in loaded
    assert "temporalio" not in loaded
