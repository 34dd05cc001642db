"""A machine whose disk, connections and power fail at one point: of a write, or before or after an effect."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from typing import Any
from unittest.mock import patch

from saga.embedded import _open
from saga.embedded._append import Appender, Batch
from saga.embedded._database import Point, Write
from saga.embedded._store import Store
from saga.kernel import Fact, decode_fact
from saga.kernel._names import split_role

POWER_LOSS = "power loss"
ERRORS = {
    "EIO": (sqlite3.SQLITE_IOERR, "disk I/O error"),
    "ENOSPC": (sqlite3.SQLITE_FULL, "database or disk is full"),
    "BUSY": (sqlite3.SQLITE_BUSY, "database is locked"),
    "disconnect": (None, "server closed the connection unexpectedly"),
}


class PowerLossError(OSError):
    """The machine is gone: nothing that the engine does from now on reaches anybody."""


@dataclass(frozen=True, slots=True)
class Where:
    """A point: of a write, with the facts that it carries, or of an activity's effect."""

    what: str
    when: str
    facts: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.when} of {self.what}"


class Machine:
    """One life of a machine: it writes its points down, and fails at one of them.

    Args:
        fault: What happens there.
        at: Number of the point, from 0.
    """

    def __init__(self, fault: str = "", at: int = -1) -> None:
        self.points: list[Where] = []
        self.dead = False
        self.failed_at: Where | None = None
        self.fault = fault
        self._at = at
        self._flushing: frozenset[str] = frozenset()
        self._lock = Lock()

    def seam(self, write: Write, point: Point) -> None:
        """Stand in for the store's seam."""
        carried = self._flushing if write is Write.FLUSH else frozenset()
        if self._reached(Where(write.value, point.value, carried)):
            raise error_of(self.fault)

    def effect(self, key: str, when: str) -> None:
        """Stand between a participant and its effect."""
        if self._reached(Where("activity", f"{when} effect", frozenset({split_role(key)[1].value}))):
            raise ConnectionError(f"{key} was cut short")

    def flushing(self, facts: frozenset[str]) -> None:
        """Take note of what the next flush carries."""
        self._flushing = facts

    def _reached(self, where: Where) -> bool:
        with self._lock:
            if self.dead:
                raise PowerLossError("the machine is gone")
            self.points.append(where)
            if len(self.points) - 1 != self._at:
                return False
            self.failed_at = where
            if self.fault == POWER_LOSS:
                self.dead = True
                raise PowerLossError("the machine is gone")
            return True


def error_of(fault: str) -> Exception:
    """Return what the driver raises."""
    code, text = ERRORS[fault]
    error = sqlite3.OperationalError(text)
    if code is not None:
        error.sqlite_errorcode = code
    return error


@contextmanager
def running_on(machine: Machine) -> Iterator[None]:
    """Let every journal that is opened meanwhile pass the machine's points."""

    class Opener:
        @staticmethod
        def open(url: str, **options: Any) -> Store:
            return Store.open(url, patience=timedelta(seconds=1), seam=machine.seam, **options)

    append = Appender.append

    def noted(self: Appender, batches: list[Batch]) -> None:
        rows = [fact for batch in batches for fact in batch.facts]
        machine.flushing(frozenset(told(decode_fact(*row)) for row in rows))
        append(self, batches)

    with patch.object(_open, "Store", Opener), patch.object(Appender, "append", noted):
        yield


def told(fact: Fact) -> str:
    """What a fact is, and of which role."""
    call = getattr(fact, "call", None)
    role = split_role(call)[1].value if isinstance(call, str) else ""
    return f"{fact.fact} {role}".strip()
