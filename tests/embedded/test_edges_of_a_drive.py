"""The edges of a drive: what it writes after bad news, what a flush waits for, how often an activity is tried."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import pytest

from saga import Compensatable, Effect, ReadOnly, Retry, Saga, SagaError
from saga.embedded._writer import Writer
from saga.kernel import Cancel
from saga.kernel import facts as f
from tests.embedded._shop import Purchase, Shop, hangs, until_delivered
from tests.embedded.conftest import MakeEngine


def find(number: int) -> int:
    """Fail as code does that finds nothing."""
    return next(one for one in [1, 2] if one == number)


class Finding(Saga):
    """Looks something up in a thread."""

    find = ReadOnly(find, retry=Retry(attempts=1))

    async def run(self, number: int) -> int:
        return await self.find(number)


async def test_whoever_lost_the_race_for_an_id_writes_nothing(
    make_engine: MakeEngine, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even what comes in right behind the bad news: both write under epoch 1, so the journal could not tell."""
    shop.before["book.1"] = [hangs]
    async with make_engine() as owner, make_engine() as loser:
        handle = await owner.start(Purchase, 1, id="p-1")
        await until_delivered(shop, "p-1/book.1")
        tell = Writer._tell

        def at_once(writer: Writer, verdicts: list[object], failures: dict[str, SagaError]) -> None:
            drive = loser._open.stage.drives.get("p-1")  # type: ignore[union-attr]
            tell(writer, verdicts, failures)  # type: ignore[arg-type]
            if failures and drive is not None:
                drive.request(Cancel(by="somebody"))

        monkeypatch.setattr(Writer, "_tell", at_once)
        await loser.start(Purchase, 1, id="p-1")
        await asyncio.sleep(0.05)
        journal = await handle._journals.journal("p-1")
        assert [fact.fact for fact in journal] == ["SagaStarted", "CallRegistered"]


async def test_a_flush_waits_for_nothing_that_comes_later(make_engine: MakeEngine, shop: Shop) -> None:
    """What was recorded when it was asked for is enough, or a busy instance would never be acknowledged anything."""
    shop.before["book.1"] = [hangs]
    async with make_engine() as engine:
        await engine.start(Purchase, 1, id="p-1")
        await until_delivered(shop, "p-1/book.1")
        drive = engine._open.stage.drives["p-1"]  # type: ignore[union-attr]
        now = drive.now()
        drive.record([f.CancelRequested(at=now, by="one")])
        first = drive.flush()
        drive._submitted += 1  # something that the writer has not seen
        await asyncio.wait_for(first, 5)
        drive._submitted -= 1


async def test_a_lookup_that_finds_nothing_is_told(make_engine: MakeEngine) -> None:
    """`StopIteration` is a failure like every other, although no future can hold it."""
    async with make_engine(sagas=[Finding]) as engine:
        with pytest.raises(SagaError, match="StopIteration"):
            await asyncio.wait_for(engine.run(Finding, 7, id="f-1"), 10)


async def test_the_attempts_of_a_former_owner_count(make_engine: MakeEngine) -> None:
    """A policy of three attempts makes three, however many owners make them."""
    TRIED.clear()
    async with make_engine(sagas=[Lossy], grace=timedelta(0)) as engine:
        await engine.start(Lossy, 1, id="l-1")
        while len(TRIED) < 2:
            await asyncio.sleep(0.005)
    async with make_engine(sagas=[Lossy]) as engine:
        with pytest.raises(SagaError):
            await engine.run(Lossy, 1, id="l-1")
    assert len(TRIED) == 3


TRIED: list[int] = []


async def lose(number: int) -> int:
    """Lose the answer, and hang the second time."""
    TRIED.append(number)
    if len(TRIED) == 2:
        await asyncio.Event().wait()
    raise ConnectionError("lost")


async def regain(effect: Effect[int, int]) -> None:
    """Nothing to do."""


class Lossy(Saga):
    """One step that never answers."""

    lose = Compensatable(
        lose, retry=Retry(attempts=3, first=timedelta(milliseconds=1)), safe_to_overtake=True
    ).compensated_by(regain)

    async def run(self, number: int) -> int:
        return await self.lose(number)


async def test_a_thread_begins_nothing_once_the_lease_has_passed(make_engine: MakeEngine) -> None:
    """What waited for a free thread is not begun by a process that may have lost its instances meanwhile."""
    BEGUN.clear()
    FREE.clear()
    async with make_engine(sagas=[Threaded], threads=1) as engine:
        running = [asyncio.create_task(engine.run(Threaded, number, id=f"t-{number}")) for number in (1, 2)]
        while not BEGUN:
            await asyncio.sleep(0.002)
        tenure = engine._open._performer._tenure  # type: ignore[union-attr]
        until, tenure._until = tenure._until, 0.0
        FREE.set()
        await asyncio.sleep(0.05)
        assert len(BEGUN) == 1
        tenure._until = until
        await engine._open._tending.beat()  # type: ignore[union-attr]
        await asyncio.gather(*running)
    assert len(BEGUN) == 2


BEGUN: list[int] = []
FREE = threading.Event()


def wait(number: int) -> int:
    """Note that it began, and wait."""
    BEGUN.append(number)
    FREE.wait(10)
    return number


class Threaded(Saga):
    """One step in a thread."""

    wait = ReadOnly(wait)

    async def run(self, number: int) -> int:
        return await self.wait(number)
