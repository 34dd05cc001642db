"""Recovery of instances that cannot recover themselves: whatever they did, nothing stays of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.worker import Worker

from saga import SagaCompensatedError, SagaHandle, SagaState
from saga.errors import ActRefusedError, InvalidRequestError, UnknownSagaError
from saga.kernel import Instance, view_of
from saga.temporal import SagaPlugin, TemporalEngine, _recover, history_of, recover
from tests.temporal.orders import Broken, Order, Part, Warehouse, Whole

WHO = {"by": "olga", "why": "it was ended by mistake"}


@asynccontextmanager
async def running(client: Client, queue: str, warehouse: Warehouse) -> AsyncGenerator[TemporalEngine]:
    """A worker for all sagas of this file, and an engine."""
    sagas = [Order, Broken, Part, Whole]
    plugin = SagaPlugin(sagas=sagas, participants={"warehouse": warehouse})
    async with Worker(client, task_queue=queue, plugins=[plugin]), TemporalEngine(client, task_queue=queue) as engine:
        try:
            yield engine
        finally:
            warehouse.gate.set()


async def compensated(handle: SagaHandle[Any]) -> str:
    """Waits for the end, which has to be COMPENSATED, and tells it."""
    with pytest.raises(SagaCompensatedError) as caught:
        await handle.result()
    return str(caught.value)


@pytest.mark.parametrize("late", [False, True], ids=["before it acts", "after it acted"])
@pytest.mark.parametrize("stop", ["a.1", "b.1"])
async def test_what_a_terminated_instance_did_is_compensated(
    client: Client, queue: str, stop: str, *, late: bool
) -> None:
    """At every point before the pivot; an action that is still on its way then comes too late."""
    warehouse = Warehouse(stop, late=late)
    async with running(client, queue, warehouse) as engine:
        handle = await engine.start(Order, False, id=f"{queue}-t")
        await warehouse.stopped.wait()
        await client.get_workflow_handle(handle.id).terminate()
        recovered = await recover(client, Order, handle.id, **WHO)
        assert "(aborted)" in await compensated(recovered)
        warehouse.gate.set()
        view = await recovered.view()
    assert not warehouse.effects
    assert [(act.act, act.by, act.why) for act in view.acts] == [("abort", "olga", "it was ended by mistake")]
    assert view_of(Instance().fold_all(await history_of(client, handle.id))) == view


async def test_what_waits_for_an_answer_is_compensated(client: Client, queue: str) -> None:
    """And whoever recovers it again, or at the same time, gets the same."""
    warehouse = Warehouse()
    async with running(client, queue, warehouse) as engine:
        handle = await engine.start(Order, True, id=f"{queue}-t")
        async for fact in handle.facts():
            if fact.fact == "DecisionAwaited":
                break
        await client.get_workflow_handle(handle.id).terminate()
        both = await asyncio.gather(*(recover(client, Order, handle.id, **WHO) for _ in range(2)))
        ends = [await compensated(one) for one in [*both, await engine.recover(Order, handle.id, **WHO)]]
        assert len(set(ends)) == 1
        assert len((await handle.view()).acts) == 1
    assert not warehouse.effects


@pytest.mark.parametrize("place", ["_start_again", "_start"], ids=["before it looks again", "after it looked again"])
async def test_a_slow_recovery_does_nothing_after_a_quick_one(
    client: Client, queue: str, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """One that has read the history, and starts when the other's run has ended, compensates nothing again."""
    goes_on, waits = asyncio.Event(), asyncio.Event()
    usual = getattr(_recover, place)

    async def slow(*arguments: Any) -> None:
        current = asyncio.current_task()
        if current is not None and current.get_name() == "slow":
            waits.set()
            await goes_on.wait()
        await usual(*arguments)

    monkeypatch.setattr(_recover, place, slow)
    warehouse = Warehouse("b.1")
    async with running(client, queue, warehouse) as engine:
        handle = await engine.start(Order, False, id=f"{queue}-t")
        await warehouse.stopped.wait()
        await client.get_workflow_handle(handle.id).terminate()
        other = asyncio.create_task(recover(client, Order, handle.id, **WHO), name="slow")
        await waits.wait()
        await compensated(await recover(client, Order, handle.id, **WHO))
        ended = await client.get_workflow_handle(handle.id).describe()
        goes_on.set()
        await compensated(await other)
        assert (await client.get_workflow_handle(handle.id).describe()).run_id == ended.run_id


