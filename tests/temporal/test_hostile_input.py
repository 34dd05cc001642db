"""What makes no sense comes from outside: it is refused, and the instance goes on as if it had never come."""

from __future__ import annotations

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from saga import SagaHandle, SagaState
from saga.errors import JournalCorruptError
from saga.kernel import definition_of
from saga.temporal import SagaPlugin, TemporalEngine, history_of, journal_of, recover
from saga.temporal._carried import LARGEST_PART
from saga.temporal._definitions import remembered
from tests.temporal.asking import Asking, Counting, Napping, Slow
from tests.temporal.shop import Reviewed
from tests.temporal.test_history import same

ANSWER = {"by": "rita", "call": "review.1", "payload": "true"}
UNKNOWN = RawValue(Payload(metadata={"encoding": b"binary/of-somebody"}, data=b"1"))
SENSELESS = {
    "nothing": [],
    "null": [None],
    "two": [ANSWER, 2],
    "binary": [b"\xff\xfe"],
    "two, one unknown": [ANSWER, UNKNOWN],
    "another model": [{"by": "rita", "call": None, "payload": "true"}],
}


def noted(note: bytes) -> RawValue:
    """A request with something beside it."""
    return RawValue(Payload(metadata={"encoding": b"json/plain", "saga": note}, data=b"1"))


async def waiting(engine: TemporalEngine, id: str) -> SagaHandle[int]:
    """An instance that waits for its decision."""
    handle = await engine.start(Reviewed, 5, id=id)
    async for fact in handle.facts():
        if fact.fact == "DecisionAwaited":
            break
    return handle


@pytest.mark.parametrize("args", SENSELESS.values(), ids=SENSELESS.keys())
async def test_a_signal_that_makes_no_sense_is_ignored(
    engine: TemporalEngine, client: Client, queue: str, args: list[object]
) -> None:
    """The decision that follows is taken, and the history still tells the journal."""
    handle = await waiting(engine, f"{queue}-t")
    await client.get_workflow_handle(handle.id).signal("decide", args=args)
    await client.get_workflow_handle(handle.id).signal("of-somebody", args=args)
    await client.get_workflow_handle(handle.id).signal("decide", ANSWER)
    assert await handle.result() == 5
    await same(client, handle)
    assert [act.act for act in (await handle.view()).acts] == ["decide"]


@pytest.mark.parametrize("args", SENSELESS.values(), ids=SENSELESS.keys())
async def test_an_update_that_makes_no_sense_is_refused(
    engine: TemporalEngine, client: Client, queue: str, args: list[object]
) -> None:
    """Whoever asked is told; nothing of it is in the history."""
    handle = await waiting(engine, f"{queue}-t")
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await client.get_workflow_handle(handle.id).execute_update("decide", args=args)
    assert isinstance(refused.value.cause, ApplicationError)
    if UNKNOWN not in args:  # that is refused before it comes to us
        assert refused.value.cause.type == "InvalidRequestError"
    await handle.decide(Reviewed.review, answer=True, by="rita")
    assert await handle.result() == 5


@pytest.mark.parametrize(
    "args",
    [[5, 6], [b"\xff\xfe"], [noted(b"{}x")], [noted(b'{"x": 1}')], [noted(b"[" * 100_000)], [noted(b'"text"')]],
    ids=["two", "binary", "no JSON", "unknown keys", "deep", "no object"],
)
async def test_a_start_that_makes_no_sense_ends_compensated(
    engine: TemporalEngine, client: Client, queue: str, args: list[object]
) -> None:
    """With the error; no call was made."""
    started = await client.start_workflow("Reviewed", args=args, id=f"{queue}-t", task_queue=queue)
    with pytest.raises(WorkflowFailureError) as failed:
        await started.result()
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.type == "SagaCompensatedError"
    handle = await engine.get(Reviewed, started.id)
    assert (await handle.view()).state is SagaState.COMPENSATED
    await same(client, handle)
    assert "CallRegistered" not in {fact.fact for fact in await history_of(client, started.id)}


