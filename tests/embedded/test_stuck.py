"""STUCK instances and the acts of an operator; the same acts from another engine (S10)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from saga import (
    Compensatable,
    DidNotHappen,
    EmbeddedEngine,
    Happened,
    Pivot,
    Retriable,
    Retry,
    Saga,
    SagaCompensatedError,
    SagaHandle,
    SagaState,
    SagaStuckError,
)
from saga.errors import ActRefusedError, InvalidRequestError, UnknownSagaError
from tests.embedded._shop import Shop, SoldOutError, hangs
from tests.embedded._shop import shop as stand_in
from tests.embedded.conftest import MakeEngine

ONCE = Retry(attempts=1)
SOON = timedelta(milliseconds=50)


class Frail(Saga):
    """Every step is tried once; nobody can ask what became of the payment."""

    book = Compensatable(stand_in.book, rejects=[SoldOutError], retry=ONCE, timeout=SOON).compensated_by(
        stand_in.unbook, retry=ONCE
    )
    pay = Pivot(stand_in.pay, rejects=[SoldOutError], retry=ONCE, barrier=True)
    ship = Retriable(stand_in.ship, retry=ONCE)

    async def run(self, bookings: int) -> list[str]:
        keys = [await self.book(number) for number in range(bookings)]
        keys.append(await self.pay(0))
        return [*keys, await self.ship(0)]


WHO: dict[str, Any] = {"by": "olga", "why": "looked into it"}

Act = Callable[[SagaHandle[list[str]]], Awaitable[None]]


@pytest.fixture(params=["the same engine", "another engine"])
def acting(request: pytest.FixtureRequest, make_engine: MakeEngine) -> Any:
    """Opens an engine that drives, and a handle to act with: of that engine, or of another on the same journal."""

    @asynccontextmanager
    async def open_both(bookings: int) -> AsyncIterator[tuple[EmbeddedEngine, SagaHandle[list[str]]]]:
        async with AsyncExitStack() as both:
            driving = await both.enter_async_context(make_engine(sagas=[Frail]))
            handle = await driving.start(Frail, bookings, id="f-1")
            if request.param == "another engine":
                other = await both.enter_async_context(make_engine(sagas=[Frail]))
                handle = await other.get(Frail, "f-1")
            with pytest.raises(SagaStuckError):
                await handle.result()
            yield driving, handle

    return open_both


@pytest.mark.peer("PSO-40", "MTC-23", "EVT-17")
async def test_a_refused_compensation_is_retried(acting: Any, shop: Shop) -> None:
    """Nothing else runs until somebody says that the cause is fixed; the others were not held up (S9)."""
    shop.refused.add("f-1/pay.1")
    shop.before["book.1/compensation"] = []
    shop.before["book.2/compensation"] = [SoldOutError("frozen")]
    async with acting(2) as (_, handle):
        view = await handle.view()
        assert [(one.call, one.reason) for one in view.stuck] == [("book.2/compensation", "rejected")]
        assert shop.effects == {"f-1/book.2": 1}
        await handle.retry(**WHO)
        with pytest.raises(SagaCompensatedError):
            await handle.result()
        assert [(act.act, act.by, act.why) for act in (await handle.view()).acts] == [("retry", "olga", WHO["why"])]
    assert shop.effects == {}


async def test_a_compensation_that_was_done_by_hand_is_skipped(acting: Any, shop: Shop) -> None:
    """The instance ends COMPENSATED without calling it again."""
    shop.refused.add("f-1/pay.1")
    shop.before["book.1/compensation"] = [ConnectionError("lost")]
    async with acting(1) as (_, handle):
        await handle.skip(Frail.book, **WHO)
        with pytest.raises(SagaCompensatedError):
            await handle.result()
    assert shop.deliveries.count("f-1/book.1/compensation") == 1


@pytest.mark.parametrize("happened", [True, False])
async def test_a_pivot_in_doubt_is_resolved(acting: Any, shop: Shop, happened: bool) -> None:
    """Forward with the output that the operator found, or backward."""
    shop.before["pay.1"] = [ConnectionError("lost")]
    async with acting(1) as (_, handle):
        assert "nobody knows whether pay.1 happened" in (await handle.view()).page()
        if happened:
            await handle.resolve(Frail.pay, Happened(output="by hand"), **WHO)
            assert await handle.result() == ["f-1/book.1", "by hand", "f-1/ship.1"]
        else:
            await handle.resolve(Frail.pay, DidNotHappen(), **WHO)
            with pytest.raises(SagaCompensatedError):
                await handle.result()
            assert shop.effects == {}


async def test_an_action_that_may_still_act_is_resolved(acting: Any, shop: Shop) -> None:
    """Only somebody who looked knows; then it is compensated, or there is nothing to compensate."""
    shop.before["book.2"] = [hangs]
    async with acting(2) as (_, handle):
        await handle.resolve(Frail.book, DidNotHappen(), call=2, **WHO)
        with pytest.raises(SagaCompensatedError):
            await handle.result()
    assert shop.effects == {}
    assert "f-1/book.2/compensation" not in shop.deliveries


async def test_a_step_after_the_pivot_is_retried_or_done_by_hand(acting: Any, shop: Shop) -> None:
    """There is no way back."""
    shop.before["ship.1"] = [ConnectionError("lost"), ConnectionError("lost again")]
    async with acting(1) as (_, handle):
        await handle.retry(**WHO)
        with pytest.raises(SagaStuckError, match="lost again"):
            await handle.result()
        with pytest.raises(ActRefusedError, match="it has to happen"):
            await handle.resolve(Frail.ship, DidNotHappen(), **WHO)
        await handle.resolve(Frail.ship, Happened(output="by hand"), **WHO)
        assert await handle.result() == ["f-1/book.1", "f-1/pay.1", "by hand"]


@pytest.mark.peer("PSO-40", "DTM-55")
async def test_acts_that_make_no_sense_are_refused(acting: Any, shop: Shop) -> None:
    """Each says what would; nothing of it is journaled."""
    shop.before["pay.1"] = [ConnectionError("lost")]
    async with acting(1) as (_, handle):
        before = (await handle.view()).facts
        refusals: list[tuple[Act, type[Exception], str]] = [
            (lambda handle: handle.abort(**WHO), ActRefusedError, "pay.1 has registered"),
            (lambda handle: handle.skip(Frail.book, **WHO), ActRefusedError, "no compensation is waiting"),
            (lambda handle: handle.resolve(Frail.book, DidNotHappen(), **WHO), ActRefusedError, "done"),
            (lambda handle: handle.resolve(Frail.pay, DidNotHappen(), call=2, **WHO), ActRefusedError, "no such call"),
            (lambda handle: handle.resolve(Frail.pay, Happened(output=7), **WHO), InvalidRequestError, "str"),  # type: ignore[arg-type]
        ]
        for act, error, text in refusals:
            with pytest.raises(error, match=text):
                await act(handle)
        assert (await handle.view()).facts == before
        await handle.resolve(Frail.pay, Happened(output="p"), **WHO)
        await handle.result()
        with pytest.raises(ActRefusedError, match="nothing can change any more"):
            await handle.retry(**WHO)


async def test_an_abort_gives_up_before_the_pivot(make_engine: MakeEngine, shop: Shop) -> None:
    """A running instance too."""
    shop.before["book.1"] = [hangs]
    async with make_engine() as engine:
        from tests.embedded._shop import Purchase  # noqa: PLC0415

        handle = await engine.start(Purchase, 1, id="p-1")
        while not shop.deliveries:
            await asyncio.sleep(0.002)
        with pytest.raises(ActRefusedError, match="nothing is blocked"):
            await handle.retry(**WHO)
        await handle.abort(**WHO)
        with pytest.raises(SagaCompensatedError, match="aborted.*looked into it"):
            await handle.result()
    assert shop.effects == {}


async def test_stuck_is_told_by_every_engine_again(make_engine: MakeEngine, shop: Shop) -> None:
    """A new owner does nothing on its own; the result is the operator's page."""
    shop.before["pay.1"] = [ConnectionError("lost")]
    pages = []
    for _ in range(3):
        async with make_engine(sagas=[Frail]) as engine:
            with pytest.raises(SagaStuckError) as caught:
                await engine.run(Frail, 1, id="f-1")
            pages.append(str(caught.value))
            assert [one.state async for one in engine.list()] == [SagaState.STUCK]
    assert pages == [pages[0]] * 3
    assert "saga resolve f-1 pay.1 --happened OUTPUT" in pages[0]
    assert shop.repeated == set()


