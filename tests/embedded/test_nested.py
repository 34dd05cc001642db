"""Nested sagas and tentative effects on the engine (S16, S17)."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from saga import (
    Compensatable,
    Effect,
    Nested,
    Pivot,
    Retry,
    Saga,
    SagaCompensatedError,
    SagaState,
    SagaStuckError,
    participant,
)
from saga.embedded import _nested
from saga.errors import ActRefusedError
from tests.embedded._shop import FAST, Booking, Journey, Shop, SoldOutError, hangs, until_delivered, waits_for
from tests.embedded._shop import shop as stand_in
from tests.embedded.conftest import MakeEngine


class Guarded(Booking):
    """A child whose compensation gives up at once, so that it becomes STUCK."""

    book = Compensatable(stand_in.book, rejects=[SoldOutError], retry=FAST, barrier=True).compensated_by(
        stand_in.unbook, retry=Retry(attempts=1)
    )

    async def run(self, bookings: int) -> list[str]:
        return [await self.book(number) for number in range(bookings)]


class GuardedJourney(Saga):
    """Runs such a child."""

    booking = Nested(Guarded)
    pay = Pivot(stand_in.pay, rejects=[SoldOutError], retry=FAST, barrier=True).probed_by(stand_in.find_pay)

    async def run(self, bookings: int) -> list[str]:
        keys = await self.booking(bookings)
        return [*keys, await self.pay(0)]


class World(Saga):
    """Runs a saga that runs a saga, then books."""

    journey = Nested(Booking)
    book = Compensatable(stand_in.book, rejects=[SoldOutError], retry=FAST, barrier=True).compensated_by(
        stand_in.unbook
    )

    async def run(self, bookings: int) -> list[str]:
        first, second = await asyncio.gather(self.journey(bookings), self.journey(bookings))
        return [*first, *second, await self.book(0)]


class Agency:
    """A participant that takes back whole journeys."""

    def __init__(self) -> None:
        self.taken_back: list[Effect[int, list[str]]] = []

    async def take_back(self, effect: Effect[int, list[str]]) -> None:
        """Take a journey back."""
        self.taken_back.append(effect)


class Whole(Saga):
    """Compensates its child as a whole."""

    journey = Nested(Journey).compensated_by(participant(Agency, "agency").take_back)
    book = Compensatable(stand_in.book, rejects=[SoldOutError], retry=FAST, barrier=True).compensated_by(
        stand_in.unbook
    )

    async def run(self, bookings: int) -> str:
        await self.journey(bookings)
        return await self.book(0)


@pytest.mark.peer("EVT-05", "LRA-46")
async def test_a_child_is_an_instance_of_its_own(make_engine: MakeEngine, shop: Shop) -> None:
    """With an id made of its parent's, its own journal, and the parent's id in it."""
    async with make_engine() as engine:
        result = await engine.run(Journey, 2, id="j-1")
        child = await (await engine.get(Booking, "j-1~booking.1")).view()
    assert result == ["j-1~booking.1/book.1", "j-1~booking.1/book.2", "j-1/pay.1"]
    assert (child.state, child.parent) == (SagaState.COMPLETED, "j-1")
    assert shop.deliveries == result


@pytest.mark.peer("LRA-43", "SEA-11")
async def test_the_parent_compensates_what_its_child_did(make_engine: MakeEngine, shop: Shop) -> None:
    """With the keys that the child used, last first; the child itself stays as it ended."""
    shop.before["pay.1"] = [SoldOutError("no")]
    async with make_engine() as engine:
        with pytest.raises(SagaCompensatedError):
            await engine.run(Journey, 2, id="j-1")
        child = await (await engine.get(Booking, "j-1~booking.1")).view()
    assert child.state is SagaState.COMPLETED
    assert shop.effects == {}
    assert shop.deliveries[-2:] == [
        "j-1~booking.1/book.2/compensation",
        "j-1~booking.1/book.1/compensation",
    ]


async def test_children_run_side_by_side_and_are_compensated_in_order(make_engine: MakeEngine, shop: Shop) -> None:
    """Everything that both did is taken back."""
    shop.refused.add("w-2/book.1")
    async with make_engine(sagas=[World]) as engine:
        assert len(await engine.run(World, 2, id="w-1")) == 5
        with pytest.raises(SagaCompensatedError):
            await engine.run(World, 2, id="w-2")
    assert {key for key in shop.effects if key.startswith("w-2")} == set()
    taken_back = [key.removeprefix("w-2~journey.") for key in shop.deliveries if key.endswith("/compensation")]
    assert taken_back == [f"{child}/book.{call}/compensation" for child in "21" for call in "21"]


async def test_a_child_that_was_compensated_is_a_rejected_step(make_engine: MakeEngine, shop: Shop) -> None:
    """Nothing of it is left, so nothing is compensated again."""
    shop.before["book.2"] = [SoldOutError("no tea")]
    async with make_engine() as engine:
        with pytest.raises(SagaCompensatedError, match="booking.1.*no tea"):
            await engine.run(Journey, 2, id="j-1")
        child = await (await engine.get(Booking, "j-1~booking.1")).view()
    assert child.state is SagaState.COMPENSATED
    assert shop.effects == {}
    assert shop.repeated == set()


async def test_a_child_with_a_pivot_is_compensated_as_a_whole(make_engine: MakeEngine, shop: Shop) -> None:
    """By the compensation that the parent gives it, once."""
    agency = Agency()
    shop.refused.add("w-1/book.1")
    async with make_engine(sagas=[Whole], participants={"shop": shop, "agency": agency}) as engine:
        with pytest.raises(SagaCompensatedError):
            await engine.run(Whole, 1, id="w-1")
    [effect] = agency.taken_back
    assert effect.output == ["w-1~journey.1~booking.1/book.1", "w-1~journey.1/pay.1"]
    assert (effect.input, effect.in_doubt) == (1, False)


@pytest.mark.peer("TFE-31")
async def test_a_cancel_reaches_the_child(make_engine: MakeEngine, shop: Shop) -> None:
    """Its end is awaited; then the parent is compensated."""
    shop.before["book.2"] = [hangs]
    async with make_engine() as engine:
        handle = await engine.start(Journey, 2, id="j-1")
        await until_delivered(shop, "j-1~booking.1/book.2")
        await handle.cancel(by="anna")
        with pytest.raises(SagaCompensatedError, match="cancelled"):
            await handle.result()
        child = await (await engine.get(Booking, "j-1~booking.1")).view()
    assert (child.state, child.reason) == (SagaState.COMPENSATED, "cancelled")
    assert [act.by for act in child.acts] == ["j-1"]
    assert shop.effects == {}


async def test_a_cancel_reaches_the_child_of_a_parent_with_a_long_id(make_engine: MakeEngine, shop: Shop) -> None:
    """The child's journal holds as much of the parent's name as a name may have."""
    id = "j" * 255
    shop.before["book.1"] = [hangs]
    async with make_engine() as engine:
        handle = await engine.start(Journey, 1, id=id)
        await until_delivered(shop, f"{id}~booking.1/book.1")
        await handle.cancel()
        with pytest.raises(SagaCompensatedError):
            await handle.result()
    assert shop.effects == {}


async def test_a_child_goes_on_after_its_parent_crashed(make_engine: MakeEngine, shop: Shop) -> None:
    """The next engine finds both, and neither is started twice."""
    shop.before["book.2"] = [hangs]
    async with make_engine(grace=timedelta(0)) as engine:
        await engine.start(Journey, 3, id="j-1")
        await until_delivered(shop, "j-1~booking.1/book.2")
    async with make_engine() as engine:
        handle = await engine.get(Journey, "j-1")
        assert len(await handle.result()) == 4
        assert {summary.id async for summary in engine.list()} == {"j-1", "j-1~booking.1"}
    assert set(shop.effects.values()) == {1}
    assert shop.repeated == {"j-1~booking.1/book.2"}


async def test_closing_the_engine_cancels_no_child(make_engine: MakeEngine, shop: Shop) -> None:
    """Nothing is recorded for it, in the parent or in the child (S6)."""
    shop.before["book.1"] = [hangs]
    async with make_engine(grace=timedelta(0)) as engine:
        handle = await engine.start(Journey, 1, id="j-1")
        await until_delivered(shop, "j-1~booking.1/book.1")
        before = (await handle.view()).facts
    async with make_engine() as engine:
        handle = await engine.get(Journey, "j-1")
        child = await engine.get(Booking, "j-1~booking.1")
        await handle.result()
        assert (await child.view()).acts == ()
        facts = [fact.fact async for fact in handle.facts()]
    assert facts[before] == "Resumed"


async def test_a_cancel_across_a_crash_reaches_the_child(make_engine: MakeEngine, shop: Shop) -> None:
    """The parent was COMPENSATING and waited for its child when the engine went."""
    gate = asyncio.Event()
    shop.before["book.1"] = [waits_for(gate), hangs]
    async with make_engine(grace=timedelta(0)) as engine:
        handle = await engine.start(Journey, 1, id="j-1")
        await until_delivered(shop, "j-1~booking.1/book.1")
        [child] = [drive for drive in engine._open.stage.drives.values() if "~" in drive.id]  # type: ignore[union-attr]
        child.request = _refuse  # type: ignore[method-assign, assignment]
        await handle.cancel()
        assert (await handle.view()).state is SagaState.COMPENSATING
    async with make_engine() as engine:
        handle = await engine.get(Journey, "j-1")
        with pytest.raises(SagaCompensatedError, match="cancelled"):
            await handle.result()
        assert (await (await engine.get(Booking, "j-1~booking.1")).view()).state is SagaState.COMPENSATED
    assert shop.effects == {}


def _refuse(*_: object) -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


async def test_a_cancel_before_the_child_has_started_starts_none(
    make_engine: MakeEngine, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child's call is rejected: nothing happened."""
    async with make_engine() as engine:
        monkeypatch.setattr(_nested, "_ensure", _never)
        handle = await engine.start(Journey, 1, id="j-1")
        await asyncio.sleep(0.01)
        await handle.cancel()
        with pytest.raises(SagaCompensatedError, match="cancelled"):
            await handle.result()
        assert [summary.id async for summary in engine.list()] == ["j-1"]
        assert [call.state.value for call in (await handle.view()).calls] == ["rejected"]
    assert shop.deliveries == []


