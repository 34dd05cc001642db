"""Changed code and old histories: what does not fit is explained, and what was not reached may change."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowHistory
from temporalio.common import RawValue
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import PayloadCodec
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from saga.errors import ReplayMismatchError
from saga.temporal import SagaPlugin, TemporalEngine, history_of
from saga.temporal._changed import Changed, HistoryUnreadError
from saga.temporal._definitions import difference
from saga.temporal._trouble import trouble
from tests.histories.record import FOLDER
from tests.temporal import shop
from tests.temporal.changed import (
    Added,
    Asking,
    Doubled,
    Longer,
    Moved,
    Paid,
    PaidBack,
    Post,
    Removed,
    Renamed,
    Sent,
    SentInsured,
    Two,
)

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
    plugin = SagaPlugin(sagas=[saga], participants={"post": Post()})
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


class Backwards(PayloadCodec):
    """Keeps payloads from everybody who cannot read backwards."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Turn them round."""
        data = [one.SerializeToString()[::-1] for one in payloads]
        return [Payload(metadata={"encoding": b"binary/backwards"}, data=one) for one in data]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Turn them back."""
        return [Payload.FromString(one.data[::-1]) for one in payloads]


ANOTHER_INPUT = (Two, Doubled, "call other.1", "call other.1 with another input")
ANOTHER_KIND = (Paid, PaidBack, "call pay.1 (pivot, the point of no return)", "call pay.1 (compensatable)")


@pytest.mark.parametrize("coded", [False, True], ids=["plain", "codec"])
@pytest.mark.parametrize(("before", "after", "holds", "does"), [ANOTHER_INPUT, ANOTHER_KIND], ids=["input", "kind"])
async def test_another_input_or_kind_does_not_fit(
    temporal_address: str, queue: str, *, before: type[Any], after: type[Any], holds: str, does: str, coded: bool
) -> None:
    """What was done would be compensated as something else than it was; so nothing is, and the page says why (S15)."""
    codec = Backwards() if coded else None
    converter = dataclasses.replace(pydantic_data_converter, payload_codec=codec)
    client = await Client.connect(temporal_address, data_converter=converter)
    id = await asking(client, queue, before)
    workflow = client.get_workflow_handle(id)
    async with (
        Worker(client, task_queue=queue, plugins=[SagaPlugin(sagas=[after], participants={})], max_cached_workflows=0),
        TemporalEngine(client, task_queue=queue) as engine,
    ):
        await workflow.signal("decide", {"by": "rita", "call": "review.1", "payload": "true"})
        async with asyncio.timeout(30):
            while not (why := await trouble(client, await workflow.describe())):
                await asyncio.sleep(0.1)
        view = await (await engine.get(after, id)).view()
    assert f"the history holds  {holds}\n" in why
    assert f"the code does      {does}\n" in why
    assert not [one for one in view.calls if one.name.endswith("/compensation")]


@pytest.mark.parametrize(("before", "after", "holds", "does"), [ANOTHER_INPUT, ANOTHER_KIND], ids=["input", "kind"])
async def test_a_replay_says_which_input_or_kind_does_not_fit(
    client: Client, queue: str, *, before: type[Any], after: type[Any], holds: str, does: str
) -> None:
    """So that it is known before it is deployed."""
    id = await asking(client, queue, before)
    replayer = Replayer(workflows=[], plugins=[SagaPlugin(sagas=[after])])
    with pytest.raises(ReplayMismatchError) as caught:
        await replayer.replay_workflow(await client.get_workflow_handle(id).fetch_history())
    assert (caught.value.recorded, caught.value.replayed) == (holds, does)


async def test_an_input_that_reads_alike_fits(client: Client, queue: str) -> None:
    """A field that was added with a default is no difference: the recorded input is read with today's model."""
    id = await asking(client, queue, Sent)
    history = await client.get_workflow_handle(id).fetch_history()
    replayer = Replayer(workflows=[], plugins=[SagaPlugin(sagas=[SentInsured])])
    assert (await replayer.replay_workflow(history)).replay_failure is None


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


async def nothing(*_: object) -> object:
    """Never answers."""
    return await asyncio.get_running_loop().create_future()


async def test_what_cannot_be_compared_does_not_go_on(
    client: Client, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as the history is not to be had nobody knows what would be compensated."""
    id = await asking(client, queue, Two)
    monkeypatch.setattr("saga.temporal._changed._ANSWERS_WITHIN", 0.1)
    workflow = client.get_workflow_handle(id)
    plugin = SagaPlugin(sagas=[Doubled], participants={})
    with monkeypatch.context() as patched:
        patched.setattr("saga.temporal._changed.Changed.events", nothing)
        async with Worker(client, task_queue=queue, plugins=[plugin], max_cached_workflows=0):
            await workflow.signal("decide", {"by": "rita", "call": "review.1", "payload": "false"})
            async with asyncio.timeout(30):
                while not (why := await trouble(client, await workflow.describe())):
                    await asyncio.sleep(0.1)
    assert "its history could not be read (it took longer than 0.1 seconds)" in why
    assert not [one for one in await history_of(client, id) if one.fact == "RecoveryStarted"]


async def test_a_history_that_takes_long_is_there_for_the_next_attempt() -> None:
    """Otherwise a long one would keep its instance for ever; and one that takes for ever is given up."""
    loop = asyncio.get_running_loop()
    slow = asyncio.Event()

    class Slow(Changed):
        async def events(self, id: str, run: str) -> list[HistoryEvent]:
            await slow.wait()
            return [HistoryEvent(event_id=7)]

    changed = Slow()
    with pytest.raises(HistoryUnreadError, match="took longer"):
        await asyncio.to_thread(changed.told, "t", "r", loop)
    slow.set()
    [event] = await asyncio.to_thread(changed.told, "t", "r", loop)
    assert event.event_id == 7
    assert not changed.fetches


def test_a_worker_that_closes_says_so() -> None:
    """The task fails, and another worker takes it."""
    loop = asyncio.new_event_loop()
    loop.close()
    with pytest.raises(HistoryUnreadError, match="RuntimeError"):
        Changed().told("t", "r", loop)


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
