"""The memory job that asks Python: stable for few sagas, where resident memory is mostly the allocator's mood."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc

from ._cells import Spec
from ._channel import Channel
from ._memory import grown_kib


def traced(spec: Spec, channel: Channel) -> None:
    """Answer with the KiB that Python allocated for one open idle saga and that are still in use."""
    channel.say(kib_per_saga=asyncio.run(grown_kib(spec, traced_kib)) / spec.count)


def traced_kib() -> float:
    """Return what was allocated since the first call and is still in use, after a collection of garbage."""
    gc.collect()
    if not tracemalloc.is_tracing():
        tracemalloc.start()
    return tracemalloc.get_traced_memory()[0] / 1024
