"""Journals on SQLite and on a real PostgreSQL, closed when the test ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from saga.embedded._database import Seam, undisturbed
from saga.embedded._store import PATIENCE, Store
from tests.embedded.store.journals import Pen

PenOn = Callable[[Store], Pen]
Opener = Callable[..., Store]


class Pens(Protocol):
    """Makes pens."""

    def __call__(self, *, seam: Seam = undisturbed) -> Pen:
        """Open the test's journal and start a writer on it."""
        ...


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'journal.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database of each kind."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture
def opened() -> Generator[Opener]:
    """Open journals that are closed again."""
    with ExitStack() as stack:

        def open_(url: str, **options: object) -> Store:
            store = Store.open(url, **{"patience": PATIENCE, **options})  # type: ignore[arg-type]  # as it is given
            stack.callback(store.close)
            return store

        yield open_


@pytest.fixture
def store(opened: Opener, url: str) -> Store:
    """A new journal."""
    return opened(url)


@pytest.fixture
async def pen_on() -> AsyncGenerator[Callable[[Store], Pen]]:
    """Start writers on journals; they are closed again."""
    made: list[Pen] = []

    def start(store: Store) -> Pen:
        made.append(Pen(store, store.writer(asyncio.get_running_loop())))
        return made[-1]

    yield start
    for pen in made:
        await asyncio.to_thread(pen.writer.close)


@pytest.fixture
async def pens(opened: Opener, url: str, pen_on: Callable[[Store], Pen]) -> Pens:
    """Make pens on the test's journal; each has a store of its own, as another process would."""

    def make(*, seam: Seam = undisturbed) -> Pen:
        return pen_on(opened(url, seam=seam))

    return make


@pytest.fixture
async def pen(pens: Pens) -> Pen:
    """A pen on a new journal."""
    return pens()
