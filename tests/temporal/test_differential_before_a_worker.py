"""What is asked of a saga before a worker has seen it counts as if it had come a moment later."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.client import Client

from saga import SagaCompensatedError
from saga.temporal import TemporalEngine
from tests.temporal._differential import temporal
from tests.temporal._plans import SAGAS, Wish
from tests.temporal._shop import World


@pytest.mark.parametrize("name", ["barred", "parent", "sudden"])
async def test_a_cancel_comes_before_the_first_worker(client: Client, tmp_path: Path, name: str) -> None:
    """The saga is compensated, a child that is being started is awaited, and nothing that was done stays."""
    queue = uuid4().hex[:8]
    world = World({})
    async with TemporalEngine(client, task_queue=queue) as engine:
        handle = await engine.start(SAGAS[name], Wish(), id=f"{queue}-t")
        await client.get_workflow_handle(handle.id).cancel()
        async with temporal(client, queue, tmp_path, {handle.id: world}):
            with pytest.raises(SagaCompensatedError, match=r"\(cancelled\)"):
                await handle.result()
            facts = [one.fact for one in await handle._journals.journal(handle.id)]
    assert facts[0] == "SagaStarted"
    assert facts[-1] == "SagaCompensated"
    assert world.net == 0
