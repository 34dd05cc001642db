"""A worker on a real Temporal server, and an engine that talks to it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from uuid import uuid4

import pytest
from temporalio.client import Client
from temporalio.worker import Worker

from saga.temporal import SagaPlugin, TemporalEngine
from tests.temporal.shop import Bank, Hurried, Long, MoneyTransfer, Parent, Reviewed


@pytest.fixture
async def client(temporal_address: str) -> Client:
    """A client without a plugin, as plain as anybody's."""
    return await Client.connect(temporal_address)


@pytest.fixture
def queue() -> str:
    """A task queue of the test's own; also the beginning of its ids."""
    return uuid4().hex[:8]


@pytest.fixture
def banks() -> dict[str, Bank]:
    """Both banks."""
    return {"source": Bank(nl=100), "target": Bank(de=0)}


@pytest.fixture
async def engine(client: Client, queue: str, banks: dict[str, Bank]) -> AsyncGenerator[TemporalEngine]:
    """An engine without a worker of its own, beside a worker whose runs are short."""
    sagas = [MoneyTransfer, Parent, Reviewed, Long, Hurried]
    plugin = SagaPlugin(sagas=sagas, participants=banks, history_budget=50)
    engine = TemporalEngine(client, task_queue=queue, history_budget=50)
    async with Worker(client, task_queue=queue, plugins=[plugin]), engine:
        yield engine
