"""Which process owns something, told so that another on the same machine can see that it is gone."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ("Process",)

_PROC = Path("/proc")
_ENDED = ("Z", "X")  # killed, and nobody has collected it yet


@dataclass(frozen=True, slots=True)
class Process:
    """One operating system process.

    Attributes:
        host: The machine since its last boot and the namespace of its process ids; empty where the system
            does not tell, and then nobody can see from outside that the process is gone.
        pid: Its process id.
        began: When it started, in the system's own words: a process id may be used again.
    """

    host: str
    pid: int
    began: str

    @classmethod
    def current(cls) -> Process:
        """Return this process."""
        pid = os.getpid()
        return cls(_host(), pid, _stat(pid)[1])

    def sees_gone(self, other: Process) -> bool:
        """Tell whether `other` surely runs no more. False means that it may run."""
        if not self.host or self.host != other.host:
            return False
        if not _exists(other.pid):
            return True
        state, began = _stat(other.pid)
        return state in _ENDED or bool(began and other.began and began != other.began)


def _host() -> str:
    if sys.platform != "linux":
        return ""
    with suppress(OSError):
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.uname().nodename}/{(_PROC / 'self/ns/pid').readlink()}"
    return ""


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it exists and belongs to somebody else
        return True
    return True


def _stat(pid: int) -> tuple[str, str]:
    """Return a process' state and start time, or two empty strings where they cannot be read."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return "", ""
    fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    return fields[0], fields[19]
