"""What the store's tests share: batches to append, a pen to append them with, and seams that break."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Event

from saga.embedded._append import Batch, Change, NewInstance
from saga.embedded._database import Point, Write
from saga.embedded._store import Store
from saga.embedded._writer import Writer

NOW = datetime(2026, 3, 4, 10, 12, 30, 123456, tzinfo=UTC)
SAGA = "MoneyTransfer"
TIME_ENOUGH = 30.0
"""Seconds after which something that must happen has not happened; no test waits so long when it passes."""


def first(id: str, owner: str = "", *, facts: int = 2, saga: str = SAGA, parent: str | None = None) -> Batch:
    """Return the batch that starts an instance."""
    return Batch(id, 1, 0, pages(0, facts), new=NewInstance(saga, "RUNNING", NOW, owner, parent))


def more(id: str, seq: int, *, epoch: int = 1, facts: int = 1) -> Batch:
    """Return a batch that goes on at `seq`."""
    return Batch(id, epoch, seq, pages(seq, facts))


def last(id: str, seq: int, *, epoch: int = 1, state: str = "COMPLETED", at: datetime = NOW) -> Batch:
    """Return the batch that ends an instance."""
    return Batch(id, epoch, seq, pages(seq, 1), change=Change(state, at, ended=True))


def pages(seq: int, count: int) -> list[tuple[str, str | None]]:
    """Return bodies and payloads that tell their own number."""
    return [(f'{{"n":{number}}}', f'"{number}"') for number in range(seq, seq + count)]


@dataclass(slots=True)
class Pen:
    """Appends to a journal and waits until the writer has answered."""

    store: Store
    writer: Writer

    async def write(self, *batches: Batch) -> None:
        """Submit batches together and raise the first error of any."""
        for error in await self.tried(*batches):
            if error is not None:
                raise error

    async def tried(self, *batches: Batch) -> list[Exception | None]:
        """Submit batches together and return what the writer said of each."""
        async with asyncio.timeout(TIME_ENOUGH):
            return await asyncio.gather(*[self.submitted(batch) for batch in batches])

    def submitted(self, batch: Batch) -> asyncio.Future[Exception | None]:
        """Submit a batch and return what will be said of it."""
        said: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.writer.submit(batch, said.set_result)
        return said


def written(store: Store, id: str) -> list[int]:
    """Return the numbers of an instance's facts, after checking that each is what was appended."""
    rows = store.load(id)
    assert [(body, payload) for _, body, payload in rows] == [pages(seq, 1)[0] for seq, _, _ in rows]
    return [seq for seq, _, _ in rows]


@dataclass(slots=True)
class Sabotage:
    """A seam that raises once, at one point of one kind of write, after letting some pass."""

    write: Write
    point: Point
    error: Callable[[], BaseException]
    passes: int = 0
    struck: int = 0

    def __call__(self, write: Write, point: Point) -> None:
        """Raise, if this is the place and the time."""
        if (write, point) != (self.write, self.point):
            return
        if self.passes:
            self.passes -= 1
        elif not self.struck:
            self.struck += 1
            raise self.error()


@dataclass(slots=True)
class Gate:
    """A seam at which the writer waits, from `shut` until `open`."""

    point: Point = Point.BEFORE_BEGIN
    reached: Event = field(default_factory=Event)
    passable: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        """Begin open."""
        self.passable.set()

    def __call__(self, write: Write, point: Point) -> None:
        """Wait, if the gate is shut."""
        if write is Write.FLUSH and point is self.point and not self.passable.is_set():
            self.reached.set()
            assert self.passable.wait(TIME_ENOUGH)

    def shut(self) -> None:
        """Let the next flush wait."""
        self.reached.clear()
        self.passable.clear()

    def open(self) -> None:
        """Let it go on."""
        self.passable.set()

    async def occupied(self) -> None:
        """Wait until a flush stands at the gate."""
        assert await asyncio.to_thread(self.reached.wait, TIME_ENOUGH)


def ago(seconds: float) -> datetime:
    """Return a time before NOW."""
    return NOW - timedelta(seconds=seconds)
