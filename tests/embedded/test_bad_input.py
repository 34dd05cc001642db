"""What is refused at the engine's edge: with an error that says what to do, and before anything is written."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel, Field

from saga import EmbeddedEngine, ReadOnly, Saga, SagaCompensatedError, SagaStuckError, participant
from saga.errors import (
    EngineClosedError,
    InvalidIdError,
    InvalidRequestError,
    ParticipantError,
    PayloadTooLargeError,
    SagaError,
    UnknownSagaError,
)
from tests.embedded._shop import Booking, Journey, Purchase, Shop
from tests.embedded.conftest import MakeEngine


class Order(BaseModel):
    """A request with limits."""

    item: str = Field(min_length=1)
    counts: list[int] = []


class Ordering(Saga):
    """Takes an order."""

    async def run(self, order: Order) -> str:
        return order.item


async def is_empty(engine: EmbeddedEngine) -> bool:
    """Whether the journal holds no instance at all."""
    return [one async for one in engine.list()] == []


async def test_an_invalid_request_is_refused_with_its_paths_and_nothing_is_written(make_engine: MakeEngine) -> None:
    """The message names saga and id, and pydantic's paths; the values stay out of it."""
    async with make_engine(sagas=[Ordering]) as engine:
        wrong: Any = {"item": "", "counts": [1, "secret", 3]}
        for refused in (engine.run(Ordering, wrong, id="o-1"), engine.start(Ordering, wrong, id="o-1")):
            with pytest.raises(InvalidRequestError, match="Ordering o-1: .*nothing was written") as caught:
                await refused
            assert "item: " in str(caught.value)
            assert "counts.1: " in str(caught.value)
            assert "secret" not in str(caught.value)
        assert await is_empty(engine)


@pytest.mark.peer("DBO-34")
@pytest.mark.parametrize("id", ["", "a/b", "a~b", "a\nb", "a\x00b", "x" * 256, " a", "\ud800"])
async def test_an_id_that_cannot_name_an_instance_is_refused(make_engine: MakeEngine, id: str) -> None:
    """Empty, too long, or with characters that ids may not hold."""
    async with make_engine() as engine:
        for refused in (engine.run(Purchase, 1, id=id), engine.start(Purchase, 1, id=id)):
            with pytest.raises(InvalidIdError):
                await refused
        assert await is_empty(engine)


@pytest.mark.parametrize("id", ["", "a\x00b", "x" * 5000, "\ud800", "'; DROP TABLE saga_instances; --"])
async def test_no_instance_is_found_by_an_id_that_cannot_name_one(make_engine: MakeEngine, id: str) -> None:
    """Whatever the database thinks of such a text."""
    async with make_engine() as engine:
        with pytest.raises(UnknownSagaError):
            await engine.get(Purchase, id)


async def test_ids_may_hold_whatever_else_prints(make_engine: MakeEngine) -> None:
    """Up to 255 characters, of any script."""
    async with make_engine() as engine:
        for id in ("x" * 255, "Überweisung №42 — 転送", "%_'\"\\;--"):
            assert await engine.run(Purchase, 0, id=id) == [f"{id}/pay.1", f"{id}/ship.1"]
            assert [one.id async for one in engine.list(id_prefix=id)] == [id]


async def test_a_saga_that_the_engine_does_not_run_is_refused(make_engine: MakeEngine) -> None:
    """The message says which sagas it runs; another class of the same name is not the same saga."""
    other = type("Purchase", (Booking,), {"run": Booking.run})
    async with make_engine() as engine:
        with pytest.raises(UnknownSagaError, match="does not run Ordering but Purchase, Journey, Booking"):
            await engine.start(Ordering, Order(item="tea"), id="o-1")
        with pytest.raises(UnknownSagaError, match="does not run Purchase, another class of that name"):
            await engine.start(other, 1, id="o-1")
        with pytest.raises(SagaError, match="no saga class with a run method"):
            await engine.start(int, 1, id="o-1")  # type: ignore[type-var]
        assert await is_empty(engine)


def test_two_classes_of_one_name_are_refused(journal_url: str) -> None:
    """Their journals could not be told apart."""
    other = type("Purchase", (Booking,), {"run": Booking.run})
    with pytest.raises(SagaError, match="two saga classes are named Purchase"):
        EmbeddedEngine(journal_url, sagas=[Purchase, other])


class Bank:
    """A participant with one activity."""

    async def open(self, number: int) -> int:
        """Do nothing."""
        return number


bank = participant(Bank, "bank")


class Mixed(Saga):
    """Needs two participants."""

    open = ReadOnly(bank.open)
    book = Purchase.__dict__["book"]
    look = Purchase.__dict__["look"]

    async def run(self, number: int) -> int:
        return await self.open(number)


@pytest.mark.peer("LRA-01", "LRA-02")
async def test_everything_that_participants_lack_is_listed_at_once(journal_url: str) -> None:
    """Missing ones, missing methods, and what is no method; nested sagas' too, and no journal is made."""
    broken = Shop()
    broken.book = "not callable"  # type: ignore[method-assign, assignment]
    engine = EmbeddedEngine(journal_url, sagas=[Mixed, Journey], participants={"shop": object()})
    with pytest.raises(ParticipantError) as caught:
        await engine.__aenter__()
    text = str(caught.value)
    assert "participant 'bank' is missing (Mixed.open)" in text
    for method in ("book", "unbook", "look", "pay", "find_pay"):
        assert f"participant 'shop', a object, has no method '{method}'" in text
    assert "(Booking.book)" in text

    engine = EmbeddedEngine(journal_url, sagas=[Booking], participants={"shop": broken})
    with pytest.raises(ParticipantError, match="has no method 'book'"):
        await engine.__aenter__()


