"""What keeps an instance from going on, or from starting, is told to whoever waits; nothing hangs unseen."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.worker import Worker

from saga import SagaState
from saga.errors import PayloadTooLargeError, ServerError
from saga.kernel import PAYLOAD_LIMIT, SagaHandle
from saga.temporal import SagaPlugin, TemporalEngine, history_of
from tests.temporal.heavy import Echo, Heavy, Unforgiving
from tests.temporal.shop import Reviewed

NOBODY: dict[str, object] = {}


async def warned(handle: SagaHandle[Any], caplog: pytest.LogCaptureFixture, text: str) -> None:
    """Waits for the result until the log says why it does not come."""
    waiting = asyncio.ensure_future(handle.result())
    async with asyncio.timeout(60):
        while text not in caplog.text:
            await asyncio.sleep(0.2)
    waiting.cancel()


async def shown(address: str, *arguments: str) -> str:
    """Returns what the command line prints."""
    options = ("--engine", "temporal", "--address", address)
    command = (sys.executable, "-m", "saga.cli", *arguments, *options)
    asking = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asking.communicate()
    assert asking.returncode == 0, err.decode()
    return out.decode()


async def test_a_compensation_that_fails_for_ever_is_told(
    client: Client, temporal_address: str, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    """By the log, by the engine and by the command line; its facts only say that it was begun."""
    plugin = SagaPlugin(sagas=[Unforgiving], participants=NOBODY)
    async with Worker(client, task_queue=queue, plugins=[plugin]), TemporalEngine(client, task_queue=queue) as engine:
        handle = await engine.start(Unforgiving, 1, id=f"{queue}-t")
        told = "ConnectionError: the bank is down"
        await warned(handle, caplog, f"Unforgiving {handle.id}: letters.1/compensation has failed ")
        assert told in caplog.text
        assert told in await engine.trouble(handle.id)
        page = await shown(temporal_address, "show", handle.id)
        assert "letters.1/compensation has failed" in page
        assert told in page
        beside = json.loads(await shown(temporal_address, "show", handle.id, "--json"))["workflow"]
        assert told in beside["trouble"]
        await client.get_workflow_handle(handle.id).terminate()
        assert not await engine.trouble(handle.id)


async def test_that_no_worker_polls_is_told(
    client: Client, queue: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for the result reads it in the log; whoever asks for something gets it as an error."""
    monkeypatch.setattr("saga.temporal._journals._TAKES_WITHIN", timedelta(seconds=4))
    async with TemporalEngine(client, task_queue=queue) as engine:
        handle = await engine.start(Reviewed, 5, id=f"{queue}-t")
        view = await handle.view()
        assert (view.state, view.request, view.calls) == (SagaState.RUNNING, "5", ())
        await warned(handle, caplog, f"no worker has polled task queue '{queue}'")
        with pytest.raises(ServerError, match="no worker has polled"):
            await handle.cancel(by="anna")


async def test_that_the_workers_do_not_know_the_saga_is_told(
    client: Client, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its workflow task fails again and again; the log says why."""
    plugin = SagaPlugin(sagas=[Reviewed], participants=NOBODY)
    async with Worker(client, task_queue=queue, plugins=[plugin]), TemporalEngine(client, task_queue=queue) as engine:
        handle = await engine.start(Heavy, 1, id=f"{queue}-t")
        await warned(handle, caplog, "Workflow class Heavy is not registered on this worker")


async def test_what_is_newer_than_the_library_is_refused(
    client: Client, queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    """By the worker that would have to go on with it, before it does anything."""
    plugin = SagaPlugin(sagas=[Reviewed], participants=NOBODY)
    async with Worker(client, task_queue=queue, plugins=[plugin]), TemporalEngine(client, task_queue=queue) as engine:
        await client.start_workflow(
            "Reviewed", 5, id=f"{queue}-t", task_queue=queue, memo={"saga_definition": {"kernel": 99}}
        )
        await warned(await engine.get(Reviewed, f"{queue}-t"), caplog, "was started under version 99 of the rules")


@pytest.mark.parametrize("memo", [["kernel"], "kernel", {"kernel": "new"}, None], ids=str)
async def test_a_memo_that_is_somebody_elses_is_no_hindrance(client: Client, queue: str, memo: object) -> None:
    """Whoever starts a saga by its name may have used the key for something else."""
    plugin = SagaPlugin(sagas=[Echo], participants=NOBODY)
    async with Worker(client, task_queue=queue, plugins=[plugin]), TemporalEngine(client, task_queue=queue) as engine:
        await client.start_workflow("Echo", "x", id=f"{queue}-t", task_queue=queue, memo={"saga_definition": memo})
        async with asyncio.timeout(20):
            assert await (await engine.get(Echo, f"{queue}-t")).result() is not None


async def test_a_request_that_is_too_large_is_refused(client: Client, queue: str) -> None:
    """By its size, before the server does it in its own words."""
    async with TemporalEngine(client, task_queue=queue) as engine:
        for size in (PAYLOAD_LIMIT, PAYLOAD_LIMIT - 10):
            with pytest.raises((PayloadTooLargeError, ServerError), match="limit"):
                await engine.start(Echo, "x" * size, id=f"{queue}-t")


async def test_a_journal_that_no_start_can_hold_stays_where_it_is(client: Client, queue: str) -> None:
    """The instance goes on in the run that it is in, however long that grows."""
    plugin = SagaPlugin(sagas=[Heavy], participants=NOBODY, history_budget=20)
    async with (
        Worker(client, task_queue=queue, plugins=[plugin]),
        TemporalEngine(client, task_queue=queue, history_budget=20) as engine,
    ):
        handle = await engine.start(Heavy, 6, id=f"{queue}-t")
        assert await handle.result() == 6_000_015
        assert len(await history_of(client, handle.id)) == 14