async def test_an_act_for_an_unknown_instance_is_refused(make_engine: MakeEngine) -> None:
    """Even where the handle was made before its instance was purged."""
    async with make_engine() as engine:
        from tests.embedded._shop import Purchase  # noqa: PLC0415

        handle = await engine.start(Purchase, 0, id="p-1")
        await handle.result()
        await asyncio.sleep(0.005)
        await engine.purge(older_than=timedelta(0))
        with pytest.raises(UnknownSagaError):
            await handle.cancel()
        with pytest.raises(UnknownSagaError):
            await handle.result()
        with pytest.raises(UnknownSagaError):
            await anext(handle.facts())


async def test_an_act_waits_for_whoever_drives_next(make_engine: MakeEngine, shop: Shop) -> None:
    """Nobody drives the instance; the request stays, and the next engine acts on it and answers."""
    shop.before["pay.1"] = [ConnectionError("lost")]
    async with make_engine(sagas=[Frail]) as engine:
        with pytest.raises(SagaStuckError):
            await engine.run(Frail, 1, id="f-1")
    async with make_engine() as other:
        handle = await other.get(Frail, "f-1")
        asking = asyncio.create_task(handle.resolve(Frail.pay, Happened(output="by hand"), **WHO))
        await asyncio.sleep(0.15)
        assert not asking.done()
        async with make_engine(sagas=[Frail]) as engine:
            await asking
            assert await handle.result() == ["f-1/book.1", "by hand", "f-1/ship.1"]
            assert [act.act for act in (await handle.view()).acts] == ["resolve"]


