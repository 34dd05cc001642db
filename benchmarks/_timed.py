"""The timed job: open once, then run one window each time the parent asks."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from dataclasses import asdict
from typing import Any

from ._cells import Database, Spec, Style
from ._channel import Channel
from ._counting import recording
from ._dbos import dbos_in_threads
from ._durability import of_postgres, of_sqlite
from ._engines import opened
from ._load import Round, Window, drive, drive_threads, window


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
        _ready(spec, channel, connections)
        while command := channel.next_command():
            _answer(channel, drive_threads(run_one, spec.cell.in_flight, _window(command), numbers))


async def _serve_async(spec: Spec, channel: Channel, connections: list[sqlite3.Connection]) -> None:
    numbers = itertools.count(1)
    async with opened(spec) as run_one:
        await run_one(0)
        _ready(spec, channel, connections)
        while command := await asyncio.to_thread(channel.next_command):
            _answer(channel, await drive(run_one, spec.cell.in_flight, _window(command), numbers))


def _ready(spec: Spec, channel: Channel, connections: list[sqlite3.Connection]) -> None:
    on_postgres = spec.cell.database is Database.POSTGRES
    durability = of_postgres(spec.url) if on_postgres else of_sqlite(connections)
    channel.say(ready=True, durability=asdict(durability))


def _window(command: dict[str, Any]) -> Window:
    return window(command["warm_up_seconds"], command["seconds"])


def _answer(channel: Channel, result: Round) -> None:
    channel.say(**asdict(result))
