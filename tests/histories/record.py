"""Records the golden histories on a real server: `python -m tests.histories.record [NAME ...]`."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from temporalio.client import Client, WorkflowHistory
from temporalio.worker import Worker

from saga.kernel import check_id
from saga.temporal import SagaPlugin, TemporalEngine
from saga.testing.servers import temporal
from tests.histories.sagas import BUDGET, GOLDEN, Golden, ended

__all__ = ("FOLDER", "main", "record")

FOLDER = Path(__file__).parent
_WHO = "golden"  # otherwise the name of this machine is in every event


async def record(client: Client, golden: Golden, folder: Path, *, id: str) -> WorkflowHistory:
    """Run a saga and return the history that the server has of it."""
    participants = golden.participants(folder)
    plugin = SagaPlugin(sagas=[golden.saga], participants=participants, history_budget=BUDGET)
    async with (
        Worker(client, task_queue=id, plugins=[plugin], identity=_WHO),
        TemporalEngine(client, task_queue=id, history_budget=BUDGET) as engine,
    ):
        handle = await engine.start(golden.saga, golden.request, id=check_id(id))
        if golden.script is not None:
            await golden.script(handle)
        await ended(handle)
    name = f"{id}~{golden.child}" if golden.child else id
    return await client.get_workflow_handle(name).fetch_history()


def plain(history: WorkflowHistory) -> str:
    """Return a history as JSON, without anything about the machine that recorded it."""
    return json.dumps(_without_traces(json.loads(history.to_json())), indent=1) + "\n"


def _without_traces(value: Any) -> Any:  # any JSON value
    if isinstance(value, list):
        return [_without_traces(one) for one in value]
    if isinstance(value, dict):
        return {name: _without_traces(one) for name, one in value.items() if name != "stackTrace"}
    return value


async def main(names: list[str]) -> None:
    """Record those of these names, or all."""
    with temporal() as address:
        client = await Client.connect(address, identity=_WHO)
        for golden in GOLDEN:
            if names and golden.name not in names:
                continue
            with TemporaryDirectory() as folder:
                history = await record(client, golden, Path(folder), id=golden.name)
            file = FOLDER / f"{golden.name}.json"
            _ = file.write_text(plain(history), encoding="utf-8")
            print(f"{file.name}: {len(history.events)} events")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
