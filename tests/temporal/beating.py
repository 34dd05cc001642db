"""Sagas whose activities heartbeat by themselves, or wait for a thread; importable, as the sandbox needs."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

from temporalio import activity

from saga import Compensatable, Effect, Retriable, Retry, Saga

QUICK = Retry(attempts=None, first=timedelta(milliseconds=50))
SEEN: dict[str, list[list[object]]] = {}
"""What each attempt found of the heartbeats before it, by instance."""


def _seen() -> int:
    info = activity.info()
    found = SEEN.setdefault(info.workflow_id or "", [])
    found.append(list(info.heartbeat_details))
    return len(found)


@activity.defn
async def export(rows: int) -> int:
    """Say how far it came, hang, fail, and finish."""
    attempt = _seen()
    if attempt == 1:
        activity.heartbeat(rows, "rows")
        await asyncio.sleep(60)
    if attempt == 2:
        raise ConnectionError("lost")
    return rows


@activity.defn
def export_in_thread(rows: int) -> int:
    """Say in a thread how far it came, fail, and finish."""
    if _seen() == 1:
        activity.heartbeat(rows)
        raise ConnectionError("lost")
    return rows


@activity.defn
async def export_long(rows: int) -> int:
    """Say once how far it came, and hang for longer than the wrapper waits to give a sign of life."""
    if _seen() == 1:
        activity.heartbeat(rows)
        await asyncio.sleep(60)
    return rows


class Exported(Saga):
    """Exports with an activity that heartbeats."""

    export = Retriable(export, timeout=timedelta(seconds=1), retry=QUICK)

    async def run(self, rows: int) -> int:
        """Export."""
        return await self.export(rows)


class ExportedInThread(Saga):
    """Exports in a thread."""

    export = Retriable(export_in_thread, retry=QUICK)

    async def run(self, rows: int) -> int:
        """Export."""
        return await self.export(rows)


class ExportedLong(Saga):
    """Exports for long enough that the wrapper heartbeats, too."""

    export = Retriable(export_long, timeout=timedelta(seconds=2), retry=QUICK)

    async def run(self, rows: int) -> int:
        """Export."""
        return await self.export(rows)


class Gate:
    """Holds the only thread until it is opened."""

    def __init__(self) -> None:
        self.held = threading.Event()
        self.open = threading.Event()
        self.acts: list[str] = []


GATE = Gate()


def block(number: int) -> int:
    """Hold the thread."""
    GATE.held.set()
    GATE.open.wait(60)
    return number


def act(number: int) -> int:
    """Act, in a thread."""
    GATE.acts.append("acted")
    return number


async def compensate(effect: Effect[int, int]) -> None:
    """Compensate, without a thread."""
    GATE.acts.append(f"compensated, in doubt: {effect.in_doubt}")


class Blocking(Saga):
    """Takes the thread."""

    block = Retriable(block)

    async def run(self, number: int) -> int:
        """Hold the thread until the gate opens."""
        return await self.block(number)


class Waiting(Saga):
    """Waits for the thread for longer than its time limit."""

    act = Compensatable(
        act, timeout=timedelta(seconds=1), settle_time=timedelta(milliseconds=100), retry=Retry(attempts=1)
    ).compensated_by(compensate)

    async def run(self, number: int) -> int:
        """Act."""
        return await self.act(number)
