"""The commands in the examples' pages, typed as they stand; those for Temporal on a real server."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from saga.testing import _temporal, _temporal_cache, _temporal_fetch
from saga.testing._places import AbsentError
from tests.examples._console import ROOT, Terminal, Typed, commands_of

EXPENSES = (ROOT / "examples" / "expense_report" / "README.md").read_text(encoding="utf-8")
_, _, ON_TEMPORAL = (
    (ROOT / "examples" / "money_transfer" / "README.md").read_text(encoding="utf-8").partition("## On Temporal")
)


@pytest.fixture
def temporal_program() -> Path:
    """The folder of the `temporal` command; had like the program of the server."""
    found = shutil.which("temporal")
    if found is not None:
        return Path(found).parent
    reason = ""
    for fetch in (_temporal_fetch.download, _temporal_fetch.build):
        try:
            return _temporal_cache.fetched(_temporal.PROGRAM, fetch)
        except AbsentError as error:
            reason = str(error)
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(f"CI=true and there is no `temporal` command: {reason}", pytrace=False)
    pytest.skip(f"there is no `temporal` command: {reason}")


@pytest.mark.slow
def test_expense_report(tmp_path: Path, temporal_address: str) -> None:
    """Each command of its page ends well, in the order of the page."""
    terminal = Terminal(tmp_path, {}, temporal_address)
    typed = [*commands_of(EXPENSES)]
    assert len(typed) == 6
    for one in typed:
        terminal.run(one)


@pytest.mark.slow
def test_money_transfer_on_temporal(tmp_path: Path, temporal_address: str) -> None:
    """The story is told on a server too, with a killed worker in it, and the proof holds."""
    terminal = Terminal(tmp_path, {}, temporal_address)
    (story,) = [one for one in commands_of(ON_TEMPORAL) if "--engine temporal" in one.command]
    terminal.run(story)


@pytest.mark.slow
def test_plain_temporal_commands(tmp_path: Path, temporal_address: str, temporal_program: Path) -> None:
    """A transfer is started, looked at, decided about and cancelled by the `temporal` command alone."""
    terminal = Terminal(tmp_path, {"PATH": f"{temporal_program}{os.pathsep}{os.environ['PATH']}"}, temporal_address)
    (worker,) = [one for one in commands_of(ON_TEMPORAL) if one.command.startswith("saga worker ")]
    with terminal.serve(worker) as serving:
        try:
            for one in commands_of(ON_TEMPORAL):
                if one.command.startswith(("export ", "temporal workflow ")):
                    terminal.run(one)
        finally:
            serving.send_signal(signal.SIGINT)
        assert serving.wait(timeout=30) == 0


def test_the_server_of_the_page_listens_where_the_commands_look() -> None:
    """What the other commands are given is the address that `temporal server start-dev` has by itself."""
    commands = [one.command for one in commands_of(ON_TEMPORAL)]
    assert commands[0] == "temporal server start-dev"
    assert all("127.0.0.1:7233" in one for one in commands if "--address" in one or "export" in one)


@pytest.mark.parametrize(
    ("printed", "output", "fits"),
    [
        ("", "anything\n", True),
        ("one", "one\n", True),
        ("one", "one\ntwo\n", False),
        ("...\ntwo", "one\ntwo\n", True),
        ("...two...", "one\ntwo\nthree\n", True),
        ("...two...", "one\nthree\n", False),
        ("a.c", "abc\n", False),
    ],
)
def test_a_page_is_compared_with_what_is_printed(printed: str, output: str, *, fits: bool) -> None:
    """Only `...` stands for anything."""
    assert Typed("command", printed).fits(output) is fits
