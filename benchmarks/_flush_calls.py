"""The cross-check below SQLite: flushes that the kernel saw, where strace can be had."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final

_CALL: Final = re.compile(r"^\d+\s+(?P<at>\d+\.\d+)\s+(?:fsync|fdatasync)\(")


def strace(output: Path) -> tuple[str, ...]:
    """Return the command that notes every flush of the program after it; empty without strace."""
    program = shutil.which("strace")
    if program is None:
        return ()
    return (
        program,
        "-f",
        "-qq",
        "-ttt",
        "-e",
        "trace=fsync,fdatasync",
        "-e",
        "signal=none",
        "-o",
        str(output),
    )


def flush_calls(lines: list[str], began: float, ended: float) -> int:
    """Count the calls that began between two instants, in seconds since the epoch.

    >>> flush_calls(["7 10.5 fdatasync(3) = 0", "7 99.0 fsync(3) = 0"], 10.0, 11.0)
    1
    """
    calls = (match for match in map(_CALL.match, lines) if match)
    return sum(began <= float(match["at"]) <= ended for match in calls)
