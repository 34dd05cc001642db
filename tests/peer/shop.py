"""A participant whose steps can be told to fail, and an engine on a file, for the tests of peer cases."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias
from uuid import uuid4

from google.protobuf.duration_pb2 import Duration
from pydantic import BaseModel
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Worker

from saga import Effect, EmbeddedEngine, Finding, Retry, StepRejected, current_step, participant
from saga.kernel import maybe_current_step
from saga.temporal import SagaPlugin, TemporalEngine

QUICK = Retry(attempts=3, first=timedelta(milliseconds=1))
ONCE = Retry(attempts=1)
LATER = Retry(attempts=None, first=timedelta(seconds=2), factor=1.0)
"""Leaves time to stop before the next attempt, and not much to wait for it on an engine that keeps the time."""


class Item(BaseModel):
    """What a step is asked to do."""

    name: str
    amount: float = 1.0


class Receipt(BaseModel):
    """What a step answers."""

    name: str
    amount: float = 1.0


class Broken(Exception):
    """A failure that says nothing about whether it happened."""


class Refused(Exception):
    """The participant says no."""


class Shop:
    """Does what it is asked, keeps a log of it, and fails as often as it is told to."""

    def __init__(self) -> None:
        """Starts with an empty log."""
        self.log: list[str] = []
        self.keys: list[str] = []
        self.effects: list[Effect[Item, Receipt]] = []
        self.failing: dict[str, list[Exception]] = {}
        self.gates: dict[str, asyncio.Event] = {}

    async def do(self, item: Item) -> Receipt:
        """Does it."""
        await self._note("do", item.name)
        return Receipt(name=item.name, amount=item.amount)

    async def release(self, effect: Effect[Item, Receipt]) -> None:
        """Compensates it."""
        self.effects.append(effect)
        await self._note("release", effect.input.name)

    async def confirm(self, receipt: Receipt) -> None:
        """Makes it final."""
        await self._note("confirm", receipt.name)

    async def drop(self, receipt: Receipt) -> None:
        """Forgets what it kept."""
        await self._note("drop", receipt.name)

    def do_in_thread(self, item: Item) -> Receipt:
        """Does it without being asynchronous."""
        self.log.append(f"do {item.name}")
        return Receipt(name=item.name)

    async def find(self, item: Item) -> Finding[Receipt]:
        """Says what became of it."""
        raise Broken(item.name)

    async def delivered(self, key: str) -> None:
        """Waits until it was asked to do this."""
        while key not in self.keys:
            await asyncio.sleep(0.005)

    async def _note(self, what: str, name: str) -> None:
        step = maybe_current_step()
        self.keys.append(step.key if step else "")
        gate = self.gates.get(f"{what} {name}")
        if gate is not None:
            await gate.wait()
        failures = self.failing.get(f"{what} {name}")
        if failures:
            raise failures.pop(0)
        self.log.append(f"{what} {name}")


shop = participant(Shop, "shop")

AnyEngine: TypeAlias = EmbeddedEngine | TemporalEngine
EmbeddedOpened: TypeAlias = Callable[..., AbstractAsyncContextManager[EmbeddedEngine]]
Opened: TypeAlias = Callable[..., AbstractAsyncContextManager[AnyEngine]]


def opener(path: Path) -> EmbeddedOpened:
    """Returns what opens an engine on one journal, as often as it is called."""

    @asynccontextmanager
    async def opened(*sagas: type, given: Shop, **options: object) -> AsyncGenerator[EmbeddedEngine]:
        settings = {"grace": timedelta(0), **options}
        url = f"sqlite:///{path / 'journal.db'}"
        async with EmbeddedEngine(url, sagas=sagas, participants={"shop": given}, **settings) as engine:  # type: ignore[arg-type]  # options of the engine
            yield engine

    return opened


async def namespace(address: str) -> Client:
    """Returns a client of a new namespace, whose ids and lists are a test's own."""
    client = await Client.connect(address, namespace=f"peer-{uuid4().hex}")
    await client.workflow_service.register_namespace(
        RegisterNamespaceRequest(
            namespace=client.namespace, workflow_execution_retention_period=Duration(seconds=86_400)
        )
    )
    async with asyncio.timeout(30):  # a server may look for new ones every ten seconds only
        while not await _knows(client):
            await asyncio.sleep(0.2)
    return client


async def _knows(client: Client) -> bool:
    try:
        await client.count_workflows()
    except RPCError:
        return False
    return True


def temporal_opener(client: Client) -> Opened:
    """Returns what opens an engine beside a worker on one namespace; what only the other engine can be told is left out."""

    @asynccontextmanager
    async def opened(*sagas: type, given: Shop, **_options: object) -> AsyncGenerator[TemporalEngine]:
        plugin = SagaPlugin(sagas=sagas, participants={"shop": given})
        async with (
            Worker(client, task_queue="peer", plugins=[plugin], build_id="peer"),  # without one all code is hashed
            TemporalEngine(client, task_queue="peer") as engine,
        ):
            yield engine

    return opened


__all__ = (
    "LATER",
    "ONCE",
    "QUICK",
    "AnyEngine",
    "Broken",
    "EmbeddedOpened",
    "Item",
    "Opened",
    "Receipt",
    "Refused",
    "Shop",
    "StepRejected",
    "current_step",
    "namespace",
    "opener",
    "shop",
    "temporal_opener",
)
