"""Commands and workers in processes of their own, for the tests of the command line on a real Temporal server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from temporalio.client import Client

from saga.temporal import TemporalEngine
from tests.cli import _bank
from tests.cli.conftest import Ended

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-W", "error", "-m", "saga.cli")
BANK = "tests.cli._bank:MoneyTransfer"
BY = ("--by", "me")
WHO = (*BY, "--why", "because")


class Bank(NamedTuple):
    """A worker's task queue on a server, the folder where its bank looks, and how the ids of its transfers begin."""

    address: str
    queue: str
    folder: Path

    def id(self, name: str) -> str:
        """Return the id of a transfer."""
        return f"{self.queue}-{name}"


def environment(**settings: str) -> dict[str, str]:
    """What commands see: nothing of Temporal's own configuration that whoever runs the tests may have."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("TEMPORAL_")}
    return {**known, "TEMPORAL_CONFIG_FILE": os.devnull, **settings}


def saga(*arguments: str, **settings: str) -> Ended:
    """Run a command in a process of its own, to its end."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env=environment(**settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert "Traceback" not in done.stderr
    return Ended(done.returncode, done.stdout, done.stderr)


@contextmanager
def working(bank: Bank, *options: str) -> Generator[subprocess.Popen[str]]:
    """Run a worker in a process of its own, once it has said that it polls; it is told to end afterwards."""
    command = (*COMMAND, "worker", BANK, "--address", bank.address, "--task-queue", bank.queue)
    participants = ("--participants", "tests.cli._bank:participants")
    with subprocess.Popen(
        [*command, *participants, *options],
        cwd=ROOT,
        env=environment(BANK_FOLDER=str(bank.folder)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=60)


def started(bank: Bank, transfers: dict[str, _bank.Transfer]) -> None:
    """Start transfers for whoever polls the queue."""

    async def starting() -> None:
        client = await Client.connect(bank.address)
        async with TemporalEngine(client, task_queue=bank.queue) as engine:
            for name, transfer in transfers.items():
                await engine.start(_bank.MoneyTransfer, transfer, id=name)

    asyncio.run(starting())


def terminated(bank: Bank, id: str) -> None:
    """End a workflow as an operator of the server can."""

    async def terminating() -> None:
        await (await Client.connect(bank.address)).get_workflow_handle(id).terminate("tired")

    asyncio.run(terminating())


def shown(bank: Bank, id: str, until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Return an instance as `show --json` has it, once it is as expected."""
    while True:
        ended = saga("show", "--address", bank.address, "--json", "--payloads", "--", id)
        assert (ended.code, ended.err) == (0, "")
        view: dict[str, Any] = json.loads(ended.out)
        if until(view):
            return view
        time.sleep(0.2)