async def test_a_fake_participant_fits_by_shape(journal_url: str) -> None:
    """It need not derive from the class of the stand-in."""

    class Fake:
        async def open(self, number: int) -> int:
            return number + 1

    class Opening(Saga):
        open = ReadOnly(bank.open)

        async def run(self, number: int) -> int:
            return await self.open(number)

    async with EmbeddedEngine(journal_url, sagas=[Opening], participants={"bank": Fake()}) as engine:
        assert await engine.run(Opening, 41, id="o-1") == 42


async def test_an_engine_that_is_not_open_says_how_to_open_it(make_engine: MakeEngine) -> None:
    """Never entered, left, or entered twice; after leaving it may be entered again."""
    engine = make_engine()
    with pytest.raises(EngineClosedError, match="async with"):
        await engine.start(Purchase, 1, id="p-1")
    async with engine:
        with pytest.raises(EngineClosedError, match="open already"):
            await engine.__aenter__()
        handle = await engine.start(Purchase, 1, id="p-1")
        await handle.result()
    with pytest.raises(EngineClosedError, match="async with"):
        await engine.run(Purchase, 1, id="p-1")
    with pytest.raises(EngineClosedError, match="closed"):
        await handle.cancel()
    async with engine:
        assert len(await engine.run(Purchase, 1, id="p-1")) == 3


def grow(size: int) -> str:
    """Return a text."""
    return "ö" * size


def measure(text: str) -> int:
    """Return its length."""
    return len(text)


class Growing(Saga):
    """Makes texts of so many characters, of two bytes each: an output, an input, a result."""

    grow = ReadOnly(grow)
    measure = ReadOnly(measure)

    async def run(self, sizes: tuple[int, int, int, str]) -> str:
        output, given, result, _ = sizes
        await self.grow(output)
        await self.measure("ö" * given)
        return "ö" * result


@pytest.mark.peer("NEW-11")
async def test_a_payload_may_be_as_large_as_the_limit_in_bytes(make_engine: MakeEngine) -> None:
    """1,000 bytes are 499 such characters and two quotes."""
    async with make_engine(sagas=[Growing], payload_limit=1000) as engine:
        assert await engine.run(Growing, (499, 499, 499, ""), id="g-1") == "ö" * 499


async def test_a_request_above_the_limit_is_refused_before_anything_is_written(make_engine: MakeEngine) -> None:
    """Its size is counted in bytes, not in characters."""
    async with make_engine(sagas=[Growing], payload_limit=1000) as engine:
        for refused in (engine.run, engine.start):
            with pytest.raises(
                PayloadTooLargeError,
                match=r"Growing g-1: .*1[0-9]{3} bytes of JSON, the limit is 1000, and nothing was written; pass a",
            ):
                await refused(Growing, (1, 1, 1, "ö" * 600), id="g-1")
        assert await is_empty(engine)


async def test_an_output_above_the_limit_is_in_doubt(make_engine: MakeEngine) -> None:
    """It happened, but nobody knows what; the message names the step."""
    async with make_engine(sagas=[Growing], payload_limit=1000) as engine:
        with pytest.raises(SagaCompensatedError, match=r"grow.1 returned 1002 bytes of JSON, the limit is 1000"):
            await engine.run(Growing, (500, 1, 1, ""), id="g-1")


@pytest.mark.parametrize(("sizes", "what"), [((1, 500, 1, ""), "measure"), ((1, 1, 500, ""), "run")])
async def test_what_run_makes_above_the_limit_is_a_bug(
    make_engine: MakeEngine, sizes: tuple[int, int, int, str], what: str
) -> None:
    """An input or a result: nothing was called with it, and the saga waits for other code."""
    async with make_engine(sagas=[Growing], payload_limit=1000) as engine:
        with pytest.raises(SagaStuckError, match=f"Growing g-1 {what}: 1002 bytes of JSON, the limit is 1000"):
            await engine.run(Growing, sizes, id="g-1")


async def test_an_output_of_the_wrong_type_is_in_doubt(make_engine: MakeEngine, shop: Shop) -> None:
    """The activity acted, so it is compensated; the engine does not crash on it."""

    async def wrong(number: int) -> str:
        return number  # type: ignore[return-value]

    shop.book = wrong  # type: ignore[method-assign]
    async with make_engine() as engine:
        with pytest.raises(SagaCompensatedError, match="book.1 returned something else"):
            await engine.run(Purchase, 1, id="p-1")
    assert shop.deliveries == ["p-1/book.1/compensation"]


@pytest.mark.parametrize(
    "setting",
    [
        {"lease": timedelta(0)},
        {"lease": 5},
        {"threads": 0},
        {"payload_limit": -1},
        {"grace": timedelta(seconds=-5)},
        {"retention": timedelta(seconds=-5)},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_a_setting_that_makes_no_sense_is_refused(make_engine: MakeEngine, setting: dict[str, Any]) -> None:
    """Before anything is opened, by its name; some of them would make an engine that does nothing."""
    [name] = setting
    with pytest.raises(SagaError, match=rf"{name} is .*; give"):
        make_engine(**setting)


async def test_a_class_is_no_participant(make_engine: MakeEngine) -> None:
    """Its methods are there, and none of them can be called."""
    with pytest.raises(ParticipantError, match=r"participant 'shop' is a class, .*Shop.*; give an object of it"):
        async with make_engine(participants={"shop": Shop}):
            pass


async def test_purging_what_has_not_ended_yet_is_refused(make_engine: MakeEngine) -> None:
    """A negative age would mean everything."""
    async with make_engine() as engine:
        with pytest.raises(SagaError, match="older_than"):
            await engine.purge(older_than=timedelta(-1))
