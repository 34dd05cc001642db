"""Closed-loop load: so many in flight, counted in a window that opens when all is warm."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from ._arithmetic import quantile

COUNTED_SHARE: Final = 0.75
"""Of a burst."""

RunOne: TypeAlias = Callable[[int], Awaitable[object]]
RunOneInThread: TypeAlias = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Round:
    """What one cell did in one window.

    Attributes:
        sagas: sagas that ended inside the window.
        seconds: length of the window.
        p50_ms: median latency of those sagas.
        p99_ms: 99th percentile of their latency.
        cpu_ms_per_saga: processor time of the whole process, every thread, per saga.
    """

    sagas: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_ms_per_saga: float

    @property
    def sagas_per_second(self) -> float:
        """The rate of the window."""
        return self.sagas / self.seconds


@dataclass(slots=True)
class Window:
    """Collects what ends between its opening and its closing.

    Sagas that began before it opened count, sagas that end after it closed do not: so the
    load is steady at both edges, and neither an empty start nor a slow tail is charged.
    """

    opens: float
    closes: float
    latencies: list[float] = field(default_factory=list[float])
    cpu_opened: float = 0.0
    cpu_closed: float = 0.0

    def note(self, began: float, ended: float) -> None:
        """Count a saga that took from `began` to `ended`, if it ended inside."""
        if not self.opens <= ended <= self.closes:
            return
        if not self.latencies:
            self.cpu_opened = time.process_time()
        self._count(began, ended)

    def _count(self, began: float, ended: float) -> None:
        self.cpu_closed = time.process_time()
        self.latencies.append(ended - began)

    def result(self) -> Round:
        """Return the round.

        Raises:
            RuntimeError: if nothing ended inside the window.
        """
        count = len(self.latencies)
        if count == 0:
            raise RuntimeError("no saga ended inside the window: make it longer")
        sagas, seconds = self._ended()
        return Round(
            sagas=sagas,
            seconds=seconds,
            p50_ms=1000 * quantile(self.latencies, 0.5),
            p99_ms=1000 * quantile(self.latencies, 0.99),
            cpu_ms_per_saga=1000 * (self.cpu_closed - self.cpu_opened) / count,
        )

    def _ended(self) -> tuple[int, float]:
        """Return how many sagas count, and in which time they ended."""
        return len(self.latencies), self.closes - self.opens


@dataclass(slots=True)
class Burst(Window):
    """Collects everything that was started before it closed, and lasts until three quarters of it have ended.

    Where a saga takes seconds, a window would wait for its first end and leave out as many sagas as are in flight.
    Here the empty start is charged, to everybody alike. The last quarter is not: now and then a Temporal server holds
    tasks back for two seconds, whoever sent them, and a few such sagas at the end would decide the round.
    """

    ends: list[float] = field(default_factory=list[float])

    def note(self, began: float, ended: float) -> None:
        """Count a saga that took from `began` to `ended`."""
        self.ends.append(ended)
        self._count(began, ended)

    def _ended(self) -> tuple[int, float]:
        last = quantile(self.ends, COUNTED_SHARE)
        return sum(ended <= last for ended in self.ends), last - self.opens


def burst(seconds: float) -> Burst:
    """Return a burst that opens now, and in which sagas are started for so long."""
    opens = time.perf_counter()
    return Burst(opens, opens + seconds, cpu_opened=time.process_time())


def window(warm_up_seconds: float, seconds: float) -> Window:
    """Return a window that opens after the warm-up."""
    opens = time.perf_counter() + warm_up_seconds
    return Window(opens, opens + seconds)


async def drive(run_one: RunOne, in_flight: int, measured: Window, numbers: itertools.count[int]) -> Round:
    """Keep `in_flight` sagas going on this loop until the window closes."""

    async def worker() -> None:
        while (began := time.perf_counter()) < measured.closes:
            await run_one(next(numbers))
            measured.note(began, time.perf_counter())

    async with asyncio.TaskGroup() as workers:
        for _ in range(in_flight):
            workers.create_task(worker())
    return measured.result()


def drive_threads(run_one: RunOneInThread, threads: int, measured: Window, numbers: itertools.count[int]) -> Round:
    """Keep one saga going on each of `threads` threads until the window closes."""

    def worker() -> None:
        while (began := time.perf_counter()) < measured.closes:
            run_one(next(numbers))
            measured.note(began, time.perf_counter())

    in_threads(worker, threads)
    return measured.result()


async def drive_count(run_one: RunOne, in_flight: int, sagas: int, numbers: Iterator[int]) -> None:
    """Run exactly `sagas` sagas, at most `in_flight` at once."""
    left = iter(range(sagas))

    async def worker() -> None:
        for _ in left:
            await run_one(next(numbers))

    async with asyncio.TaskGroup() as workers:
        for _ in range(in_flight):
            workers.create_task(worker())


def in_threads(worker: Callable[[], None], threads: int) -> None:
    """Run `worker` on every thread, and raise the first error that one of them met."""
    errors: list[Exception] = []

    def guarded() -> None:
        try:
            worker()
        except Exception as error:  # noqa: BLE001 - it is raised again where it can be seen
            errors.append(error)

    running = [threading.Thread(target=guarded, daemon=True) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if errors:
        raise errors[0]
