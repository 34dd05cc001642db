"""The memory jobs: what a process grows by, per open saga that waits for a decision."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ._cells import Spec
from ._channel import Channel
from ._engines import waiting
from ._load import drive_count

MOST_WARM_UP_SAGAS: Final = 100
"""They fill caches and grow the heap once, so that the rest is weighed alone."""


def memory(spec: Spec, channel: Channel) -> None:
    """Answer with the KiB of resident memory that one open idle saga takes."""
    channel.say(kib_per_saga=asyncio.run(grown_kib(spec, resident_kib)) / spec.count)


async def grown_kib(spec: Spec, weigh: Callable[[], float]) -> float:
    """Return what the process grows by while so many sagas more come to wait."""
    numbers, warm_up = itertools.count(), min(MOST_WARM_UP_SAGAS, spec.count)
    async with waiting(spec) as opened:
        await drive_count(opened.start_one, spec.cell.in_flight, warm_up, numbers)
        await opened.all_wait(warm_up)
        before = weigh()
        await drive_count(opened.start_one, spec.cell.in_flight, spec.count, numbers)
        await opened.all_wait(warm_up + spec.count)
        return weigh() - before


def resident_kib() -> float:
    """Return the resident memory of this process, after a collection of garbage."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024