async def _never(*_: object, **__: object) -> None:
    await asyncio.Event().wait()


async def test_a_stuck_child_holds_its_parent_until_somebody_acts(make_engine: MakeEngine, shop: Shop) -> None:
    """The parent waits in RUNNING; the operator acts on the child, and both end."""
    shop.before["book.2"] = [SoldOutError("no")]
    shop.before["book.1/compensation"] = [ConnectionError("lost")]
    async with make_engine(sagas=[GuardedJourney]) as engine:
        parent = await engine.start(GuardedJourney, 2, id="j-1")
        await until_delivered(shop, "j-1~booking.1/book.1/compensation")
        child = await engine.get(Guarded, "j-1~booking.1")
        with pytest.raises(SagaStuckError, match="a compensation gave up"):
            await child.result()
        assert (await parent.view()).state is SagaState.RUNNING
        with pytest.raises(ActRefusedError):
            await parent.retry(by="olga", why="wrong one")
        await child.retry(by="olga", why="fixed")
        with pytest.raises(SagaCompensatedError, match="booking.1"):
            await parent.result()
    assert shop.effects == {}


async def test_a_stuck_child_on_another_engine_is_looked_at_without_haste(
    make_engine: MakeEngine, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parent's engine does not read the child's journal over and over."""
    shop.before["book.2"] = [SoldOutError("no")]
    shop.before["book.1/compensation"] = [ConnectionError("lost")]
    async with make_engine(sagas=[GuardedJourney]) as engine:
        parent = await engine.start(GuardedJourney, 2, id="j-1")
        child = await _eventually(engine, Guarded, "j-1~booking.1")
        with pytest.raises(SagaStuckError):
            await child.result()
        async with make_engine(sagas=[GuardedJourney]) as other:
            journals = other._open.stage.journals  # type: ignore[union-attr]
            reads: list[str] = []
            read = journals.read
            monkeypatch.setattr(journals, "read", lambda id: (reads.append(id), read(id))[1])
            waiting = asyncio.create_task(journals.ended("j-1~booking.1", or_stuck=False))
            await asyncio.sleep(0.25)
            assert 1 <= len(reads) <= 4
            await child.retry(by="olga", why="fixed")
            assert (await waiting).state is SagaState.COMPENSATED
        with pytest.raises(SagaCompensatedError):
            await parent.result()


async def _eventually(engine, saga: type, id: str):  # type: ignore[no-untyped-def]
    while id not in [summary.id async for summary in engine.list()]:
        await asyncio.sleep(0.005)
    return await engine.get(saga, id)
