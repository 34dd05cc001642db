"""Starting instances, running them, finding them again."""

from __future__ import annotations

import asyncio

import pytest

from saga import EmbeddedEngine, ReadOnly, Saga, SagaCompensatedError, SagaState, StepRejected
from saga.errors import IdReusedError, UnknownSagaError
from tests.embedded._shop import Booking, Purchase, Shop, SoldOutError, waits_for
from tests.embedded.conftest import MakeEngine


@pytest.mark.peer("DTM-01", "DTM-03")
async def test_run_returns_the_result_once_it_is_durable(make_engine: MakeEngine, shop: Shop) -> None:
    """Every step ran once, in order, and the instance is COMPLETED when the caller hears of it."""
    async with make_engine() as engine:
        result = await engine.run(Purchase, 2, id="p-1")
        view = await (await engine.get(Purchase, "p-1")).view()

    assert result == ["p-1/book.1", "p-1/book.2", "p-1/pay.1", "p-1/ship.1"]
    assert shop.deliveries == result
    assert view.state is SagaState.COMPLETED
    assert view.reason is None


async def test_start_returns_a_handle_before_the_end(make_engine: MakeEngine, shop: Shop) -> None:
    """The start is durable at once, the result is awaited by the handle."""
    gate = asyncio.Event()
    shop.before["book.1"] = [waits_for(gate)]
    async with make_engine() as engine:
        handle = await engine.start(Purchase, 1, id="p-1")
        assert (await handle.view()).state is SagaState.RUNNING
        gate.set()
        assert await handle.result() == ["p-1/book.1", "p-1/pay.1", "p-1/ship.1"]


@pytest.mark.peer("DTM-04", "DTM-30", "DBO-20")
async def test_an_id_that_exists_returns_that_instance(make_engine: MakeEngine, shop: Shop) -> None:
    """Neither another start nor another run repeats a step; not while it runs, not later, not on another engine."""
    gate = asyncio.Event()
    shop.before["book.1"] = [waits_for(gate)]
    async with make_engine() as engine:
        first = await engine.start(Purchase, 1, id="p-1")
        second = await engine.start(Purchase, 1, id="p-1")
        gate.set()
        assert await first.result() == await second.result() == await engine.run(Purchase, 1, id="p-1")
    async with make_engine() as engine:
        again = await engine.start(Purchase, 1, id="p-1")
        assert await again.result() == await engine.run(Purchase, 1, id="p-1")
    assert shop.repeated == set()


async def test_starts_at_the_same_moment_make_one_instance(make_engine: MakeEngine, shop: Shop) -> None:
    """All callers get the same result, and none of them before the start is durable."""
    async with make_engine() as engine:
        handles = await asyncio.gather(*(engine.start(Purchase, 1, id="p-1") for _ in range(5)))
        stored = [summary.id async for summary in engine.list()]
        results = await asyncio.gather(
            *(handle.result() for handle in handles), *(engine.run(Purchase, 1, id="p-1") for _ in range(5))
        )
    assert stored == ["p-1"]
    assert all(result == results[0] for result in results)
    assert shop.repeated == set()


async def test_two_engines_that_start_the_same_id_make_one_instance(make_engine: MakeEngine, shop: Shop) -> None:
    """The database decides which of them drives it; both return its result."""
    async with make_engine() as one, make_engine() as other:
        results = await asyncio.gather(one.run(Purchase, 1, id="p-1"), other.run(Purchase, 1, id="p-1"))
    assert results[0] == results[1]
    assert shop.repeated == set()


@pytest.mark.peer("SEA-31", "DTM-38")
@pytest.mark.parametrize("ended", [False, True])
async def test_the_same_id_with_another_request_is_refused(make_engine: MakeEngine, shop: Shop, ended: bool) -> None:
    """The first instance is not touched (S14)."""
    gate = asyncio.Event()
    shop.before["pay.1"] = [waits_for(gate)]
    async with make_engine() as engine:
        handle = await engine.start(Purchase, 1, id="p-1")
        if ended:
            gate.set()
            await handle.result()
        for refused in (engine.start(Purchase, 2, id="p-1"), engine.run(Purchase, 2, id="p-1")):
            with pytest.raises(IdReusedError, match="p-1.*with another request"):
                await refused
        gate.set()
        assert len(await handle.result()) == 3


async def test_the_same_id_for_another_saga_is_refused(make_engine: MakeEngine) -> None:
    """The message says which saga the id belongs to."""
    async with make_engine(sagas=[Purchase, Booking]) as engine:
        await engine.run(Purchase, 1, id="p-1")
        with pytest.raises(IdReusedError, match="as a Purchase"):
            await engine.start(Booking, 1, id="p-1")
        with pytest.raises(UnknownSagaError, match="p-1 is a Purchase, not a Booking"):
            await engine.get(Booking, "p-1")


