"""The job of histories: records some of both sides, counts their events, and replays them without a server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import replace
from typing import Any, Final, TypeAlias

from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from saga.temporal import SagaPlugin

from ._arithmetic import median
from ._cells import Cell, Spec, hand_written, ours
from ._channel import Channel
from ._hand_written import HandWrittenPurchase
from ._load import drive_count
from ._on_temporal import server_of, side
from ._sagas import Order, Purchase, declined_order_of, order_of

COMPENSATED_SAGAS: Final = 5
WARM_UP_HISTORIES: Final = 5

Histories: TypeAlias = list[WorkflowHistory]
MakeReplayer: TypeAlias = Callable[[WorkflowRunner], Replayer]


def histories(spec: Spec, channel: Channel) -> None:
    """Answer with the events per saga of both, and with the CPU milliseconds per replay, round by round."""
    channel.say(**asyncio.run(_measured(spec)))


async def _measured(spec: Spec) -> dict[str, object]:
    sides = {"ours": ours(spec.cell.database, 1), "hand_written": hand_written(1)}
    done = {name: await _recorded(spec, cell, order_of(spec.payload_bytes), spec.count) for name, cell in sides.items()}
    declined = declined_order_of(spec.payload_bytes)
    compensated = {name: await _recorded(spec, cell, declined, COMPENSATED_SAGAS) for name, cell in sides.items()}
    events: dict[str, object] = {f"{name}_events": _events(found) for name, found in done.items()}
    events |= {f"{name}_events_compensated": _events(found) for name, found in compensated.items()}
    return {**events, **await _replayed(done, spec.rounds)}


async def _recorded(spec: Spec, cell: Cell, order: Order, count: int) -> Histories:
    """Run so many sagas and fetch their histories."""
    told = replace(spec, cell=cell, url=f"{spec.url}-{cell.engine}-{order.amount_cents}")
    _, prefix = server_of(told)
    async with side(told) as opened:
        await drive_count(lambda number: opened.run(order, f"{prefix}-{number}"), 8, count, iter(range(count)))
        handles = [opened.client.get_workflow_handle(f"{prefix}-{number}") for number in range(count)]
        return [await handle.fetch_history() for handle in handles]


def _events(found: Histories) -> float:
    """Return the median: on a busy machine a workflow task that timed out adds events to one."""
    return median([len(history.events) for history in found])


async def _replayed(done: dict[str, Histories], rounds: int) -> dict[str, list[float]]:
    """Return the CPU milliseconds per replay of each way, in turns, so that all see the same machine."""
    ways: dict[str, tuple[MakeReplayer, WorkflowRunner, Histories]] = {}
    makers: dict[str, MakeReplayer] = {"ours": _replayer_of_ours, "hand_written": _replayer_of_hand_written}
    for name, make in makers.items():
        ways[f"{name}_replay_ms"] = (make, SandboxedWorkflowRunner(), done[name])
        ways[f"{name}_replay_ms_unsandboxed"] = (make, UnsandboxedWorkflowRunner(), done[name])
    for make_one, runner, found in ways.values():
        await _cpu_ms(make_one(runner), found[:WARM_UP_HISTORIES])
    times: dict[str, list[float]] = {way: [] for way in ways} if rounds else {}
    for _ in range(rounds):
        for way, (make_one, runner, found) in ways.items():
            times[way].append(await _cpu_ms(make_one(runner), found))
    return times


async def _cpu_ms(replayer: Replayer, found: Histories) -> float:
    """Return the processor time of the whole process, every thread, per history; a replay that fails raises."""
    began = time.process_time()
    await replayer.replay_workflows(_each(found))
    return 1000 * (time.process_time() - began) / len(found)


async def _each(found: Iterable[WorkflowHistory]) -> AsyncGenerator[WorkflowHistory]:
    for history in found:
        yield history


def _replayer_of_ours(runner: WorkflowRunner) -> Replayer:
    sagas: list[Any] = [Purchase]
    return Replayer(workflows=[], plugins=[SagaPlugin(sagas=sagas)], workflow_runner=runner)


def _replayer_of_hand_written(runner: WorkflowRunner) -> Replayer:
    return Replayer(workflows=[HandWrittenPurchase], data_converter=pydantic_data_converter, workflow_runner=runner)
