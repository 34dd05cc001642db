"""Claims, heartbeats, requests, purges and tables: cut short at any point, each is done whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from datetime import timedelta

import pytest

from saga.embedded._append import Answer
from saga.embedded._database import Point, Write
from saga.embedded._store import Store
from saga.errors import JournalWriteError
from tests.embedded.store.conftest import Opener, Pens
from tests.embedded.store.journals import NOW, SAGA, Sabotage, first, last

MORE_THAN_A_LEASE = timedelta(microseconds=1)

ACTS: dict[Write, Callable[[Store], object]] = {
    Write.HEARTBEAT: lambda store: store.ownership().beat(),
    Write.CLAIM: lambda store: store.ownership().claim([SAGA]),
    Write.REQUEST: lambda store: store.requests.put("open", "cancel"),
    Write.PURGE: lambda store: store.purge(ended_before=NOW + timedelta(1)),
}


def all_of(store: Store) -> str:
    """Return all that a journal holds, but for the names of owners."""
    owners = [store.requests.take(found.owner) for found in store.list().instances]
    return str([(found.id, found.epoch, found.state) for found in store.list().instances]) + str(owners)


@pytest.mark.parametrize("point", Point)
@pytest.mark.parametrize("write", ACTS)
async def test_a_write_that_is_cut_short_is_done_or_not(
    pens: Pens, opened: Opener, url: str, write: Write, point: Point
) -> None:
    """The error says that it failed or may have; the journal says which, and doing it again is harmless."""
    pen = pens()
    await pen.write(first("open"), first("ended"), last("ended", 2))
    before = all_of(pen.store)
    broken = Sabotage(write, point, lambda: OSError(errno.EIO, os.strerror(errno.EIO)))
    store = opened(url, seam=broken)
    flushes = store.flushes
    with pytest.raises(JournalWriteError, match="Input/output error"):
        ACTS[write](store)
    assert broken.struck == 1
    assert store.flushes - flushes == int(point is Point.AFTER_COMMIT)
    if point is not Point.AFTER_COMMIT:
        assert all_of(pen.store) == before
    ACTS[write](store)
    await pen.write(first("after"))


@pytest.mark.parametrize("point", Point)
def test_a_journal_whose_making_was_cut_short_is_made_by_the_next(url: str, opened: Opener, point: Point) -> None:
    """Half a set of tables is never seen (C12)."""
    broken = Sabotage(Write.TABLES, point, lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    with pytest.raises(JournalWriteError):
        Store.open(url, seam=broken)
    assert broken.struck == 1
    assert opened(url).count() == {}


@pytest.mark.parametrize("point", Point)
async def test_an_answer_that_is_cut_short_is_given_or_not(pens: Pens, opened: Opener, url: str, point: Point) -> None:
    """Whoever waits sees the answer or none, never half of it (C13)."""
    pen = pens()
    await pen.write(first("a", "me"))
    number = pen.store.requests.put("a", "cancel")
    store = opened(url, seam=Sabotage(Write.REQUEST, point, lambda: OSError(errno.EIO, "broken")))
    with pytest.raises(JournalWriteError):
        store.requests.answer(Answer(number, "done"))
    answered = point is Point.AFTER_COMMIT
    assert pen.store.requests.reply(number).answer == (Answer(number, "done") if answered else None)
