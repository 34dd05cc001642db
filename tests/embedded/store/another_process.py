"""Another process that works on a journal as it is told, line by line; a test stops it or kills it."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Timer, get_ident

from saga.embedded._database import Point, Write
from saga.embedded._store import Store
from tests.embedded.store.journals import SAGA, TIME_ENOUGH, Pen, first, more

ROOT = Path(__file__).parents[3]


class Another:
    """A process with a store, an owner and a writer of its own, seen from the test."""

    def __init__(self, url: str, lease: timedelta) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.embedded.store.another_process", url, str(lease.total_seconds())],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def told(self, *words: object) -> str:
        """Tell it something and return its answer; empty if it died over it."""
        self.tell(*words)
        return self.answer()

    def tell(self, *words: object) -> None:
        """Tell it something without waiting for the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(str(word) for word in words) + "\n")
        self._process.stdin.flush()

    def answer(self) -> str:
        """Wait for its next answer; empty if it died."""
        assert self._process.stdout is not None
        alarm = Timer(TIME_ENOUGH, self._process.kill)
        alarm.start()
        try:
            return self._process.stdout.readline().strip()
        finally:
            alarm.cancel()

    def stop(self) -> None:
        """Let it stand still, wherever it is."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on as if nothing had happened."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self, *, collected: bool = True) -> None:
        """Kill it; collected or not, that is, as the zombie that it is until its parent asks."""
        self._process.kill()
        if collected:
            self._process.wait(TIME_ENOUGH)
        else:
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)

    def end(self) -> None:
        """Kill it, whatever it does, and collect it."""
        self._process.kill()
        self._process.wait(TIME_ENOUGH)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


@contextmanager
def another(url: str, *, lease: timedelta = timedelta(hours=1)) -> Generator[Another]:
    """Run another process on the journal until the block ends."""
    process = Another(url, lease)
    try:
        assert process.answer() == "ready"
        yield process
    finally:
        process.end()


# -- inside of it ----------------------------------------------------------------------


class Obedient:
    """What the process does."""

    def __init__(self, url: str, lease: timedelta) -> None:
        self._point: Point | None = None
        self._act: Callable[[], None] = sys.exit
        self._store = Store.open(url, seam=self._seam)
        self._ownership = self._store.ownership(lease=lease)
        self._ownership.beat()
        self._pen = Pen(self._store, self._store.writer(asyncio.get_running_loop()))

    async def obey(self, verb: str, *words: str) -> str:
        """Do what is said and return what became of it."""
        if verb == "start":
            return _word(await self._pen.tried(first(words[0], self._ownership.owner)))
        if verb == "append":
            name, seq, epoch = words
            return _word(await self._pen.tried(more(name, int(seq), epoch=int(epoch))))
        if verb == "limit":
            return self._limit(int(words[0]))
        if verb == "claim":
            return " ".join(claim.id for claim in self._ownership.claim([SAGA])) or "nothing"
        return self._arm(verb, words[0])

    def _limit(self, size: int) -> str:
        """Let the system refuse to write files beyond that size."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        return "limited"

    def _arm(self, verb: str, point: str) -> str:
        self._point = Point[point]
        self._act = _die if verb == "die" else _say_and_stop
        return "armed"

    def _seam(self, write: Write, point: Point) -> None:
        if write is Write.FLUSH and point is self._point:
            self._point = None
            self._act()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _say_and_stop() -> None:
    print("stopped", flush=True)
    # To this thread, which then cannot go on: sent to the process, another thread takes it, and later.
    signal.pthread_kill(get_ident(), signal.SIGSTOP)


def _word(said: list[Exception | None]) -> str:
    return "done" if said[0] is None else type(said[0]).__name__


async def _main(url: str, lease: str) -> None:
    obedient = Obedient(url, timedelta(seconds=float(lease)))
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(await obedient.obey(*line.split()), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