async def test_the_fact_of_a_request_and_its_answer_are_one_flush(
    make_engine: MakeEngine, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the flush fails there is neither, and the next engine acts on the request once."""
    shop.before["pay.1"] = [ConnectionError("lost")]
    async with make_engine() as other:
        async with make_engine(sagas=[Frail]) as engine:
            with pytest.raises(SagaStuckError):
                await engine.run(Frail, 1, id="f-1")
            handle = await other.get(Frail, "f-1")
            stage = engine._open.stage  # type: ignore[union-attr]
            answers: list[object] = []
            monkeypatch.setattr(stage, "submit", lambda batch, _: answers.append(batch.answers))
            asking = asyncio.create_task(handle.resolve(Frail.pay, Happened(output="by hand"), **WHO))
            while not answers:
                await asyncio.sleep(0.005)
            assert len(answers[0]) == 1  # type: ignore[arg-type]
        monkeypatch.undo()
        assert not asking.done()
        async with make_engine(sagas=[Frail]):
            await asking
            assert len(await handle.result()) == 3
            assert [act.act for act in (await handle.view()).acts] == ["resolve"]


async def test_a_request_that_no_version_knows_is_answered(make_engine: MakeEngine, shop: Shop) -> None:
    """A newer process wrote it: it is refused in words, and the engine goes on serving others."""
    shop.before["pay.1"] = [ConnectionError("lost")]
    async with make_engine(sagas=[Frail]) as engine:
        with pytest.raises(SagaStuckError):
            await engine.run(Frail, 1, id="f-1")
        requests = engine._open.store.requests  # type: ignore[union-attr]
        number = await asyncio.to_thread(requests.put, "f-1", '{"request": "teleport", "by": "zoe"}')
        while (reply := await asyncio.to_thread(requests.reply, number)).answer is None:
            await asyncio.sleep(0.01)
        assert reply.answer.error == "InvalidRequestError"
        assert "this is no request" in reply.answer.text
        async with make_engine(sagas=[Frail]) as other:
            handle = await other.get(Frail, "f-1")
            await handle.resolve(Frail.pay, Happened(output="p"), **WHO)
            await handle.result()
