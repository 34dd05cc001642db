"""What the wrapper around an activity leaves as it is, and what it refuses to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.worker import Worker

from saga.errors import SagaCompensatedError, SagaStuckError
from saga.kernel import facts as f
from saga.temporal import SagaPlugin, TemporalEngine, history_of
from tests.temporal.beating import (
    GATE,
    SEEN,
    Blocking,
    Exported,
    ExportedInThread,
    ExportedLong,
    Waiting,
)
from tests.temporal.resettable import ACTING, ATTEMPTS, LET_GO, Answered, Hanging, Settling, Stubborn


@pytest.fixture
async def engine(client: Client, queue: str) -> AsyncGenerator[TemporalEngine]:
    """An engine beside a worker with one thread."""
    sagas = [Exported, ExportedInThread, ExportedLong, Blocking, Waiting, Hanging, Settling, Answered]
    plugin = SagaPlugin(sagas=sagas, participants={}, threads=1)
    async with Worker(client, task_queue=queue, plugins=[plugin]), TemporalEngine(client, task_queue=queue) as engine:
        yield engine


async def test_an_activity_that_heartbeats_by_itself_is_performed_again(engine: TemporalEngine, queue: str) -> None:
    """After a time limit and after a failure it finds what it last told, and nothing else."""
    async with asyncio.timeout(30):
        assert await engine.run(Exported, 7, id=f"{queue}-t") == 7
    assert SEEN[f"{queue}-t"] == [[], [7, "rows"], [7, "rows"]]


async def test_an_activity_heartbeats_from_its_thread(engine: TemporalEngine, queue: str) -> None:
    """As it could without a saga."""
    async with asyncio.timeout(30):
        assert await engine.run(ExportedInThread, 7, id=f"{queue}-t") == 7
    assert SEEN[f"{queue}-t"] == [[], [7]]


async def test_a_sign_of_life_repeats_what_the_activity_told(
    engine: TemporalEngine, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wrapper's own heartbeats come after the activity's, and must not replace them."""
    monkeypatch.setattr("saga.temporal._activities.BEAT", 0.2)
    async with asyncio.timeout(30):
        assert await engine.run(ExportedLong, 7, id=f"{queue}-t") == 7
    assert SEEN[f"{queue}-t"] == [[], [7]]


async def test_what_waited_too_long_for_a_thread_does_not_begin(engine: TemporalEngine, queue: str) -> None:
    """Its time limit has passed, and its compensation may have been before it."""
    async with asyncio.timeout(30):
        blocking = await engine.start(Blocking, 1, id=f"{queue}-b")
        await asyncio.to_thread(GATE.held.wait, 30)
        try:
            with pytest.raises(SagaCompensatedError):
                await engine.run(Waiting, 1, id=f"{queue}-t")
        finally:
            GATE.open.set()
        await blocking.result()
        await engine.run(Blocking, 2, id=f"{queue}-after")  # the thread takes what waits in order
    assert GATE.acts == ["compensated, in doubt: True"]


async def reset(client: Client, id: str, *, last: bool = False) -> None:
    """Goes back to the first workflow task, or to the last that was completed."""
    history = await client.get_workflow_handle(id).fetch_history()
    completed = [one.event_id for one in history.events if one.HasField("workflow_task_completed_event_attributes")]
    await client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace="default",
            workflow_execution=WorkflowExecution(workflow_id=id, run_id=history.run_id),
            workflow_task_finish_event_id=completed[-1 if last else 0],
            request_id=id,
        )
    )


async def test_what_a_run_before_a_reset_began_is_not_compensated_while_it_may_act(
    engine: TemporalEngine, client: Client, queue: str
) -> None:
    """It is done, but an attempt of the run that was given up may do it once more, after the compensation."""
    async with asyncio.timeout(30):
        handle = await engine.start(Hanging, f"{queue}-1", id=f"{queue}-t")
        await asyncio.to_thread(ACTING.acquire, timeout=20)
        await reset(client, handle.id)
        with pytest.raises(SagaStuckError, match=r"hang\.1"):
            await handle.result()
    assert ATTEMPTS.count(f"compensated {queue}-1") == 0


async def test_a_settle_time_is_waited_out_after_a_reset(engine: TemporalEngine, client: Client, queue: str) -> None:
    """The journal says since when; and the history tells the same journal."""
    async with asyncio.timeout(30):
        handle = await engine.start(Settling, f"{queue}-2", id=f"{queue}-t")
        await asyncio.to_thread(ACTING.acquire, timeout=20)
        await reset(client, handle.id)
        with pytest.raises(SagaCompensatedError):
            await handle.result()
    [done] = [
        one for one in await history_of(client, handle.id) if isinstance(one, f.CallDone) and one.call == "hang.1"
    ]
    assert done.overdue_at is not None
    assert ATTEMPTS.count(f"compensated {queue}-2") == 1


async def test_what_was_done_before_the_point_of_a_reset_stays_certain(
    engine: TemporalEngine, client: Client, queue: str
) -> None:
    """No run performs it twice, so nothing of it can come late."""
    async with asyncio.timeout(30):
        handle = await engine.start(Answered, f"{queue}-3", id=f"{queue}-t")
        await asyncio.to_thread(ACTING.acquire, timeout=20)
        await reset(client, handle.id, last=True)
        with pytest.raises(SagaCompensatedError):
            await handle.result()
    done = {one.call: one for one in await history_of(client, handle.id) if isinstance(one, f.CallDone)}
    assert done["answer.1"].overdue_at is None
    assert done["hang.1"].overdue_at is not None


async def test_an_attempt_that_its_worker_did_not_wait_for_may_still_act(client: Client, queue: str) -> None:
    """Its thread runs on, so nothing is compensated before somebody says what it did (S5)."""
    LET_GO.clear()
    plugin = SagaPlugin(sagas=[Stubborn], participants={})
    async with TemporalEngine(client, task_queue=queue) as engine:
        async with Worker(client, task_queue=queue, plugins=[plugin]):
            handle = await engine.start(Stubborn, queue, id=f"{queue}-t")
            await asyncio.to_thread(ACTING.acquire, timeout=30)
        async with Worker(client, task_queue=queue, plugins=[SagaPlugin(sagas=[Stubborn], participants={})]):
            with pytest.raises(SagaStuckError, match="may still be acting"):
                await handle.result()
    LET_GO.set()
    assert f"compensated {queue}" not in ATTEMPTS
