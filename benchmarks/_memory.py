"""The memory job: what the process grows by, per open saga that waits for a decision."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
from pathlib import Path

from sqlalchemy import make_url

from ._cells import Spec
from ._channel import Channel
from ._load import drive_count
from ._ours import all_wait, waiting

WARM_UP_SAGAS = 100
"""They fill caches and grow the heap once, so that the rest is weighed alone."""


def memory(spec: Spec, channel: Channel) -> None:
    """Answer with the KiB of resident memory that one open idle saga takes."""
    channel.say(kib_per_saga=asyncio.run(_grown_kib(spec)) / spec.count)


async def _grown_kib(spec: Spec) -> float:
    numbers, path = itertools.count(), make_url(spec.url).database or ""
    async with waiting(spec) as start_one:
        await drive_count(start_one, spec.cell.in_flight, WARM_UP_SAGAS, numbers)
        await all_wait(path, WARM_UP_SAGAS)
        before = resident_kib()
        await drive_count(start_one, spec.cell.in_flight, spec.count, numbers)
        await all_wait(path, WARM_UP_SAGAS + spec.count)
        return resident_kib() - before


def resident_kib() -> float:
    """Return the resident memory of this process, after a collection of garbage."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024
