"""The recovery job: how fast open sagas come back, against a raw read of the same rows."""

from __future__ import annotations

import asyncio
import itertools
import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from typing import Final

from sqlalchemy import make_url

from ._arithmetic import median
from ._cells import Spec
from ._channel import Channel
from ._load import drive_count
from ._ours import RAW_BODY, RAW_QUERY, fill_completed, replay, scan, waiting

READS: Final = 5
REPLAYS: Final = 3


def recovery(spec: Spec, channel: Channel) -> None:
    """Answer with the median seconds of each way to read the open sagas.

    The raw read and the scan take turns, so that both see the same cache.
    """
    path = make_url(spec.url).database or ""
    asyncio.run(_leave_open(spec))
    raw, scanned = _in_turns(path, spec.count)
    replayed = [seconds(lambda: asyncio.run(replay(spec))) for _ in range(REPLAYS)]
    fill_completed(path, spec.completed)
    _, beside = _in_turns(path, spec.count)
    channel.say(raw=raw, scan=scanned, replay=median(replayed), scan_beside_completed=beside)


async def _leave_open(spec: Spec) -> None:
    """Start the sagas, and close the engine while each waits for its decision."""
    async with waiting(spec) as start_one:
        await drive_count(start_one, spec.cell.in_flight, spec.count, itertools.count())


def _in_turns(path: str, expected: int) -> tuple[float, float]:
    raw: list[float] = []
    scanned: list[float] = []
    for _ in range(READS):
        raw.append(seconds(lambda: raw_read(path)))
        scanned.append(seconds(lambda: _complete(scan(path), expected)))
    return median(raw), median(scanned)


def _complete(found: int, expected: int) -> None:
    """A scan that misses sagas is no measurement."""
    if found != expected:
        raise RuntimeError(f"the scan found {found} open sagas of {expected}")


def raw_read(path: str) -> None:
    """Select the rows that a scan reads, in its order, and decode each body: nothing else."""
    with closing(sqlite3.connect(path)) as connection:
        for row in connection.execute(RAW_QUERY).fetchall():
            json.loads(row[RAW_BODY])


def seconds(act: Callable[[], None]) -> float:
    """Return how long `act` takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began
