"""Entering an engine: cancelled at any moment, on a journal that is not there."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from saga import EmbeddedEngine, Retriable, Saga, SagaError
from saga.errors import JournalError
from saga.kernel import _facts as f
from tests.embedded._shop import Booking, Purchase, Shop, hangs, until_delivered, waits_for
from tests.embedded.conftest import MakeEngine


@pytest.mark.parametrize("after", range(12))
async def test_entering_may_be_cancelled_at_any_moment(make_engine: MakeEngine, shop: Shop, after: int) -> None:
    """Nothing is left open, nothing stays owned, and the next engine goes on at once."""
    shop.before["book.1"] = [hangs, *[waits_for(_opened())] * 5]
    async with make_engine(grace=timedelta(0)) as engine:
        await engine.start(Purchase, 1, id="p-1")
        await until_delivered(shop, "p-1/book.1")
    threads = threading.active_count()

    entering = asyncio.create_task(make_engine(grace=timedelta(0)).__aenter__())
    for _ in range(after):
        await asyncio.sleep(0.001)
    entering.cancel()
    try:
        entered = await entering
    except asyncio.CancelledError:
        pass
    else:  # it was faster
        await entered.__aexit__(None, None, None)
    assert [one.name for one in threading.enumerate() if one.name == "saga-journal-writer"] == []
    assert threading.active_count() <= threads + 2
    async with make_engine() as engine:
        handle = await engine.get(Purchase, "p-1")
        assert len(await handle.result()) == 3
        resumed = [fact async for fact in handle.facts() if isinstance(fact, f.Resumed)]
    assert len(resumed) in {1, 2}, "who took it over says so, and nobody else does"
    assert [fact.epoch for fact in resumed] == sorted({fact.epoch for fact in resumed})
    assert {fact.crashed for fact in resumed} == {None}
    assert shop.deliveries.count("p-1/book.1") <= 1 + len(resumed), "who performs has said that it took over"


def _opened() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


async def test_a_journal_that_cannot_be_opened_leaves_nothing_behind(tmp_path: Path) -> None:
    """No thread, no open engine; the same engine may be entered later."""
    engine = EmbeddedEngine(f"sqlite:///{tmp_path}/missing/journal.db", sagas=[Booking], participants={"shop": Shop()})
    for _ in range(2):
        with pytest.raises(JournalError, match="does not exist"):
            await engine.__aenter__()


async def test_two_sagas_cannot_use_two_functions_of_one_name(tmp_path: Path) -> None:
    """The engine would perform one for both, and money would be charged by the wrong one."""

    def saga_of(name: str) -> type[Saga]:
        def charge(cents: int) -> int:
            raise NotImplementedError

        class Charging(Saga, name=name):
            charge_ = Retriable(charge)

            async def run(self, cents: int) -> int:
                return await self.charge_(cents)

        return Charging

    sagas = [saga_of("One"), saga_of("Other")]
    with pytest.raises(SagaError, match=r"One.charge_ and Other.charge_ use two functions that are both named charge"):
        async with EmbeddedEngine(f"sqlite:///{tmp_path}/j.db", sagas=sagas, participants={}):
            pass
