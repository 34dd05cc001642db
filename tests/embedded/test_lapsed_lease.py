"""An owner that was paused for longer than its lease begins no attempt before it knows what is still its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

from sqlalchemy import text

from saga import Compensatable, EmbeddedEngine, Retry, SagaCompensatedError, SagaHandle
from saga.embedded._tenure import Tenure
from saga.errors import JournalError, OwnershipLostError
from tests.embedded._shop import Booking, Shop, until_delivered
from tests.embedded._shop import shop as stand_in
from tests.embedded.conftest import MakeEngine

LEASE = timedelta(seconds=0.6)
AT_ONCE = Retry(attempts=None, first=timedelta(0))


class Eager(Booking):
    """Tries again at once."""

    book = Compensatable(stand_in.book, retry=AT_ONCE, barrier=True).compensated_by(stand_in.unbook)

    async def run(self, bookings: int) -> list[str]:
        return [await self.book(number) for number in range(bookings)]


def paused(then: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    """A behaviour: the whole process is paused for longer than its lease, then the attempt fails."""

    async def pause() -> None:
        then()
        time.sleep(1.5 * LEASE.total_seconds())  # noqa: ASYNC251 - as a collector does
        raise ConnectionError("lost while paused")

    return pause


def taken_over(engine: EmbeddedEngine) -> None:
    """Do what another process does that claims everything."""
    assert engine._open is not None
    with engine._open.store._database.engine.begin() as connection:
        connection.execute(text("UPDATE saga_instances SET owner = 'another', epoch = epoch + 1"))


async def test_a_paused_owner_begins_no_attempt_of_what_was_taken_over(make_engine: MakeEngine, shop: Shop) -> None:
    """Not even the next of a call that it was trying: it notices first, and lets go."""
    async with make_engine(sagas=[Eager], lease=LEASE) as engine:
        shop.before["book.1"] = [paused(lambda: taken_over(engine))]
        await engine.start(Eager, 1, id="e-1")
        drive = engine._open.stage.drives["e-1"]  # type: ignore[union-attr]
        await until_delivered(shop, "e-1/book.1")
        await asyncio.wait({drive.task}, timeout=20)  # type: ignore[type-var]
        assert isinstance(drive.error, OwnershipLostError)
        assert shop.deliveries == ["e-1/book.1"]


async def test_a_paused_owner_goes_on_with_what_is_still_its_own(make_engine: MakeEngine, shop: Shop) -> None:
    """Nobody took it over meanwhile."""
    async with make_engine(sagas=[Eager], lease=LEASE) as engine:
        shop.before["book.1"] = [paused(lambda: None)]
        assert await engine.run(Eager, 1, id="e-1") == ["e-1/book.1"]
    assert shop.deliveries == ["e-1/book.1"] * 2


async def test_no_attempt_begins_while_the_journal_takes_no_sign_of_life(make_engine: MakeEngine, shop: Shop) -> None:
    """The others may have taken everything over; once it answers again, everything goes on."""
    away = asyncio.Event()
    async with make_engine(sagas=[Eager], lease=LEASE) as engine:
        ownership = engine._open._ownership  # type: ignore[union-attr]
        beat = ownership.beat

        def fails() -> bool:
            raise JournalError("it does not answer")

        async def lapses() -> None:
            ownership.beat = fails  # type: ignore[method-assign]
            await asyncio.sleep(1.2 * LEASE.total_seconds())
            away.set()
            raise ConnectionError("lost")

        shop.before["book.1"] = [lapses]
        handle = await engine.start(Eager, 1, id="e-1")
        await away.wait()
        await asyncio.sleep(0.1)
        assert shop.deliveries == ["e-1/book.1"]
        ownership.beat = beat  # type: ignore[method-assign]
        assert await handle.result() == ["e-1/book.1"]
    assert shop.deliveries == ["e-1/book.1"] * 2


async def test_a_first_attempt_that_could_not_begin_can_be_stopped(make_engine: MakeEngine, shop: Shop) -> None:
    """It did not happen: the saga is compensated, and nothing was ever delivered."""
    async with make_engine(sagas=[Eager], lease=timedelta(hours=1)) as engine:
        performer = engine._open.stage._performer  # type: ignore[union-attr]
        performer._tenure.renew(-1e9)
        handle: SagaHandle[list[str]] = await engine.start(Eager, 1, id="e-1")
        await asyncio.sleep(0.02)
        await handle.cancel(by="anna")
        try:
            await handle.result()
        except SagaCompensatedError as error:
            assert error.reason == "cancelled"
        [call] = (await handle.view()).calls
    assert (call.state, call.attempts, call.failure and call.failure.type) == ("rejected", 0, "NotStarted")
    assert shop.deliveries == []


def test_a_lease_counts_from_before_the_sign_of_life() -> None:
    """So its holder never believes in it for longer than the others do."""
    tenure = Tenure(timedelta(seconds=60))
    assert not tenure.holds
    tenure.renew(tenure.now() - 61)
    assert not tenure.holds
    tenure.renew(tenure.now() - 59)
    assert tenure.holds
