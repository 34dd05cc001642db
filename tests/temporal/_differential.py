"""Runs a scenario on an engine, and tells everything about it that has to be the same on every engine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Final, TypeAlias

from sqlalchemy import create_engine
from temporalio.client import Client
from temporalio.worker import Worker

from saga import EmbeddedEngine, SagaCompensatedError, SagaHandle, SagaStuckError
from saga.errors import ActRefusedError
from saga.kernel import Fact, decode_request
from saga.participant import create_barrier_tables
from saga.temporal import SagaPlugin, TemporalEngine
from tests.temporal._plans import SAGAS, Wish
from tests.temporal._shop import Fault, Shop, World

__all__ = (
    "Act",
    "Scenario",
    "Scene",
    "Told",
    "act",
    "all_told",
    "child_seen",
    "embedded",
    "opened",
    "reached",
    "refused",
    "seen",
    "temporal",
)

PATIENCE: Final = 60.0
"""Seconds after which a scenario that has not come to rest has failed."""
AT_ONCE: Final = 40
"""How many scenarios run at once on one engine."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What somebody wishes for, what goes wrong, what others do meanwhile, and how it has to end.

    Attributes:
        saga: The saga, by its name in `SAGAS`.
        ends: The last fact of its journal.
        faults: What becomes of each delivery, by activity.
        wish: The request.
        script: What others do, one after the other.
        rests: Whether to wait for the saga to end, or to get STUCK, after the script.
        children: The nested sagas whose journals are compared too, by what follows the parent's id.
        net: What the shop did and was not compensated; None for whatever the saga did.
        at_once: Whether several activities run at once, so that the order among those says nothing.
    """

    saga: str
    ends: str
    faults: Mapping[str, Sequence[Fault]] = field(default_factory=dict)
    wish: Wish = field(default_factory=Wish)
    script: Sequence[Act] = ()
    children: Sequence[str] = ()
    net: int | None = None
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What a scenario came to; equal for every engine."""

    end: str
    facts: Sequence[dict[str, Any]]
    children: Mapping[str, Sequence[dict[str, Any]]]
    deliveries: Sequence[str]
    effects: Sequence[str]
    net: int
    answers: Sequence[str]
    history: Sequence[dict[str, Any]] = field(compare=False)


@dataclass(slots=True)
class Scene:
    """A scenario that runs on one engine."""

    handle: SagaHandle[Any]
    world: World
    answers: list[str]


Act: TypeAlias = Callable[[Scene], Awaitable[None]]
AnyEngine: TypeAlias = EmbeddedEngine | TemporalEngine
History: TypeAlias = Callable[[str], Awaitable[Sequence[Fact]]]

# -- what others do ----------------------------------------------------------------------


def reached(name: str) -> Act:
    """Wait until an activity was delivered."""

    async def act(scene: Scene) -> None:
        await scene.world.reached[name].wait()

    return act


def opened(name: str, *, late: bool = False) -> Act:
    """Open the gate of an activity; for one that is late, wait until it has acted."""

    async def act(scene: Scene) -> None:
        scene.world.gates[name].set()
        if late:
            await scene.world.acted[name].wait()

    return act


def seen(kind: str, times: int = 1, **fields: object) -> Act:
    """Wait until such a fact is in the journal, so many times."""

    async def act(scene: Scene) -> None:
        left = times
        async for fact in scene.handle.facts():
            left -= fact.fact == kind and all(getattr(fact, name) == value for name, value in fields.items())
            if not left:
                return
        raise AssertionError(f"{kind} never came")

    return act


def child_seen(child: str, kind: str) -> Act:
    """Wait until such a fact is in the journal of a child, which runs already."""

    async def act(scene: Scene) -> None:
        async for fact in scene.handle._journals.follow(scene.handle.id + child):
            if fact.fact == kind:
                return
        raise AssertionError(f"{kind} never came")

    return act


def act(request: str, **fields: object) -> Act:
    """Send a request, by a name and with a reason."""
    sent = {"request": request, "by": "olga", "why": "because", **fields}

    async def send(scene: Scene) -> None:
        await scene.handle.send(decode_request(json.dumps(sent)))

    return send


def refused(one: Act) -> Act:
    """See that a request is refused; what it is told is compared."""

    async def ask(scene: Scene) -> None:
        try:
            await one(scene)
        except ActRefusedError as error:
            scene.answers.append(str(error))
        else:
            raise AssertionError("it was not refused")

    return ask


# -- running it --------------------------------------------------------------------------


