"""The journal from a history alone: it is the one that the workflow itself tells."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.converter import DataConverter, PayloadCodec
from temporalio.worker import Worker

from saga import Happened, SagaCompensatedError, SagaHandle, SagaState, SagaStuckError
from saga.errors import JournalVersionError, UnknownSagaError
from saga.kernel import CallState, Fact, Instance, definition_of, replay, view_of
from saga.temporal import SagaPlugin, TemporalEngine, history_of, journal_of
from tests.temporal.orders import Order, Warehouse
from tests.temporal.shop import Bank, Hurried, Long, MoneyTransfer, Parent, Reviewed, Transfer

OK = Transfer(source="nl", target="de", cents=30)
UNKNOWN = Transfer(source="nl", target="fr", cents=30)
POOR = Transfer(source="nl", target="de", cents=3000)


def told(facts: Iterable[Fact]) -> list[dict[str, Any]]:
    """Facts with their payloads, for comparing."""
    return [fact.model_dump(mode="json") | {"payload": fact.payload} for fact in facts]


async def same(client: Client, handle: SagaHandle[Any]) -> None:
    """Both journals are equal, fact by fact, and so are the views."""
    live, read = await handle._journals.journal(handle.id), await history_of(client, handle.id)
    assert told(read) == told(live)
    assert view_of(Instance().fold_all(read)) == view_of(Instance().fold_all(live))


async def ended(handle: SagaHandle[Any]) -> None:
    """Waits for the end, or until it is STUCK."""
    with suppress(SagaCompensatedError, SagaStuckError):
        await handle.result()


@pytest.mark.parametrize("transfer", [OK, UNKNOWN, POOR], ids=["completed", "compensated", "rejected"])
@pytest.mark.parametrize("saga", [MoneyTransfer, Parent])
async def test_it_tells_how_a_saga_ended(
    engine: TemporalEngine, client: Client, queue: str, saga: type[MoneyTransfer | Parent], transfer: Transfer
) -> None:
    """Every fact of the journal, in order; of a nested saga too."""
    handle = await engine.start(saga, transfer, id=f"{queue}-t")
    await ended(handle)
    await same(client, handle)


async def test_it_tells_attempts(engine: TemporalEngine, client: Client, queue: str, banks: dict[str, Bank]) -> None:
    """A mail that was lost twice was tried three times."""
    banks["source"].failures = 2
    handle = await engine.start(MoneyTransfer, OK, id=f"{queue}-t")
    await ended(handle)
    await same(client, handle)


async def test_it_tells_what_a_saga_waits_for(engine: TemporalEngine, client: Client, queue: str) -> None:
    """A decision that is awaited, answered by update or by signal, or cancelled in both ways."""
    handles = [await engine.start(Reviewed, 5, id=f"{queue}-{number}") for number in range(4)]
    for handle in handles:
        async for fact in handle.facts():
            if fact.fact == "DecisionAwaited":
                break
        await same(client, handle)
    await handles[0].decide(Reviewed.review, answer=True, by="rita")
    await client.get_workflow_handle(handles[1].id).signal("decide", "nonsense")
    signal = {"by": "rita", "call": "review.1", "payload": "false"}
    await client.get_workflow_handle(handles[1].id).signal("decide", signal)
    await handles[2].cancel(by="anna", why="no more")
    await client.get_workflow_handle(handles[3].id).cancel()
    for handle in handles:
        await ended(handle)
        await same(client, handle)


async def test_it_tells_what_operators_did(engine: TemporalEngine, client: Client, queue: str) -> None:
    """That it is STUCK and why, and the act that freed it."""
    handle = await engine.start(Reviewed, 13, id=f"{queue}-t")
    await ended(handle)
    await same(client, handle)
    await handle.resolve(Reviewed.pay, Happened(13), by="olga", why="the bank says so")
    await ended(handle)
    await same(client, handle)


async def test_it_tells_of_all_runs(engine: TemporalEngine, client: Client, queue: str) -> None:
    """A run that goes on where another ended starts with its journal."""
    handle = await engine.start(Long, 25, id=f"{queue}-t")
    await ended(handle)
    await same(client, handle)
    read = await history_of(client, handle.id)
    assert replay(definition_of(Long), read).instance.ended


async def test_it_tells_of_deadlines(engine: TemporalEngine, client: Client, queue: str) -> None:
    """The deadline, and that it passed."""
    handle = await engine.start(Hurried, 1, id=f"{queue}-t")
    await ended(handle)
    await same(client, handle)


class Reversing(PayloadCodec):
    """Hides what is in a payload, metadata and all."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Turn it round."""
        return [Payload(metadata={"encoding": b"reversed"}, data=one.SerializeToString()[::-1]) for one in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Turn it back."""
        return [Payload.FromString(one.data[::-1]) for one in payloads]


async def test_a_codec_hides_it_and_does_not_hinder_it(temporal_address: str, queue: str) -> None:
    """Every payload is decoded before it is read; whoever has no codec reads nothing of the journal."""
    converter = dataclasses.replace(DataConverter.default, payload_codec=Reversing())
    client = await Client.connect(temporal_address, data_converter=converter)
    warehouse = {"warehouse": Warehouse()}
    plugin = SagaPlugin(sagas=[Order], participants=warehouse)
    async with Worker(client, task_queue=queue, plugins=[plugin]), TemporalEngine(client, task_queue=queue) as engine:
        handle = await engine.start(Order, request=True, id=f"{queue}-t")
        await handle.decide(Order.approval, answer=True, by="rita")
        await ended(handle)
        await same(client, handle)
        assert (await engine.start(Order, request=True, id=handle.id)).id == handle.id
    history = await client.get_workflow_handle(handle.id).fetch_history()
    assert "CallRegistered" not in history.to_json()


async def test_it_tells_what_nobody_has_taken_in_yet(client: Client, queue: str) -> None:
    """Without a worker: what was asked for is in it, what would follow is not; a view needs no worker either."""
    warehouse = Warehouse("b.1")
    plugin = SagaPlugin(sagas=[Order], participants={"warehouse": warehouse})
    async with TemporalEngine(client, task_queue=queue) as engine:
        async with Worker(client, task_queue=queue, plugins=[plugin], max_cached_workflows=0):
            handle = await engine.start(Order, request=True, id=f"{queue}-t")
            await warehouse.stopped.wait()
            warehouse.gate.set()
            async for fact in handle.facts():
                if fact.fact == "DecisionAwaited":
                    break
        workflow = client.get_workflow_handle(handle.id)
        for by in ("rita", "paul"):
            await workflow.signal("decide", {"by": by, "call": "approval.1", "payload": "true"})
        await workflow.signal("decide", "nonsense")
        await workflow.cancel()
        facts = [fact.fact for fact in await history_of(client, handle.id)]
        assert facts[-3:] == ["DecisionAnswered", "DecisionIgnored", "CancelRequested"]
        await workflow.terminate()
        view = await handle.view()
    assert (view.state, [act.act for act in view.acts]) == (SagaState.RUNNING, ["decide", "cancel"])
    assert [(call.name, call.state) for call in view.calls] == [("a.1", CallState.DONE), ("b.1", CallState.DONE)]


async def test_it_refuses_what_it_cannot_read(engine: TemporalEngine, client: Client, queue: str) -> None:
    """An id that nobody used, events without their start, and what a newer version of the library wrote."""
    with pytest.raises(UnknownSagaError):
        await history_of(client, f"{queue}-none")
    handle = await engine.start(MoneyTransfer, OK, id=f"{queue}-t")
    await ended(handle)
    events = list((await client.get_workflow_handle(handle.id).fetch_history()).events)
    with pytest.raises(UnknownSagaError, match="from its start on"):
        journal_of(events[1:])
    for event in events:
        for payload in event.activity_task_scheduled_event_attributes.input.payloads:
            note = payload.metadata["saga-facts"].replace(b'"kernel":1', b'"kernel":99')
            payload.metadata["saga-facts"] = json.dumps(json.loads(note)).encode()
    with pytest.raises(JournalVersionError, match="run the version that wrote it"):
        journal_of(events)