async def test_what_went_on_when_it_should_be_terminated_is_refused(
    client: Client, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its code was mended between the look at it and the end of it."""

    async def fails(*_: object) -> str:
        return "for ever"

    async with running(client, queue, Warehouse()) as engine:
        handle = await engine.start(Order, True, id=f"{queue}-t")
        usual = _recover._check_needed

        async def meanwhile(*arguments: Any) -> None:
            await usual(*arguments)
            monkeypatch.undo()
            await handle.cancel(by="anna")
            await compensated(handle)

        monkeypatch.setattr(_recover, "failing", fails)
        monkeypatch.setattr(_recover, "_check_needed", meanwhile)
        with pytest.raises(ActRefusedError, match="nothing is left to recover"):
            await recover(client, Order, handle.id, **WHO)


async def test_what_was_ended_from_outside_is_listed_until_it_is_recovered(client: Client, queue: str) -> None:
    """It has no state then; afterwards it is there once, with the state that it got to."""
    async with running(client, queue, Warehouse()) as engine:
        handle = await engine.start(Order, True, id=f"{queue}-t")

        async def listed(*states: SagaState) -> list[tuple[SagaState | None, bool]]:
            found = engine.list(saga=Order, id_prefix=queue, states=states)
            return [(one.state, one.ended_from_outside) async for one in found]

        async def lists(state: SagaState | None) -> None:
            async with asyncio.timeout(30):
                while await listed() != [(state, state is None)]:
                    await asyncio.sleep(0.1)

        await lists(SagaState.RUNNING)
        await client.get_workflow_handle(handle.id).terminate()
        await lists(None)
        assert not await listed(*SagaState)
        await compensated(await engine.recover(Order, handle.id, **WHO))
        await lists(SagaState.COMPENSATED)


async def test_a_recovery_that_is_ended_is_recovered(client: Client, queue: str) -> None:
    """It goes on where it was: in the middle of a compensation."""
    warehouse = Warehouse("b.1/compensation")
    async with running(client, queue, warehouse) as engine:
        handle = await engine.start(Order, True, id=f"{queue}-t")
        async for fact in handle.facts():
            if fact.fact == "DecisionAwaited":
                break
        for _ in range(2):
            await client.get_workflow_handle(handle.id).terminate()
            await recover(client, Order, handle.id, **WHO)
            await asyncio.wait_for(warehouse.stopped.wait(), 30)
        warehouse.gate.set()
        await compensated(handle)
        assert [act.act for act in (await handle.view()).acts] == ["abort", "cancel"]
    assert not warehouse.effects


@pytest.mark.parametrize("late", [False, True], ids=["before it acts", "after it acted"])
@pytest.mark.parametrize("stop", ["pay.1", "ship.1"])
async def test_after_the_pivot_it_goes_forward(client: Client, queue: str, stop: str, *, late: bool) -> None:
    """What was done stays done once, and the rest is done too."""
    warehouse = Warehouse(stop, late=late)
    async with running(client, queue, warehouse) as engine:
        handle = await engine.start(Order, False, id=f"{queue}-t")
        await warehouse.stopped.wait()
        await client.get_workflow_handle(handle.id).terminate()
        warehouse.stop = ""
        recovered = await recover(client, Order, handle.id, **WHO)
        assert await recovered.result() == 6
    assert warehouse.effects == {f"{handle.id}/{call}" for call in ("a.1", "b.1", "pay.1", "ship.1")}


async def test_broken_code_is_no_hindrance(client: Client, queue: str) -> None:
    """Before the pivot `run` is not executed again; what fails for ever is terminated first."""
    warehouse = Warehouse()
    async with running(client, queue, warehouse) as engine:
        handle = await engine.start(Broken, False, id=f"{queue}-t")
        workflow = client.get_workflow_handle(handle.id)
        while (await workflow.describe()).raw_description.pending_workflow_task.attempt < 2:
            await asyncio.sleep(0.1)
        assert [call.name for call in (await handle.view()).calls] == ["a.1"]
        assert warehouse.effects == {f"{handle.id}/a.1"}
        await compensated(await engine.recover(Broken, handle.id, **WHO))
        assert (await handle.view()).state is SagaState.COMPENSATED
    assert not warehouse.effects


@pytest.mark.parametrize("stop", ["b.1", "c.1"], ids=["while it runs", "when it has completed"])
async def test_a_nested_saga_is_compensated_too(client: Client, queue: str, stop: str) -> None:
    """It runs on when its parent is terminated; the recovery asks it to stop, or compensates what it handed over."""
    warehouse = Warehouse(stop)
    async with running(client, queue, warehouse) as engine:
        handle = await engine.start(Whole, 1, id=f"{queue}-t")
        await warehouse.stopped.wait()
        await client.get_workflow_handle(handle.id).terminate()
        recovered = await recover(client, Whole, handle.id, **WHO)
        asyncio.get_running_loop().call_later(1, warehouse.gate.set)
        await compensated(recovered)
    assert not warehouse.effects


async def test_what_goes_on_or_ended_by_itself_is_refused(client: Client, queue: str) -> None:
    """Cancel is for those; and nothing is changed by the refusal."""
    async with running(client, queue, Warehouse()) as engine:
        healthy = await engine.start(Order, True, id=f"{queue}-1")
        with pytest.raises(ActRefusedError, match="use cancel"):
            await recover(client, Order, healthy.id, **WHO)
        await healthy.cancel(by="anna")
        await compensated(healthy)
        with pytest.raises(ActRefusedError, match="nothing is left to recover"):
            await recover(client, Order, healthy.id, **WHO)
        assert await engine.run(Order, False, id=f"{queue}-2") == 6
        with pytest.raises(ActRefusedError, match="it has completed"):
            await recover(client, Order, f"{queue}-2", **WHO)
        with pytest.raises(UnknownSagaError, match="is a Order, not a Whole"):
            await recover(client, Whole, f"{queue}-2", **WHO)
        with pytest.raises(UnknownSagaError):
            await recover(client, Order, f"{queue}-3", **WHO)
        with pytest.raises(InvalidRequestError, match="say who recovers it"):
            await recover(client, Order, f"{queue}-2", by="", why="")


async def test_what_timed_out_before_a_worker_took_it_did_nothing(client: Client, queue: str) -> None:
    """There is nothing to compensate, and the instance says so."""
    workflow = await client.start_workflow(
        "Order", False, id=f"{queue}-t", task_queue=queue, execution_timeout=timedelta(seconds=1)
    )
    while (await workflow.describe()).status is WorkflowExecutionStatus.RUNNING:
        await asyncio.sleep(0.2)
    assert [fact.fact for fact in await history_of(client, workflow.id)] == ["SagaStarted"]
    async with running(client, queue, Warehouse()):
        await compensated(await recover(client, Order, workflow.id, **WHO))
