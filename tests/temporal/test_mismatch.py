"""Changed code and old histories: what does not fit is explained, and what was not reached may change."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHistory
from temporalio.common import RawValue
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from saga.errors import ReplayMismatchError
from saga.temporal import SagaPlugin, TemporalEngine
from saga.temporal._definitions import difference
from tests.histories.record import FOLDER
from tests.temporal import shop
from tests.temporal.changed import Added, Asking, Longer, Moved, Removed, Renamed, Two

WORKS: dict[str, Any] = {"source": None, "target": None}


@pytest.mark.parametrize("sandboxed", [True, False], ids=["sandbox", "no sandbox"])
@pytest.mark.parametrize(
    ("changed", "holds", "does", "why"),
    [
        (Added, "call debit.1", "call audit.1", "step audit (read-only) was added before debit"),
        (Renamed, "call debit.1", "call withdraw.1", "step debit was renamed to withdraw"),
        (Removed, "call mail.1", "end: completed", "step mail was removed"),
        (Asking, "call credit.1", "wait for review.1", "step review (decision) was added"),
    ],
    ids=["added", "renamed", "removed", "asking"],
)
async def test_a_replay_says_which_step_does_not_fit(
    changed: type[Any], holds: str, does: str, why: str, *, sandboxed: bool
) -> None:
    """The first difference, and what was changed about the steps."""
    history = WorkflowHistory.from_json("t", (FOLDER / "transfer-completed.json").read_text(encoding="utf-8"))
    runner = SandboxedWorkflowRunner() if sandboxed else UnsandboxedWorkflowRunner()
    replayer = Replayer(workflows=[], plugins=[SagaPlugin(sagas=[changed])], workflow_runner=runner)
    with pytest.raises(ReplayMismatchError) as caught:
        await replayer.replay_workflow(history)
    assert (caught.value.recorded, caught.value.replayed) == (holds, does)
    assert f"Since it was started, {why}." in str(caught.value)


async def asking(client: Client, queue: str, saga: type[Any]) -> str:
    """Starts an instance, and leaves it without a worker where it waits for an answer."""
    plugin = SagaPlugin(sagas=[saga], participants={})
    async with (
        Worker(client, task_queue=queue, plugins=[plugin], max_cached_workflows=0),
        TemporalEngine(client, task_queue=queue) as engine,
    ):
        handle = await engine.start(saga, 5, id=f"{queue}-t")
        async for fact in handle.facts():
            if fact.fact == "DecisionAwaited":
                break
    return handle.id


async def test_a_worker_says_which_step_does_not_fit(
    client: Client, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In the failure of the workflow task, for everybody who looks there; and to whoever waits for the result."""
    id = await asking(client, queue, Two)
    workflow = client.get_workflow_handle(id)
    plugin = SagaPlugin(sagas=[Moved], participants={})
    async with (
        Worker(client, task_queue=queue, plugins=[plugin], max_cached_workflows=0),
        TemporalEngine(client, task_queue=queue) as engine,
    ):
        await workflow.signal("decide", {"by": "rita", "call": "review.1", "payload": "true"})
        waiting = asyncio.ensure_future((await engine.get(Moved, id)).result())
        async with asyncio.timeout(60):
            while "The failure" not in caplog.text:
                await asyncio.sleep(0.2)
        waiting.cancel()
        view = await (await engine.get(Moved, id)).view()
    failed = [
        event.workflow_task_failed_event_attributes.failure.message
        async for event in workflow.fetch_history_events()
        if event.HasField("workflow_task_failed_event_attributes")
    ]
    assert failed
    for text in [*failed, caplog.text]:
        assert "the history holds  call before.1" in text
        assert "the code does      call other.1" in text
    assert [(one.name, one.state) for one in view.calls] == [("before.1", "done"), ("other.1", "done")]


async def test_what_was_not_reached_may_change(client: Client, queue: str) -> None:
    """A step that comes after the place where the instance waits is no difference."""
    id = await asking(client, queue, Two)
    plugin = SagaPlugin(sagas=[Longer], participants={})
    async with (
        Worker(client, task_queue=queue, plugins=[plugin], max_cached_workflows=0),
        TemporalEngine(client, task_queue=queue) as engine,
    ):
        handle = await engine.get(Longer, id)
        await handle.decide(Longer.review, answer=True, by="rita")
        assert await handle.result() == 5
        assert [one.name for one in (await handle.view()).calls] == ["before.1", "other.1", "after.1"]


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ("abc", "abc", ""),
        ("abc", "abcd", "step d (x) was added"),
        ("abc", "xabc", "step x (x) was added before a"),
        ("abc", "axc", "step b was renamed to x"),
        ("abc", "ac", "step b was removed"),
        ("abc", "ab", "step c was removed"),
        ("abc", "bac", "step b was moved before a"),
        ("abc", "aBc", "step b was renamed to B"),
        ("abc", "", "step a was removed"),
    ],
)
def test_the_first_difference_of_two_definitions_is_told(before: str, after: str, text: str) -> None:
    """Added, renamed, removed or moved."""
    steps = [[(name, "x") for name in names] for names in (before, after)]
    assert difference(*steps) == text


def test_another_kind_is_a_difference_too() -> None:
    """It decides what is compensated."""
    assert difference([("a", "pivot")], [("a", "retriable")]) == "step a was pivot and is retriable"


async def test_a_query_of_an_instance_that_runs_is_no_replay(client: Client, queue: str) -> None:
    """A saga that plain Temporal started has no memo, so its replays are compared; what a worker still has is none."""
    plugin = SagaPlugin(sagas=[shop.Reviewed], participants={"source": shop.Bank(nl=100), "target": shop.Bank(de=0)})
    async with Worker(client, task_queue=queue, plugins=[plugin]):
        handle = await client.start_workflow("Reviewed", 5, id=f"{queue}-t", task_queue=queue)
        for _ in range(20):
            assert b'"id"' in (await handle.query("view", result_type=RawValue)).payload.data
        await handle.cancel()
