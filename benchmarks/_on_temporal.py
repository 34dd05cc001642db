"""Both sides on a Temporal server behind the harness' interface: our engine, and the hand-written workflows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from temporalio.api.workflowservice.v1 import GetClusterInfoRequest
from temporalio.client import Client, WorkflowFailureError
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

from saga import SagaCompensatedError
from saga.temporal import TemporalEngine

from ._cells import Engine, Spec
from ._hand_written import HandWrittenPurchase, HandWrittenReviewedPurchase
from ._hand_written_shop import HandWrittenShop
from ._sagas import Order, Purchase, ReviewedPurchase, Shop

EVENTS_OF_A_WAIT: Final = 11
"""Events of a history until its workflow has its activity's result and has set the timer of its wait."""
LOOK_SECONDS: Final = 0.05


class Side(Protocol):
    """One of both, with its worker running; ids are its own."""

    client: Client

    async def run(self, order: Order, id: str) -> object:
        """Run one saga to its end, whichever that is."""
        ...

    async def start_waiting(self, order: Order, id: str) -> object:
        """Start a saga that will wait for a decision."""
        ...


@asynccontextmanager
async def side(spec: Spec) -> AsyncGenerator[Side]:
    """Open the side that the spec's cell names, its worker with the settings it ships with."""
    opening = _hand_written if spec.cell.engine is Engine.HAND_WRITTEN else _ours
    async with opening(spec) as opened:
        yield opened


async def all_wait(client: Client, ids: list[str]) -> None:
    """Return once each of them waits; the server is asked, so no worker answers a query.

    Raises:
        TimeoutError: if they do not within a minute.
    """
    async with asyncio.timeout(60):
        for id in ids:
            handle = client.get_workflow_handle(id)
            while (await handle.describe()).history_length < EVENTS_OF_A_WAIT:  # noqa: ASYNC110 - only the server knows
                await asyncio.sleep(LOOK_SECONDS)


async def store(address: str) -> str:
    """Return which server it is, and what it says that it keeps its histories in."""
    client = await Client.connect(address)
    told = await client.workflow_service.get_cluster_info(GetClusterInfoRequest())
    return f"Temporal server {told.server_version} on {told.persistence_store}"


class _Ours:
    def __init__(self, client: Client, engine: TemporalEngine) -> None:
        self.client = client
        self._engine = engine

    async def run(self, order: Order, id: str) -> object:
        try:
            return await self._engine.run(Purchase, order, id=id)
        except SagaCompensatedError as ended:
            return ended

    async def start_waiting(self, order: Order, id: str) -> object:
        return await self._engine.start(ReviewedPurchase, order, id=id)


class _HandWritten:
    def __init__(self, client: Client, queue: str) -> None:
        self.client = client
        self._queue = queue

    async def run(self, order: Order, id: str) -> object:
        try:
            return await self.client.execute_workflow(HandWrittenPurchase.run, order, id=id, task_queue=self._queue)
        except WorkflowFailureError as ended:
            return ended

    async def start_waiting(self, order: Order, id: str) -> object:
        return await self.client.start_workflow(HandWrittenReviewedPurchase.run, order, id=id, task_queue=self._queue)


@asynccontextmanager
async def _ours(spec: Spec) -> AsyncGenerator[Side]:
    address, queue = server_of(spec)
    client, shop = await Client.connect(address), Shop(spec.jitter_ms)
    sagas: list[Any] = [Purchase, ReviewedPurchase]
    async with TemporalEngine(client, task_queue=queue, sagas=sagas, participants={"shop": shop}) as engine:
        yield _Ours(client, engine)


@asynccontextmanager
async def _hand_written(spec: Spec) -> AsyncGenerator[Side]:
    address, queue = server_of(spec)
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    activities = HandWrittenShop(Shop(spec.jitter_ms)).activities()
    workflows = [HandWrittenPurchase, HandWrittenReviewedPurchase]
    async with Worker(client, task_queue=queue, workflows=workflows, activities=activities):
        yield _HandWritten(client, queue)


def server_of(spec: Spec) -> tuple[str, str]:
    """Return the address and the task queue that a spec names.

    >>> from ._cells import hand_written
    >>> server_of(Spec("timed", hand_written(1), "temporal://127.0.0.1:7233/queue-1", 256))
    ('127.0.0.1:7233', 'queue-1')
    """
    parts = urlsplit(spec.url)
    return parts.netloc, parts.path.strip("/")
