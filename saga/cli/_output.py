"""Where output goes: people on a terminal, people at the end of a pipe, and programs."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import Any

from rich.console import Console as RichConsole
from rich.text import Text

__all__ = ("console", "noted", "print_json", "state_style", "write_raw_json")

_UNBOUNDED = 10_000  # columns, where nobody's terminal limits them

_STYLES = {
    "RUNNING": "cyan",
    "COMPENSATING": "yellow",
    "COMPLETED": "green",
    "COMPENSATED": "magenta",
    "STUCK": "bold red",
    "done": "green",
    "skipped": "green",
    "rejected": "red",
    "in doubt": "red",
    "in flight": "cyan",
}


def state_style(state: str) -> str:
    """Return how the state of an instance or a call is coloured, where there are colours."""
    return _STYLES.get(state, "")


class Console(RichConsole):
    """Where people read."""

    def on_broken_pipe(self) -> None:
        """Leave it to the command: Rich's own exit code for a reader that went away is 1, which means no."""
        raise  # noqa: PLE0704 - Rich calls this while it handles the error


def console(*, stderr: bool = False) -> Console:
    """Return where people read: without colours unless it is a terminal, and as wide as it is."""
    stream = sys.stderr if stderr else sys.stdout
    bounded = stream.isatty() or "COLUMNS" in os.environ
    return Console(
        stderr=stderr,
        width=None if bounded else _UNBOUNDED,
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=False,
    )


def noted(text: str) -> None:
    """Say something beside the output, to whoever reads along."""
    console(stderr=True).print(Text(text), soft_wrap=True)


def print_json(value: Any, *, indent: int | None = 2) -> None:  # any JSON value
    """Print a value as JSON."""
    sys.stdout.write(json.dumps(value, indent=indent) + "\n")


def write_raw_json(text: str) -> None:
    """Write JSON text as one line, in ASCII: nobody knows what the reader of a pipe expects."""
    line = re.sub(r"[^\x00-\x7f]", lambda found: json.dumps(found[0])[1:-1], text)
    sys.stdout.write(re.sub(r"[\r\n]", " ", line) + "\n")  # between values; inside of a text JSON escapes them
