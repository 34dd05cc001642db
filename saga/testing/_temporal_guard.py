"""A program of its own: runs another for as long as standard input stays open, in a folder that goes with it.

Whoever starts a server holds the other end of the pipe. When that process is gone, by whatever signal, the
pipe closes and the server is ended; a clean-up of the process itself would not run then.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from tempfile import TemporaryDirectory
from typing import NoReturn

__all__ = ("main",)

STOP_SECONDS = 10
NOT_FOUND = 127  # what a shell says


def main(command: list[str]) -> int:
    """Run the program until it ends or a byte, or the end, comes in; return its exit status."""
    os.umask(0o077)
    signal.signal(signal.SIGTERM, _leave)
    with TemporaryDirectory(prefix="saga-server-", ignore_cleanup_errors=True) as folder:
        try:
            program = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL)  # noqa: S603 - what we are for
        except OSError as error:
            print(error, file=sys.stderr)  # noqa: T201 - whoever started this reads it
            return NOT_FOUND
        try:
            threading.Thread(target=_end_with_input, args=(program,), daemon=True).start()
            return program.wait()
        finally:
            _end(program)


def _leave(_signal: int, _frame: object) -> NoReturn:
    sys.exit(0)


def _end_with_input(program: subprocess.Popen[bytes]) -> None:
    os.read(0, 1)  # not sys.stdin: its lock would be held when this process ends
    _end(program)


def _end(program: subprocess.Popen[bytes]) -> None:
    program.terminate()
    try:
        program.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
