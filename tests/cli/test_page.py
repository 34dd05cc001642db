"""The reference page of the command line: it names what there is."""

from pathlib import Path

import pytest
import typer.main

from saga.cli._app import application
from saga.cli._exits import ExitCode

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
COMMANDS = getattr(typer.main.get_command(application()), "commands", {})


def test_the_commands_are_known() -> None:
    """The tests below look at every command."""
    assert len(COMMANDS) == 15


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_and_option_is_on_the_page(name: str) -> None:
    """Whoever adds an option writes down what it is for."""
    options = [one for each in COMMANDS[name].params for one in each.opts if one.startswith("--")]
    assert "--json" in options
    assert [one for one in (f"saga {name}", *options) if one not in PAGE] == []


@pytest.mark.parametrize("code", list(ExitCode), ids=lambda code: code.name)
def test_every_exit_code_is_on_the_page(code: ExitCode) -> None:
    """Whoever adds an exit code writes down what it means."""
    assert f"\n| {code.value} | " in PAGE