async def test_a_request_that_means_the_same_today_is_the_same(journal_url: str) -> None:
    """A model that has grown a field with a default since then does not turn a repeat into a reuse."""
    small = _order()
    async with EmbeddedEngine(journal_url, sagas=[small]) as engine:
        await engine.run(small, {"item": "tea"}, id="o-1")
    grown = _order(extra=True)
    async with EmbeddedEngine(journal_url, sagas=[grown]) as engine:
        assert await engine.run(grown, {"item": "tea"}, id="o-1") == "tea"
        with pytest.raises(IdReusedError):
            await engine.run(grown, {"item": "tea", "count": 2}, id="o-1")


async def test_concurrent_starts_with_different_requests_refuse_all_but_one(make_engine: MakeEngine) -> None:
    """Which request wins is decided before anything is acknowledged."""
    async with make_engine() as engine:
        starts = await asyncio.gather(
            *(engine.start(Purchase, number, id="p-1") for number in range(3)), return_exceptions=True
        )
        assert [type(start) for start in starts[1:]] == [IdReusedError, IdReusedError]
        assert not isinstance(starts[0], BaseException)
        assert len(await starts[0].result()) == 2


async def test_an_unknown_id_is_an_error_that_names_it(make_engine: MakeEngine) -> None:
    """Only `get` looks for ids."""
    async with make_engine() as engine:
        with pytest.raises(UnknownSagaError, match="holds no instance 'p-9'"):
            await engine.get(Purchase, "p-9")


@pytest.mark.peer("DTM-10", "DTM-27")
async def test_a_rejection_reaches_the_caller_with_its_reason(make_engine: MakeEngine, shop: Shop) -> None:
    """What happened before it is compensated, and the caller reads why."""
    shop.before["pay.1"] = [SoldOutError("no tea left")]
    async with make_engine() as engine:
        with pytest.raises(SagaCompensatedError, match="no tea left") as caught:
            await engine.run(Purchase, 2, id="p-1")
        view = await (await engine.get(Purchase, "p-1")).view()
    assert (caught.value.step, caught.value.type, caught.value.reason) == ("pay.1", "SoldOutError", "rejected")
    assert view.state is SagaState.COMPENSATED
    assert shop.effects == {}
    assert [key for key in shop.deliveries if "compensation" in key] == [
        "p-1/book.2/compensation",
        "p-1/book.1/compensation",
    ]


@pytest.mark.peer("RST-23")
async def test_details_of_a_rejection_reach_the_caller(make_engine: MakeEngine, shop: Shop) -> None:
    """Data that the participant attached arrives as data."""
    shop.before["book.1"] = [StepRejected("frozen", details={"since": "2026-01-01"})]
    async with make_engine() as engine:
        with pytest.raises(SagaCompensatedError) as caught:
            await engine.run(Purchase, 1, id="p-1")
    assert caught.value.details == {"since": "2026-01-01"}


@pytest.mark.peer("DBO-02")
async def test_an_activity_is_a_plain_function_outside_a_saga(journal_url: str) -> None:
    """Nothing about it needs an engine."""

    class Doubled(Saga):
        double = ReadOnly(twice)

        async def run(self, number: int) -> int:
            return await self.double(number)

    assert twice(21) == 42
    async with EmbeddedEngine(journal_url, sagas=[Doubled]) as engine:
        assert await engine.run(Doubled, 21, id="d-1") == 42


async def test_many_instances_at_once_all_end_well(make_engine: MakeEngine, shop: Shop) -> None:
    """They share flushes, and none is lost among the others."""
    async with make_engine() as engine:
        results = await asyncio.gather(*(engine.run(Purchase, 1, id=f"p-{number}") for number in range(100)))
    assert [result[0] for result in results] == [f"p-{number}/book.1" for number in range(100)]
    assert shop.repeated == set()
    assert len(shop.effects) == 300


def twice(number: int) -> int:
    """An activity that could be anybody's."""
    return 2 * number


def _order(*, extra: bool = False) -> type:
    from pydantic import BaseModel, create_model  # noqa: PLC0415

    fields: dict[str, object] = {"item": (str, ...)}
    if extra:
        fields["count"] = (int, 1)
    request: type[BaseModel] = create_model("Request", **fields)  # type: ignore[call-overload]

    class Order(Saga):
        async def run(self, request: request) -> str:  # type: ignore[valid-type]
            return request.item  # type: ignore[attr-defined]

    return Order
