"""Standard streams: a reader that goes away, a full disk, streams that are closed, and locales."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import filled


def test_a_reader_that_goes_away_is_no_error(journal: str) -> None:
    """`saga facts ... | head` leaves no traceback."""
    command = [sys.executable, "-m", "saga.cli", "facts", "frozen-1", "--database", journal]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 141


@pytest.mark.parametrize("command", [("list",), ("list", "--json"), ("show", "frozen-1"), ("diagram", "--states")])
def test_a_reader_that_takes_one_line_is_no_error(journal: str, command: tuple[str, ...]) -> None:
    """The exit code tells of the pipe, not of a refusal, whatever prints."""
    program = [sys.executable, "-m", "saga.cli", *command]
    with subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "SAGA_DATABASE": journal}
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 141


def in_shell(line: str, journal: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of a real shell in which `saga` is the command."""
    return subprocess.run(
        ["sh", "-c", f"saga() {{ '{sys.executable}' -m saga.cli \"$@\"; }}\n{line}"],
        env={**os.environ, "SAGA_DATABASE": journal, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize(
    "command", ["list --json", "show frozen-1", "decide large-1 review.9 true --by me --no-wait --json"]
)
def test_output_that_cannot_be_written_is_told(tmp_path: Path, command: str) -> None:
    """A full disk behind standard output ends with one line and exit code 3, never as if all had been said."""
    done = in_shell(f"saga {command} > /dev/full", filled(tmp_path))
    assert done.returncode == 3
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["list", "list --json", "show frozen-1"])
def test_a_closed_output_hits_no_database(journal: str, command: str) -> None:
    """Without standard streams a command ends as it does with them, and writes nowhere."""
    done = in_shell(f"saga {command} <&- >&- 2>&-", journal)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert in_shell("saga show done-1 --json", journal).returncode == 0


def test_a_locale_without_letters_is_no_error(journal: str) -> None:
    """An id that a terminal cannot show ends in an answer about it."""
    for settings in ({"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}, {"PYTHONUTF8": "0"}):
        done = in_shell('saga show "$ID"', journal, ID="\u00fcn\u00ef", **settings)
        assert (done.returncode, "Traceback" in done.stderr) == (4, False)
        assert "holds no instance '" in done.stderr
