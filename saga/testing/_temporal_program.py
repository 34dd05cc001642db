"""Programs that end when the block ends, and also when this process is killed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from saga.testing import _temporal_guard

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

__all__ = ("Program", "guarded")

STOP_SECONDS = _temporal_guard.STOP_SECONDS + 5
TOLD_BYTES = 2000


@dataclass(frozen=True, slots=True)
class Program:
    """A program that runs under guard."""

    guard: subprocess.Popen[bytes]
    log: IO[bytes]

    def ended(self, seconds: float = 0) -> bool:
        """Whether it ends within that time."""
        try:
            self.guard.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self.guard.poll()

    def told(self) -> str:
        """Return the last of what it wrote."""
        file = self.log.fileno()
        start = max(0, os.fstat(file).st_size - TOLD_BYTES)
        said = os.pread(file, TOLD_BYTES, start)  # a seek would move where the program writes
        return said.decode(errors="replace").strip()


@contextmanager
def guarded(command: Sequence[str | Path], environment: Mapping[str, str]) -> Generator[Program]:
    """Run the program until the block ends; it works in a temporary folder of its own."""
    guard = [sys.executable, "-I", "-S", _temporal_guard.__file__]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603 - a program of this machine, arguments of our own
            [*guard, *map(str, command)],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the tests: they still need the server to clean up
        )
        try:
            yield Program(process, log)
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.communicate(b".", STOP_SECONDS)  # a forked child may hold the pipe open, so closing is not enough
    except subprocess.TimeoutExpired:
        process.terminate()  # a guard that is killed would leave the program behind
        process.communicate()
