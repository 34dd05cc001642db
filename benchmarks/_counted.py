"""The counting job: a fixed number of sagas, and what SQLite was asked for them."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable

from sqlalchemy import make_url

from ._cells import Spec, Style
from ._channel import Channel
from ._counting import Counts, counting
from ._dbos import dbos_in_threads
from ._engines import opened
from ._journal_bytes import content_bytes
from ._load import drive_count

WARM_UP_SAGAS = 10


def counted(spec: Spec, channel: Channel) -> None:
    """Run the sagas and answer with the counts per saga."""
    with counting() as counts:
        tally = _Tally(spec, counts)
        if spec.cell.style is Style.THREADS:
            _run_threads(spec, tally)
        else:
            asyncio.run(_run_async(spec, tally))
    channel.say(**tally.answer())


class _Tally:
    """What stood on the counters when the measured sagas began, and when they ended."""

    def __init__(self, spec: Spec, counts: Counts) -> None:
        self._spec = spec
        self._counts = counts
        self._marks: list[tuple[float, int, int, int]] = []

    def mark(self) -> None:
        """Note where the counters stand now."""
        path = make_url(self._spec.url).database or ""
        bytes_kept = content_bytes(path)
        self._marks.append((time.time(), self._counts.flushes, self._counts.statements, bytes_kept))

    def answer(self) -> dict[str, float]:
        """Return the differences per saga, and when the first and the last began."""
        before, after = self._marks
        flushes, statements, kept = ((b - a) / self._spec.count for a, b in zip(before[1:], after[1:], strict=True))
        return {
            "began_epoch_seconds": before[0],
            "ended_epoch_seconds": after[0],
            "flushes_per_saga": flushes,
            "statements_per_saga": statements,
            "journal_bytes_per_saga": kept,
        }


def _run_threads(spec: Spec, tally: _Tally) -> None:
    with dbos_in_threads(spec) as run_one:
        _repeat(run_one, WARM_UP_SAGAS)
        tally.mark()
        _repeat(run_one, spec.count)
        tally.mark()


async def _run_async(spec: Spec, tally: _Tally) -> None:
    numbers = itertools.count()
    async with opened(spec) as run_one:
        await drive_count(run_one, spec.cell.in_flight, WARM_UP_SAGAS, numbers)
        tally.mark()
        await drive_count(run_one, spec.cell.in_flight, spec.count, numbers)
        tally.mark()


def _repeat(run_one: Callable[[int], object], times: int) -> None:
    for number in range(times):
        run_one(number)
