"""The timed job: open once, then run one window each time the parent asks."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from dataclasses import asdict
from typing import Any, Final

from ._cells import Database, Spec, Style
from ._channel import Channel
from ._counting import recording
from ._dbos import dbos_in_threads
from ._durability import Durability, of_postgres, of_sqlite
from ._engines import opened
from ._load import Round, Window, burst, drive, drive_count, drive_threads, window

WARM_UP_ON_SERVER: Final = 16
WARM_UP_IN_FLIGHT: Final = 16


def timed(spec: Spec, channel: Channel) -> None:
    """Serve rounds until the parent hangs up."""
    with recording() as connections:
        if spec.cell.style is Style.THREADS:
            _serve_threads(spec, channel, connections)
        else:
            asyncio.run(_serve_async(spec, channel, connections))


def _serve_threads(spec: Spec, channel: Channel, connections: list[sqlite3.Connection]) -> None:
    numbers = itertools.count(1)
    with dbos_in_threads(spec) as run_one:
        _ready(channel, _durability(spec, connections))
        while command := channel.next_command():
            _answer(channel, drive_threads(run_one, command["in_flight"], _window(command), numbers))


async def _serve_async(spec: Spec, channel: Channel, connections: list[sqlite3.Connection]) -> None:
    numbers = itertools.count(1)
    async with opened(spec) as run_one:
        on_server = spec.cell.database is Database.TEMPORAL
        await drive_count(run_one, WARM_UP_IN_FLIGHT, WARM_UP_ON_SERVER if on_server else 1, numbers)
        _ready(channel, await _of_temporal(spec) if on_server else _durability(spec, connections))
        while command := await asyncio.to_thread(channel.next_command):
            measured = burst(command["seconds"]) if on_server else _window(command)
            _answer(channel, await drive(run_one, command["in_flight"], measured, numbers))


def _durability(spec: Spec, connections: list[sqlite3.Connection]) -> Durability:
    return of_postgres(spec.url) if spec.cell.database is Database.POSTGRES else of_sqlite(connections)


async def _of_temporal(spec: Spec) -> Durability:
    from ._on_temporal import server_of, store  # noqa: PLC0415 - only where Temporal is measured

    return Durability(await store(server_of(spec)[0]), "the server's")


def _ready(channel: Channel, durability: Durability) -> None:
    channel.say(ready=True, durability=asdict(durability))


def _window(command: dict[str, Any]) -> Window:
    return window(command["warm_up_seconds"], command["seconds"])


def _answer(channel: Channel, result: Round) -> None:
    channel.say(**asdict(result))
