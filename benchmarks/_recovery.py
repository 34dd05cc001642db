"""The recovery job: how fast open sagas come back, against a raw read of the same rows."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, Final, TypeAlias

from sqlalchemy import make_url

from ._arithmetic import median
from ._cells import Spec
from ._channel import Channel
from ._engines import waiting
from ._load import drive_count
from ._ours import (
    RAW_JSON,
    RAW_QUERY,
    fill_completed,
    folded,
    ours,
    recover,
    reopened,
    replayed,
)

READS: Final = 5

Times: TypeAlias = tuple[float, float]
"""Seconds of claiming the sagas, and of reading them."""

Way: TypeAlias = Callable[[Spec], Times]


def recovery(spec: Spec, channel: Channel) -> None:
    """Answer with the median seconds of each way to read the open sagas.

    All ways take turns, so that all see the same cache and the same weather.
    """
    asyncio.run(_leave_open(spec))
    alone = _in_turns(spec, raw=_raw, raw_bodies_only=_raw_bodies, scan=_scan, replay=_replay)
    fill_completed(make_url(spec.url).database or "", f"purchase-{os.getpid()}-1", spec.completed)
    beside = _in_turns(spec, scan=_scan)
    seconds = {name: median([read for _, read in times]) for name, times in alone.items()}
    opened = {"opened": _opened(alone["scan"]), "opened_beside_completed": _opened(beside["scan"])}
    gc.collect()
    channel.say(**seconds, **opened, engine_opened=asyncio.run(reopened(spec)))


async def _leave_open(spec: Spec) -> None:
    """Complete one saga, start the others, and close the engine while each waits for its decision."""
    async with ours(spec) as run_one:
        await run_one(1)
    async with waiting(spec) as opened:
        await drive_count(opened.start_one, spec.cell.in_flight, spec.count, itertools.count())
        await opened.all_wait(spec.count)


def _in_turns(spec: Spec, **ways: Way) -> dict[str, list[Times]]:
    """Return the times of each way, turn by turn."""
    times: dict[str, list[Times]] = {name: [] for name in ways}
    for _ in range(READS):
        for name, way in ways.items():
            gc.collect()  # a way must not pay for what the one before it left behind
            times[name].append(way(spec))
    return times


def _opened(times: list[Times]) -> float:
    """Return the median of claiming and reading together: neither may grow with history."""
    return median([claimed + read for claimed, read in times])


def _scan(spec: Spec) -> Times:
    return _recovered(spec, folded)


def _replay(spec: Spec) -> Times:
    return _recovered(spec, replayed)


def _recovered(spec: Spec, build: Callable[[Any], object]) -> Times:
    found, claimed, read = recover(spec.url, build)
    if found != spec.count:
        raise RuntimeError(f"recovery found {found} open sagas of {spec.count}")
    return claimed, read


def _raw(spec: Spec) -> Times:
    """Select the rows that a scan reads, in its order, and decode their JSON: nothing else."""
    return _raw_read(spec, RAW_JSON)


def _raw_bodies(spec: Spec) -> Times:
    """Decode the facts' bodies alone: reported beside it, because a scan leaves payloads as text."""
    return _raw_read(spec, RAW_JSON[:1])


def _raw_read(spec: Spec, columns: Sequence[int]) -> Times:
    with closing(sqlite3.connect(make_url(spec.url).database or "")) as connection:
        began = time.perf_counter()
        for row in connection.execute(RAW_QUERY).fetchall():
            for column in columns:
                json.loads(row[column] or "null")
        return 0.0, time.perf_counter() - began
