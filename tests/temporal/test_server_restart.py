"""A server that is killed and started again with its file: workers reconnect, and every saga goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.client import Client

from saga import SagaCompensatedError, SagaHandle
from tests.temporal._differential import Act, Scene, act, opened, reached, seen, temporal
from tests.temporal._plans import SAGAS, Wish
from tests.temporal._shop import Fault, World

pytestmark = pytest.mark.timeout(120)

BACK = "a.1/compensation"

# What a saga is told, what goes wrong, what is waited for before the server dies, what is done meanwhile and after it.
SCENES: dict[str, tuple[str, Wish, dict[str, list[Fault]], Act, Act | None, Act | None, int]] = {
    "sleeps": ("barred", Wish(nap=3), {}, seen("TimerSet"), None, None, 15),
    "waits for a decision": (
        "barred", Wish(review="review"), {}, seen("DecisionAwaited"),
        None, act("decide", call="review.1", payload="true"), 15,
    ),
    "acts meanwhile": ("barred", Wish(), {"b.1": [Fault.GATE]}, reached("b.1"), opened("b.1"), None, 15),
    "acts afterwards": ("barred", Wish(), {"pay.1": [Fault.GATE]}, reached("pay.1"), None, opened("pay.1"), 15),
    "compensates meanwhile": (
        "barred", Wish(), {"b.1": [Fault.REJECTED], BACK: [Fault.GATE]}, reached(BACK), opened(BACK), None, 0,
    ),
    "is stuck": (
        "barred", Wish(), {"b.1": [Fault.REJECTED], BACK: [Fault.REJECTED]}, seen("SagaStuck"), None, act("retry"), 0,
    ),
    "is cancelled afterwards": ("parent", Wish(nap=600), {}, reached("~take.1/a.1"), None, act("cancel"), 0),
}  # fmt: skip


def kill_server(database: Path) -> int:
    """Ends the server of this file by SIGKILL, and says how many there were; its guard ends by itself."""
    killed = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode().split("\0")
        except (OSError, UnicodeDecodeError):
            continue
        if any(str(database) in word for word in words) and words[0] != sys.executable:
            os.kill(int(process.name), signal.SIGKILL)
            killed += 1
    return killed


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def result(handle: SagaHandle[object]) -> str:
    """Its end."""
    try:
        return f"returned {await handle.result()}"
    except SagaCompensatedError:
        return "compensated"


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="the server's process is found in /proc")
async def test_sagas_go_on_after_the_server_was_killed(
    own_temporal: Callable[..., AbstractContextManager[str]], tmp_path: Path
) -> None:
    """What slept, waited, acted, compensated or was STUCK comes to its end, each effect once."""
    database, port, queue = tmp_path / "temporal.db", free_port(), uuid4().hex[:8]
    worlds: dict[str, World] = {}
    scenes: dict[str, Scene] = {}
    with ExitStack() as first, ExitStack() as second:
        address = first.enter_context(own_temporal(database_file=database, port=port))
        async with temporal(await Client.connect(address), queue, tmp_path, worlds) as engine:
            for name, (saga, wish, faults, before, *_) in SCENES.items():
                id = f"{queue}-{len(worlds)}"
                worlds[id] = World(faults)
                scenes[name] = Scene(await engine.start(SAGAS[saga], wish, id=id), worlds[id], [])
                await before(scenes[name])
            assert kill_server(database) == 1
            for name, (*_, meanwhile, _, _) in SCENES.items():
                if meanwhile is not None:
                    await meanwhile(scenes[name])
            await asyncio.to_thread(first.close)
            assert await asyncio.to_thread(second.enter_context, own_temporal(database_file=database, port=port))
            for name, (*_, afterwards, _) in SCENES.items():
                if afterwards is not None:
                    await afterwards(scenes[name])
            ends = {name: await result(scene.handle) for name, scene in scenes.items()}
    assert ends == {name: "returned 30" if net else "compensated" for name, (*_, net) in SCENES.items()}
    assert {name: scene.world.net for name, scene in scenes.items()} == {n: net for n, (*_, net) in SCENES.items()}
    for scene in scenes.values():
        assert len(scene.world.effects) == len(set(scene.world.effects))