async def test_a_large_answer_is_stored_once(client: Client, queue: str) -> None:
    """In the event of its update, whatever letters it has; two of it would be more than the server takes."""
    plugin = SagaPlugin(sagas=[Asking], participants={})
    text = "é" * (LARGEST_PART // 2 - 100)
    async with Worker(client, task_queue=queue, plugins=[plugin]), TemporalEngine(client, task_queue=queue) as engine:
        handle = await engine.start(Asking, 1, id=f"{queue}-t")
        await handle.decide(Asking.text, text, by="rita")
        assert await handle.result() == len(text)
        await same(client, handle)
    history = await client.get_workflow_handle(handle.id).fetch_history()
    assert sum(event.ByteSize() for event in history.events) < 2 * LARGEST_PART


async def _until(client: Client, id: str, name: str) -> None:
    """Waits until a history has an event."""
    async for event in client.get_workflow_handle(id).fetch_history_events(wait_new_event=True):
        if event.HasField(name):  # type: ignore[arg-type]
            return


async def test_a_timer_that_was_set_and_cancelled_in_one_task_hides_nothing(client: Client, queue: str) -> None:
    """Its command is dropped, so what it would have told is told by the next; a history with a hole is refused."""
    slow, elsewhere = Slow(), f"{queue}-p"

    def plugin() -> SagaPlugin:
        return SagaPlugin(sagas=[Napping], participants={"slow": slow}, task_queues={"slow": elsewhere})

    async with (
        Worker(client, task_queue=elsewhere, plugins=[plugin()]),
        TemporalEngine(client, task_queue=queue) as engine,
    ):
        async with Worker(client, task_queue=queue, plugins=[plugin()]):
            handle = await engine.start(Napping, 7, id=f"{queue}-t")
            await _until(client, handle.id, "timer_started_event_attributes")
            await _until(client, handle.id, "activity_task_scheduled_event_attributes")
        await _until(client, handle.id, "timer_fired_event_attributes")
        slow.gate.set()
        await _until(client, handle.id, "activity_task_completed_event_attributes")
        async with Worker(client, task_queue=queue, plugins=[plugin()]):
            async for fact in handle.facts():
                if fact.fact == "DecisionAwaited":
                    break
            await same(client, handle)
            facts = await history_of(client, handle.id)
            assert [fact.fact for fact in facts].count("TimerSet") == 3, "the nap's second timer among them"
            await client.get_workflow_handle(handle.id).terminate()
            recovered = await recover(client, Napping, handle.id, by="olga", why="terminated")
            await recovered.decide(Napping.more, answer=True, by="rita")
            assert await recovered.result() == 7


async def test_a_history_with_a_hole_is_refused(engine: TemporalEngine, client: Client, queue: str) -> None:
    """Rather a typed error than a journal that lacks facts."""
    handle = await waiting(engine, f"{queue}-t")
    events = list((await client.get_workflow_handle(handle.id).fetch_history()).events)
    for event in events:
        for payload in event.activity_task_scheduled_event_attributes.input.payloads:
            del payload.metadata["saga-facts"]
    with pytest.raises(JournalCorruptError, match="facts are missing after the first 0 of this run"):
        journal_of(events)


async def test_another_budget_does_not_change_a_run_that_is_on(client: Client, queue: str) -> None:
    """What was recorded when it started holds for it; the run after it takes what its worker says."""
    remembers = {**remembered(definition_of(Counting)).model_dump(mode="json"), "budget": 30}
    async with TemporalEngine(client, task_queue=queue) as engine:
        async with Worker(client, task_queue=queue, plugins=[SagaPlugin(sagas=[Counting], participants={})]):
            started = await client.start_workflow(
                "Counting", 12, id=f"{queue}-t", task_queue=queue, memo={"saga_definition": remembers}
            )
            handle = await engine.get(Counting, started.id)
            await handle.decide(Counting.more, answer=1, by="rita")
        again = SagaPlugin(sagas=[Counting], participants={}, history_budget=15)
        async with Worker(client, task_queue=queue, plugins=[again], max_cached_workflows=0):
            for number in range(2, 13):
                await handle.decide(Counting.more, answer=number, by="rita", call=number)
            assert await handle.result() == sum(range(1, 13))
    runs = [one.run_id async for one in client.list_workflows(f"WorkflowId = '{handle.id}'")]
    histories = [await client.get_workflow_handle(handle.id, run_id=run).fetch_history() for run in runs]
    assert len(runs) > 2
    assert max(len(one.events) for one in histories) >= 30
    failed = "workflow_task_failed_event_attributes"
    assert not [event for one in histories for event in one.events if event.HasField(failed)]
