"""A worker that is killed at any point is followed by another, and every effect is there exactly once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import Client

from saga import Saga, SagaCompensatedError
from saga.temporal import TemporalEngine
from tests.temporal import _lives
from tests.temporal._lives import Trip, TripBeating, TripOnce, effects

ROOT = Path(__file__).parents[2]
ALL = {"a.1", "b.1", "pay.1", "ship.1"}
NAMES = ("a.1", "b.1", "pay.1", "ship.1")
PATIENCE = 90  # seconds
MOMENTS = ("before", "within", "after")

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the workers are forked, which this system cannot"),
]


@dataclass(frozen=True)
class Life:
    """Where workers die, one after the other, and what stays.

    Attributes:
        deaths: The point at which each worker dies; the one after the last lives.
        saga: The saga that they work on.
        refused: Whether its payment is refused.
        stays: The calls whose effect stays; nothing stays of a saga that is compensated.
    """

    deaths: tuple[str, ...]
    saga: Any = Trip
    refused: bool = False
    stays: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Death:
    """What came of it."""

    end: str
    signals: list[int]
    effects: list[tuple[str, int]]


def lives() -> Iterator[Life]:
    """Every point, in sagas that are completed and in sagas that are compensated."""
    for name in NAMES:
        for moment in MOMENTS:
            yield Life((f"{name} {moment}",), stays=frozenset(ALL))
    for name in ("a.1", "b.1"):
        for moment in MOMENTS:
            yield Life((f"{name}/compensation {moment}",), refused=True)
            yield Life((f"{name} {moment}",), TripOnce)
    yield Life(("run after a.1",), stays=frozenset(ALL))
    yield Life(("run after pay.1",), stays=frozenset(ALL))
    yield Life(("b.1 after",), TripBeating, stays=frozenset(ALL))
    yield Life(("pay.1 after",), TripOnce, stays=frozenset(ALL))
    yield Life(("pay.1 before",), TripOnce)
    yield Life(("pay.1 within", "pay.1/probe before", "b.1/compensation after"), TripOnce)
    yield Life(("a.1 after", "a.1 before", "run after a.1", "pay.1 after", "ship.1 within"), stays=frozenset(ALL))
    yield Life(("b.1 after", "b.1/compensation before", "a.1/compensation within"), refused=True)


LIVES = {f"{life.saga.__definition__.saga}, {'; '.join(life.deaths)}": life for life in lives()}


@contextmanager
def workers(address: str, folder: Path, deaths: dict[str, list[str]]) -> Iterator[dict[str, list[int]]]:
    """Keeps a worker alive for every queue, in processes of their own; how they died is known after the block."""
    died: dict[str, list[int]] = {queue: [] for queue in deaths}
    process = subprocess.Popen(
        [sys.executable, "-m", _lives.__name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with process:
        assert process.stdin is not None
        process.stdin.write(json.dumps({"address": address, "folder": str(folder), "deaths": deaths}) + "\n")
        process.stdin.flush()
        yield died
        for line in process.communicate()[0].splitlines():
            queue, _, code = line.partition(" ")
            died[queue].append(int(code))


async def ends(address: str, queues: dict[str, Life]) -> list[str]:
    """Starts a saga on every queue, and says how each ended."""
    client = await Client.connect(address)

    async def end(queue: str, life: Life) -> str:
        async with TemporalEngine(client, task_queue=queue) as engine:
            saga: type[Saga] = life.saga
            try:
                return str(await asyncio.wait_for(engine.run(saga, life.refused, id=f"{queue}-t"), PATIENCE))  # type: ignore[type-var]
            except (SagaCompensatedError, TimeoutError) as error:
                return type(error).__name__

    return await asyncio.gather(*(end(queue, life) for queue, life in queues.items()))


@pytest.fixture(scope="module")
def deaths(
    temporal_address: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> dict[str, Death]:
    """What came of every death that was asked for; all of them at the same time."""
    asked: list[str] = [
        str(item.callspec.params["name"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == request.path and hasattr(item, "callspec")
    ]
    folder, run = tmp_path_factory.mktemp("lives"), uuid4().hex[:8]
    names = {f"{run}-{number}": name for number, name in enumerate(dict.fromkeys(asked))}
    queues = {queue: LIVES[name] for queue, name in names.items()}
    with workers(temporal_address, folder, {queue: list(life.deaths) for queue, life in queues.items()}) as died:
        how = asyncio.run(ends(temporal_address, queues))
    return {
        names[queue]: Death(end, died[queue], effects(folder / f"{queue}.db"))
        for queue, end in zip(queues, how, strict=True)
    }


@pytest.mark.peer("DBO-30", "JEP-02", "RST-10", "LRA-30")
@pytest.mark.parametrize("name", LIVES)
def test_every_effect_is_there_exactly_once(deaths: dict[str, Death], name: str) -> None:
    """Each worker died where it should, another finished, and what was compensated nets to nothing."""
    life, death = LIVES[name], deaths[name]
    assert death.signals == [-signal.SIGKILL] * len(life.deaths)
    assert death.end == ("shipped" if life.stays else SagaCompensatedError.__name__)
    assert max(Counter(key for key, _ in death.effects).values(), default=1) == 1
    if life.stays:
        assert {key for key, _ in death.effects} == life.stays
    else:
        assert sum(amount for _, amount in death.effects) == 0
