"""Checks of the engine's protections: each passes with the protection, and raises `UnprotectedError` without it."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from saga import (
    Compensatable,
    EmbeddedEngine,
    Retry,
    Saga,
    SagaCompensatedError,
    SagaStuckError,
    StepRejected,
)
from saga.embedded._database import Point, Write
from saga.embedded._store import Store
from saga.errors import IdReusedError, SagaError
from saga.kernel import _facts as f
from saga.kernel import decode_fact
from tests.embedded._crash import scenario
from tests.embedded._machine import ERRORS, POWER_LOSS, Machine, running_on
from tests.embedded._shop import Booking, Purchase, Shop, hangs, waits_for
from tests.embedded._shop import shop as stand_in
from tests.embedded._topologies import SEQUENCES

SOON = timedelta(milliseconds=50)
QUICK = timedelta(seconds=0.4)


class UnprotectedError(AssertionError):
    """The check noticed that something is not protected."""


def must(condition: object, text: str) -> None:
    """Raise if a protection does not hold."""
    if not condition:
        raise UnprotectedError(text)


def engine_on(folder: Path, shop: Shop, **options: Any) -> EmbeddedEngine:
    """An engine on the test's journal."""
    settings: dict[str, Any] = {"sagas": [Purchase, Booking, Doubtful], "participants": {"shop": shop}}
    return EmbeddedEngine(f"sqlite:///{folder}/journal.db", **(settings | {"grace": timedelta(0)} | options))


def facts_in(folder: Path) -> list[f.Fact]:
    """What the file holds, read past every engine."""
    with sqlite3.connect(folder / "journal.db") as connection:
        rows = connection.execute("SELECT body, payload FROM saga_facts ORDER BY number, seq").fetchall()
    connection.close()
    return [decode_fact(*row) for row in rows]


class Doubtful(Saga):
    """One step that nothing settles, and that is tried once."""

    book = Compensatable(stand_in.book, timeout=SOON, retry=Retry(attempts=1)).compensated_by(stand_in.unbook)

    async def run(self, bookings: int) -> str:
        return await self.book(bookings)


async def registered_before_performed(folder: Path) -> None:
    """S1: when an activity begins, its registration is in the file."""
    shop = Shop()
    seen: list[bool] = []

    def look(key: str, when: str) -> None:
        call = key.partition("/")[2]
        if when == "before":
            seen.append(any(isinstance(fact, f.CallRegistered) and fact.call == call for fact in facts_in(folder)))

    shop.at = look
    machine = Machine()
    seam = machine.seam

    def slow(write: Write, point: Point) -> None:
        if write is Write.FLUSH and point is Point.BEFORE_COMMIT:
            time.sleep(0.03)
        seam(write, point)

    machine.seam = slow  # type: ignore[method-assign]
    with running_on(machine):
        async with engine_on(folder, shop) as engine:
            with suppress(SagaError):
                await engine.run(Purchase, 2, id="s-1")
    must(seen and all(seen), "an activity began before its registration was durable")


async def durable_before_acknowledged(folder: Path) -> None:
    """S20: what a caller was told is in the file, wherever the power fails."""
    points = (await asyncio.to_thread(scenario, SEQUENCES[0], folder, None)).lives[0].points
    first = [at for at, where in enumerate(points) if where.what == Write.FLUSH][:4]
    for at in first:
        try:
            await asyncio.to_thread(scenario, SEQUENCES[0], folder, None, (POWER_LOSS, at))
        except AssertionError as error:
            raise UnprotectedError(str(error)) from error


async def durable_result_before_acknowledged(folder: Path) -> None:
    """S20: a result whose flush failed is told to nobody."""
    shop = Shop()
    machine = Machine()
    seam = machine.seam
    error = sqlite3.OperationalError(ERRORS["EIO"][1])
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR

    def failing(write: Write, point: Point) -> None:
        if write is Write.FLUSH and point is Point.BEFORE_COMMIT and "SagaCompleted" in machine._flushing:
            raise error
        seam(write, point)

    machine.seam = failing  # type: ignore[method-assign]
    told: list[object] = []
    with running_on(machine):
        async with engine_on(folder, shop) as engine:
            with suppress(SagaError):
                told.append(await asyncio.wait_for(engine.run(Booking, 1, id="s-1"), 5))
    must(told == [], "a result was told that is not in the journal")


