"""`demo`: hands its options to the example, and ends with the example's exit code."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.cli.conftest import Command

EXAMPLE = "saga._examples.money_transfer.demo"


@pytest.mark.parametrize(
    ("options", "given"),
    [
        ((), {"transfers": 200, "kill": False, "as_json": False, "directory": None}),
        (
            ("--transfers", "3", "--kill", "--json", "--directory", "here"),
            {"transfers": 3, "kill": True, "as_json": True, "directory": "here"},
        ),
    ],
    ids=["defaults", "all"],
)
def test_options_reach_the_example(
    saga: Command, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], given: dict[str, Any]
) -> None:
    """The example gets every option, and says how the command ends."""
    seen: list[dict[str, Any]] = []

    def main(**options: Any) -> int:  # whatever the command gives
        seen.append(options)
        return 1

    monkeypatch.setitem(sys.modules, EXAMPLE, SimpleNamespace(main=main))  # the example itself has its own tests
    assert saga("demo", *options).code == 1
    assert seen == [given]


def test_an_installation_without_the_example(saga: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever removed the example is told so, not shown a traceback."""
    monkeypatch.setitem(sys.modules, EXAMPLE, None)
    ended = saga("demo")
    assert (ended.code, ended.out) == (3, "")
    assert "holds no example" in ended.err


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["story", "json"])
def test_a_reader_that_goes_away_does_not_look_like_a_proof_that_fails(options: tuple[str, ...]) -> None:
    """`saga demo | head -1` ends with the exit code of a closed pipe, and without a traceback."""
    command = [sys.executable, "-m", "saga.cli", "demo", "--transfers", "1", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=100) == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_report_that_cannot_be_written_is_no_success() -> None:
    """A disk that is full cuts the document: the exit code says so, not that the proof holds."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "saga.cli", "demo", "--transfers", "1", "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=100,
        )
    assert done.returncode == 3
    assert json.loads(done.stderr)["error"]["type"] == "OSError"