async def all_told(
    engine: AnyEngine,
    scenarios: Sequence[Scenario],
    prefix: str,
    worlds: dict[str, World],
    history: History | None = None,
) -> list[Told | str]:
    """Run scenarios, many at a time, and tell everything about each; a text says what went wrong."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, scenario: Scenario) -> Told | str:
        async with turn:
            return await _told(engine, scenario, f"{prefix}-{number}", worlds, history)

    return await asyncio.gather(*(one(number, scenario) for number, scenario in enumerate(scenarios)))


async def _told(
    engine: AnyEngine, scenario: Scenario, id: str, worlds: dict[str, World], history: History | None
) -> Told | str:
    world = worlds[id] = World(scenario.faults)
    plan = SAGAS[scenario.saga]
    try:
        async with asyncio.timeout(PATIENCE):
            scene = Scene(await engine.start(plan, scenario.wish, id=id), world, [])
            for one in scenario.script:
                await one(scene)
            end = await _end(scene.handle)
            return await _story(scene, scenario, end, history)
    except Exception as error:
        so_far = f"{world.deliveries=} {world.effects=}"
        return f"{type(error).__name__}: {error}; {so_far}"


async def _end(handle: SagaHandle[Any]) -> str:
    try:
        return f"returned {await handle.result()}"
    except (SagaCompensatedError, SagaStuckError) as error:
        return str(error)


async def _story(scene: Scene, scenario: Scenario, end: str, history: History | None) -> Told:
    world, journals, id = scene.world, scene.handle._journals, scene.handle.id
    return Told(
        end=end,
        facts=_plain(await journals.journal(id), at_once=scenario.at_once),
        children={one: _plain(await journals.journal(id + one)) for one in scenario.children},
        deliveries=_deliveries(world, at_once=scenario.at_once),
        effects=sorted(world.effects) if scenario.at_once else list(world.effects),
        net=world.net,
        answers=scene.answers,
        history=[] if history is None else _plain(await history(id), at_once=scenario.at_once),
    )


def _deliveries(world: World, *, at_once: bool) -> list[str]:
    """Return what was delivered; how often a probe is asked meanwhile is the server's own affair."""
    told = sorted(world.deliveries) if at_once else world.deliveries
    return [
        one for one, before in zip(told, [None, *told], strict=False) if not (one == before and one.endswith("/probe"))
    ]


_TIMES: Final = {"at", "due", "deadline"}


def _plain(facts: Iterable[Fact], *, at_once: bool = False) -> list[dict[str, Any]]:
    """Return facts without their times; notes of attempts are the server's own affair."""
    kept = [one for one in facts if one.fact != "AttemptFailed"]
    if at_once:
        kept = [
            one
            for _, run in groupby(kept, lambda one: one.fact in _OUTCOMES or one.fact)
            for one in sorted(run, key=_call)
        ]
    return [_without_times(one.model_dump(mode="json") | {"payload": one.payload}) for one in kept]


_OUTCOMES: Final = {"CallDone", "CallRejected", "CallInDoubt"}


def _call(fact: Fact) -> str:
    return getattr(fact, "call", None) or ""


def _without_times(value: Any) -> Any:  # any JSON value
    if isinstance(value, list):
        return [_without_times(one) for one in value]
    if not isinstance(value, dict):
        return value
    kept = {name: _without_times(one) for name, one in value.items() if name not in _TIMES and one is not None}
    return kept | ({"overdue_at": True} if kept.get("overdue_at") else {})


# -- the engines -------------------------------------------------------------------------


def _shops(folder: Path, worlds: dict[str, World]) -> dict[str, object]:
    database = create_engine(f"sqlite:///{folder}/shop.db")
    with database.begin() as connection:
        create_barrier_tables(connection)
    return {"shop": Shop(None, worlds), "safe": Shop(database, worlds)}


@asynccontextmanager
async def embedded(folder: Path, worlds: dict[str, World]) -> AsyncIterator[AnyEngine]:
    """Open the embedded engine on SQLite."""
    url, shops = f"sqlite:///{folder}/journal.db", _shops(folder, worlds)
    async with EmbeddedEngine(url, sagas=list(SAGAS.values()), participants=shops) as engine:
        yield engine


@asynccontextmanager
async def temporal(client: Client, queue: str, folder: Path, worlds: dict[str, World]) -> AsyncIterator[AnyEngine]:
    """Open the Temporal engine beside a worker."""
    plugin = SagaPlugin(sagas=list(SAGAS.values()), participants=_shops(folder, worlds))
    async with (
        Worker(client, task_queue=queue, plugins=[plugin], max_concurrent_activities=500),
        TemporalEngine(client, task_queue=queue) as engine,
    ):
        yield engine
