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

__all__ = ("main",)

STOP_SECONDS = 10
STANDARD_INPUT = 0
NOT_FOUND = 127  # what a shell says


def main(command: list[str]) -> int:
    """Run the program until it ends or a byte, or the end, comes in; return its exit status."""
    os.umask(0o077)
    signals = _signals()
    with TemporaryDirectory(prefix="saga-server-", ignore_cleanup_errors=True) as folder:
        try:
            program = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL)  # noqa: S603 - what we are for
        except OSError as error:
            print(error, file=sys.stderr)  # noqa: T201 - whoever started this reads it
            return NOT_FOUND
        for source in (STANDARD_INPUT, signals):
            threading.Thread(target=_end_with_input, args=(program, source), daemon=True).start()
        return program.wait()


def _signals() -> int:
    """Return where a byte comes in for each signal to end; raising could lose a program just started."""
    source, target = os.pipe()

    def say(_signal: int, _frame: object) -> None:
        os.write(target, b".")

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, say)
    return source


def _end_with_input(program: subprocess.Popen[bytes], source: int) -> None:
    os.read(source, 1)  # not sys.stdin: its lock would be held when this process ends
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
