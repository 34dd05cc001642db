"""How a child process talks to its parent: JSON lines, with the real stdout kept private."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, TextIO


class Channel:
    """The child's end.

    Whatever a measured library prints goes to stderr: one stray line on stdout would be
    read as a measurement.
    """

    def __init__(self, answers: TextIO) -> None:
        self._answers = answers

    @classmethod
    def over_stdout(cls) -> Channel:
        """Take the process' stdout for answers, and point everybody else's to stderr."""
        private = os.dup(sys.stdout.fileno())
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        return cls(os.fdopen(private, "w", encoding="utf-8"))

    def say(self, **answer: object) -> None:
        """Send one line."""
        self._answers.write(json.dumps(answer) + "\n")
        self._answers.flush()

    def next_command(self) -> dict[str, Any] | None:
        """Wait for the parent's next line; None when it has hung up."""
        line = sys.stdin.readline()
        return json.loads(line) if line.strip() else None