async def former_owner_fenced(folder: Path) -> None:
    """An owner whose instance was claimed appends nothing any more, and acknowledges nothing of its own."""
    shop = Shop()
    gate = asyncio.Event()
    shop.before["book.1"] = [waits_for(gate)]
    async with engine_on(folder, shop) as engine:
        running = asyncio.create_task(engine.run(Booking, 1, id="s-1"))
        while not shop.deliveries:
            await asyncio.sleep(0.002)
        other = Store.open(f"sqlite:///{folder}/journal.db")
        owner = other.ownership()
        owner.beat()
        with sqlite3.connect(folder / "journal.db") as connection:
            connection.execute("UPDATE saga_owners SET beat_at = 0 WHERE owner <> ?", (owner.owner,))
        connection.close()
        [claim] = owner.claim(["Booking"])
        before = facts_in(folder)
        gate.set()
        while not running.done() and "s-1" in engine._open.stage.drives:  # type: ignore[union-attr]
            await asyncio.sleep(0.002)
        must(facts_in(folder) == before, "a former owner appended to a journal that was claimed")
        must(not running.done(), "a former owner told a result that is not in the journal")
        other.close()
        must(claim.epoch == 2, "the epoch did not move on")
        running.cancel()


async def doubt_after_a_crash(folder: Path) -> None:
    """S2: a refusal after an attempt that nobody answered is in doubt, for that attempt may have acted."""
    shop = Shop()
    refusal = StepRejected("no")
    shop.after["book.1"] = [hangs]
    shop.before["book.1"] = [_nothing, refusal]
    async with engine_on(folder, shop) as engine:
        await engine.start(Booking, 1, id="s-1")
        while shop.effects == {}:
            await asyncio.sleep(0.002)
    async with engine_on(folder, shop) as engine:
        with pytest.raises(SagaCompensatedError):
            await engine.run(Booking, 1, id="s-1")
    must(shop.effects == {}, "what happened before the crash was not compensated")


async def settled_before_compensated(folder: Path) -> None:
    """S5: while an attempt may still act, nothing is compensated."""
    shop = Shop()
    shop.before["book.1"] = [hangs]
    async with engine_on(folder, shop) as engine:
        with suppress(SagaStuckError, SagaCompensatedError):
            await engine.run(Doubtful, 1, id="s-1")
    must(shop.deliveries == ["s-1/book.1"], "the compensation overtook its action")


async def nothing_after_closing(folder: Path) -> None:
    """S6: an engine that was left performs nothing any more, whatever an activity makes of its cancellation."""
    shop = Shop()

    async def turns() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
            raise ConnectionError("closed") from None

    shop.before["book.1"] = [turns]
    async with engine_on(folder, shop) as engine:
        await engine.start(Booking, 1, id="s-1")
        while not shop.deliveries:
            await asyncio.sleep(0.002)
    while len(asyncio.all_tasks()) > 1 and shop.deliveries == ["s-1/book.1"]:
        await asyncio.sleep(0.002)
    must(shop.deliveries == ["s-1/book.1"], "an activity was performed by an engine that is closed")


async def nothing_recorded_for_closing(folder: Path) -> None:
    """S6: the journal of an instance whose activity was cut short by closing is as it was."""
    shop = Shop()
    shop.before["book.1"] = [hangs]
    async with engine_on(folder, shop) as engine:
        await engine.start(Booking, 1, id="s-1")
        while not shop.deliveries:
            await asyncio.sleep(0.002)
        before = facts_in(folder)
    must(facts_in(folder) == before, "closing was recorded")


async def same_id_same_request(folder: Path) -> None:
    """S14: an id that was used for another request is refused."""
    shop = Shop()
    async with engine_on(folder, shop) as engine:
        await engine.run(Purchase, 1, id="s-1")
        try:
            await engine.run(Purchase, 2, id="s-1")
        except IdReusedError:
            return
    must(condition=False, text="another request was taken for the same")


async def acts_once(folder: Path) -> None:
    """A request of another process is journaled once: its answer is durable with its fact, or neither is."""
    shop = Shop()
    shop.before["book.1"] = [hangs]
    async with engine_on(folder, shop) as engine:
        await engine.start(Booking, 1, id="s-1")
        while not shop.deliveries:
            await asyncio.sleep(0.002)
        requests = engine._open.store.requests  # type: ignore[union-attr]
        number = await asyncio.to_thread(requests.put, "s-1", '{"request": "cancel", "by": "anna"}')
        while not any(isinstance(fact, f.CancelRequested) for fact in facts_in(folder)):
            await asyncio.sleep(0.002)
        must(requests.reply(number).answer is not None, "the fact is durable and its answer is not")


async def broken_journals_stop_everything(folder: Path) -> None:
    """After a failed flush, whoever waits for another instance is told too."""
    shop = Shop()
    machine = Machine()
    with running_on(machine):
        async with engine_on(folder, shop) as engine:
            shop.before["book.1"] = [hangs]
            handle = await engine.start(Booking, 1, id="idle")
            while not shop.deliveries:
                await asyncio.sleep(0.002)
            waiting = asyncio.create_task(handle.result())
            machine.dead = True
            starting = asyncio.create_task(engine.start(Booking, 1, id="new"))
            _, pending = await asyncio.wait([waiting, starting], timeout=2)
            must(not pending, "somebody waits for an instance that nobody drives")
            for task in (waiting, starting):
                with pytest.raises(SagaError):
                    await task


async def _nothing() -> None:
    """Let it happen."""
