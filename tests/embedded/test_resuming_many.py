"""Opening a journal with many open instances: quickly, and without keeping others from the loop."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from saga.embedded import _stage
from saga.embedded._collector import collector_resting
from saga.embedded._store import Store
from tests.embedded._shop import Booking, Shop, hangs
from tests.embedded.conftest import MakeEngine

MANY = 40


@pytest.fixture(autouse=True)
def _collecting() -> Iterator[None]:
    gc.enable()
    yield
    gc.enable()


async def leave_open(make_engine: MakeEngine, shop: Shop) -> None:
    """Leave many instances to the next engine."""
    shop.before |= {"book.1": [hangs] * MANY}
    async with make_engine(sagas=[Booking]) as engine:
        await asyncio.gather(*(engine.start(Booking, 1, id=f"b-{number}") for number in range(MANY)))
        while len(shop.deliveries) < MANY:
            await asyncio.sleep(0.005)
        engine._settings = replace(engine._settings, grace=timedelta(0))  # nobody waits for what hangs
    shop.before.clear()


async def test_others_have_their_turn_while_instances_are_resumed(
    make_engine: MakeEngine, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are, the loop is given back again and again."""
    await leave_open(make_engine, shop)
    monkeypatch.setattr(_stage, "_TURN", 0.0)
    turns: list[int] = []
    resumed: list[int] = []
    resume = _stage.Stage._resume

    def counted(self: _stage.Stage, *loaded: object) -> None:
        resumed.append(len(turns))
        resume(self, *loaded)  # type: ignore[arg-type]

    monkeypatch.setattr(_stage.Stage, "_resume", counted)

    async def ticks() -> None:
        while True:
            turns.append(1)
            await asyncio.sleep(0)

    ticking = asyncio.create_task(ticks())
    async with make_engine(sagas=[Booking]) as engine:
        ticking.cancel()
        assert len(resumed) == MANY
        assert resumed[-1] - resumed[0] >= MANY - 1
        for number in range(MANY):
            assert len(await engine.run(Booking, 1, id=f"b-{number}")) == 1


async def test_no_garbage_is_collected_while_instances_are_read_and_resumed(
    make_engine: MakeEngine, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is none, and looking for it takes longer than all the rest; after that it is as it was."""
    await leave_open(make_engine, shop)
    seen: list[bool] = []
    resume, load = _stage.Stage._resume, Store._load_some

    def noted(self: _stage.Stage, *loaded: object) -> None:
        seen.append(gc.isenabled())
        resume(self, *loaded)  # type: ignore[arg-type]

    def read(self: Store, *claimed: object) -> object:
        seen.append(gc.isenabled())
        return load(self, *claimed)  # type: ignore[arg-type]

    monkeypatch.setattr(_stage.Stage, "_resume", noted)
    monkeypatch.setattr(Store, "_load_some", read)
    async with make_engine(sagas=[Booking]):
        assert gc.isenabled()
    assert seen == [False] * (MANY + 1)


@pytest.mark.parametrize("at_work", [True, False])
def test_the_collector_is_left_as_it_was_found(*, at_work: bool) -> None:
    """Also if what happens meanwhile fails: an application may have switched it off itself."""
    if not at_work:
        gc.disable()
    with pytest.raises(KeyError), collector_resting():
        assert not gc.isenabled()
        raise KeyError
    assert gc.isenabled() == at_work
