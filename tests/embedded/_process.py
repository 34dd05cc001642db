"""An engine in a process of its own, which a test can stop, kill, and ask for things."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from saga import Compensatable, Effect, EmbeddedEngine, Retry, Saga, current_step, participant

_CONTEXT = multiprocessing.get_context("forkserver")


class Files:
    """A participant that writes down who did what; files tell it to wait, or to crash."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def book(self, number: int) -> int:
        """Take something; it is written down at the beginning."""
        self._note()
        if (self.folder / "crash").exists():
            os._exit(9)
        while (self.folder / "hold").exists():
            await asyncio.sleep(0.005)
        return number

    async def unbook(self, effect: Effect[int, int]) -> None:
        """Give it back."""
        self._note()

    def _note(self) -> None:
        file = os.open(self.folder / "effects", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, f"{current_step().key} {os.getpid()}\n".encode())
        os.close(file)


files = participant(Files, "files")


class Filed(Saga):
    """Books as often as it is asked to."""

    book = Compensatable(files.book, barrier=True, retry=Retry(attempts=2)).compensated_by(files.unbook)

    async def run(self, bookings: int) -> list[int]:
        return [await self.book(number) for number in range(bookings)]


class Process:
    """A process with an open engine."""

    def __init__(self, url: str, folder: Path, *, lease: timedelta = timedelta(seconds=10)) -> None:
        self._connection, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_work, args=(url, folder, lease, theirs), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process.pid is not None
        return self._process.pid

    def ask(self, *question: object) -> None:
        """Ask for something: ("run", id, bookings), ("start", id, bookings), ("leave",)."""
        self._connection.send(question)

    def answer(self, seconds: float = 20) -> Any:  # whatever was asked for
        """Return the next answer."""
        assert self._connection.poll(seconds), "no answer"
        return self._connection.recv()

    def silent(self, seconds: float) -> bool:
        """Whether there is no answer within some time."""
        return not self._connection.poll(seconds)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def wait(self) -> int | None:
        """Wait for its end and return its exit code."""
        self._process.join(20)
        return self._process.exitcode

    def end(self) -> None:
        """End it, whatever it does."""
        if self._process.is_alive():
            self._process.kill()
        self._process.join(20)
        self._connection.close()


@contextmanager
def process(url: str, folder: Path, **options: Any) -> Iterator[Process]:
    """Open an engine in a process of its own; it is ended with the block."""
    one = Process(url, folder, **options)
    try:
        assert one.answer() == "open"
        yield one
    finally:
        one.end()


def preload() -> None:
    """Let the process from which the others are made import what they need, once."""
    _CONTEXT.set_forkserver_preload(["saga.embedded", "tests.embedded._process", "psycopg", "tenacity"])


def effects(folder: Path) -> list[tuple[str, int]]:
    """What was written down: key and process id, in order."""
    file = folder / "effects"
    lines = file.read_text().splitlines() if file.exists() else []
    return [(key, int(pid)) for key, pid in (line.split() for line in lines)]


def _work(url: str, folder: Path, lease: timedelta, connection: Connection) -> None:
    logging.basicConfig(filename=folder / f"log-{os.getpid()}", level=logging.WARNING)
    asyncio.run(_serve(url, folder, lease, connection))


async def _serve(url: str, folder: Path, lease: timedelta, connection: Connection) -> None:
    participants = {"files": Files(folder)}
    async with EmbeddedEngine(url, sagas=[Filed], participants=participants, lease=lease) as engine:
        connection.send("open")
        asking: set[asyncio.Task[None]] = set()
        while True:
            question = await asyncio.to_thread(connection.recv)
            if question[0] == "leave":
                break
            asking.add(asyncio.create_task(_answer(engine, connection, *question)))


async def _answer(engine: EmbeddedEngine, connection: Connection, what: str, id: str, bookings: int = 0) -> None:
    try:
        if what == "run":
            answer: object = await engine.run(Filed, bookings, id=id)
        elif what == "start":
            answer = (await engine.start(Filed, bookings, id=id)).id
        else:
            await (await engine.get(Filed, id)).cancel(by="the other process")
            answer = "cancelled"
    except Exception as error:
        answer = f"{type(error).__name__}: {error}"
    connection.send(answer)
