"""An engine that can write no more lets the others go on at once, where the database still answers."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from saga import EmbeddedEngine
from saga.embedded._database import Point, Write
from saga.errors import JournalWriteError
from tests.embedded._machine import Machine, error_of, running_on
from tests.embedded._shop import Booking, Shop, hangs, until_delivered

HOUR = timedelta(hours=1)


@pytest.mark.parametrize("left", [False, True])
async def test_after_a_failed_flush_nobody_waits_for_the_lease(tmp_path: Path, *, left: bool) -> None:
    """Whether the engine has been left already or not; its process lives on."""
    shop, machine = Shop(), Machine()
    shop.before["book.1"] = [hangs]
    url = f"sqlite:///{tmp_path}/journal.db"
    broken = [False]
    seam = machine.seam

    def fails(write: Write, point: Point) -> None:
        if broken[0] and (write, point) == (Write.FLUSH, Point.BEFORE_COMMIT):
            raise error_of("ENOSPC")
        seam(write, point)

    machine.seam = fails  # type: ignore[method-assign]
    with running_on(machine):
        former = EmbeddedEngine(url, sagas=[Booking], participants={"shop": shop}, lease=HOUR, grace=timedelta(0))
        await former.__aenter__()
        await former.start(Booking, 1, id="b-1")
        await until_delivered(shop, "b-1/book.1")
        broken[0] = True
        with pytest.raises(JournalWriteError):
            await former.start(Booking, 1, id="b-2")
    if left:
        await former.__aexit__(None, None, None)
    async with EmbeddedEngine(
        url, sagas=[Booking], participants={"shop": shop}, lease=timedelta(seconds=0.4)
    ) as engine:
        handle = await engine.get(Booking, "b-1")
        assert await asyncio.wait_for(handle.result(), 15) == ["b-1/book.1"]
    if not left:
        await former.__aexit__(None, None, None)
