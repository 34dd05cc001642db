"""The stream of facts: every fact once, in order, as it becomes durable, whoever drives the instance."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from saga import SagaCompensatedError
from saga.errors import EngineClosedError
from saga.kernel import _facts as f
from tests.embedded._shop import Purchase, Shop, SoldOutError, waits_for
from tests.embedded.conftest import MakeEngine

NAMES = [
    "SagaStarted",
    "CallRegistered",
    "CallDone",
    "CallRegistered",
    "CallDone",
    "CallRegistered",
    "CallDone",
    "SagaCompleted",
]


@pytest.mark.peer("MTC-02", "MTC-25")
async def test_facts_come_while_the_instance_runs(make_engine: MakeEngine, shop: Shop) -> None:
    """A progress bar sees a step before the next one ends."""
    gates = [asyncio.Event() for _ in range(3)]
    for call, gate in zip(("book.1", "pay.1", "ship.1"), gates, strict=True):
        shop.before[call] = [waits_for(gate)]
    async with make_engine() as engine:
        handle = await engine.start(Purchase, 1, id="p-1")
        seen: list[str] = []
        async for fact in handle.facts():
            seen.append(fact.fact)
            if isinstance(fact, f.CallRegistered):
                gates.pop(0).set()
        assert seen == NAMES
        assert [fact.fact async for fact in handle.facts()] == NAMES


async def test_facts_come_from_another_engine_too(make_engine: MakeEngine, shop: Shop) -> None:
    """Live, and exactly those that the owner journaled."""
    gate = asyncio.Event()
    shop.before["pay.1"] = [waits_for(gate)]
    async with make_engine() as engine, make_engine() as other:
        await engine.start(Purchase, 1, id="p-1")
        seen: list[str] = []
        async for fact in (await other.get(Purchase, "p-1")).facts():
            seen.append(fact.fact)
            if len(seen) == 4:
                gate.set()
    assert seen == NAMES


async def test_facts_hold_what_went_wrong(make_engine: MakeEngine, shop: Shop) -> None:
    """Failed attempts are among them, and the reason for backward recovery."""
    shop.before["book.1"] = [ConnectionError("lost")]
    shop.before["pay.1"] = [SoldOutError("no")]
    async with make_engine() as engine:
        with pytest.raises(SagaCompensatedError):
            await engine.run(Purchase, 1, id="p-1")
        facts = [fact async for fact in (await engine.get(Purchase, "p-1")).facts()]
    assert [fact.fact for fact in facts] == [
        *NAMES[:2],
        "AttemptFailed",
        *NAMES[2:4],
        "CallRejected",
        "RecoveryStarted",
        "CallRegistered",
        "CallDone",
        "SagaCompensated",
    ]


async def test_several_listeners_see_the_same(make_engine: MakeEngine, shop: Shop) -> None:
    """One that comes late begins at the first fact; one that goes early disturbs nobody."""
    gate = asyncio.Event()
    shop.before["book.1"] = [waits_for(gate)]
    async with make_engine() as engine:
        handle = await engine.start(Purchase, 1, id="p-1")

        async def listen() -> list[str]:
            return [fact.fact async for fact in handle.facts()]

        leaving = asyncio.create_task(listen())
        staying = asyncio.create_task(listen())
        await asyncio.sleep(0.01)
        leaving.cancel()
        late = asyncio.create_task(listen())
        gate.set()
        assert await staying == await late == NAMES


async def test_a_stream_ends_with_its_engine(make_engine: MakeEngine, shop: Shop) -> None:
    """Whoever listens when the engine is closed is told so, and does not hang."""
    gate = asyncio.Event()
    shop.before["book.1"] = [waits_for(gate)]
    engine = make_engine(grace=timedelta(0))
    async with engine:
        handle = await engine.start(Purchase, 1, id="p-1")
        facts = handle.facts()
        assert (await anext(facts)).fact == "SagaStarted"
        assert (await anext(facts)).fact == "CallRegistered"
        waiting = asyncio.create_task(anext(facts))  # type: ignore[arg-type]
        await asyncio.sleep(0.01)
    with pytest.raises(EngineClosedError):
        await waiting
