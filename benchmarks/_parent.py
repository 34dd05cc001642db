"""The parent's end of a child: starts it, asks it for rounds, and ends it."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ._cells import Spec
from ._durability import Durability
from ._load import Round

ROOT: Final = Path(__file__).parent.parent
START_SECONDS: Final = 60.0
GRACE_SECONDS: Final = 30.0
LINE_BYTES: Final = 1 << 20


class ChildError(Exception):
    """A child said why it cannot measure, or ended without a word."""


@dataclass(slots=True)
class Child:
    """A running child process."""

    process: asyncio.subprocess.Process

    @classmethod
    async def start(cls, spec: Spec, *, under: tuple[str, ...] = ()) -> Child:
        """Start a child, under another program if one is named, and hand it its spec."""
        command = (*under, sys.executable, "-m", f"{__package__}._child")
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=LINE_BYTES,
        )
        child = cls(process)
        child._write(spec.encode())
        return child

    async def ready(self) -> Durability:
        """Wait until its engine is open, and return what its database says of itself."""
        answer = await self.answer(START_SECONDS)
        return Durability(**answer["durability"])

    async def round(self, in_flight: int, seconds: float, warm_up_seconds: float) -> Round:
        """Let it run for one window.

        Children that wait are not stopped by a signal meanwhile, though their idle threads
        poll: it was tried, and the peer on PostgreSQL then came back at a tenth of its rate.
        """
        command = {"in_flight": in_flight, "seconds": seconds, "warm_up_seconds": warm_up_seconds}
        self._write(json.dumps(command))
        return Round(**await self.answer(seconds + warm_up_seconds + GRACE_SECONDS))

    async def answer(self, seconds: float) -> dict[str, Any]:
        """Wait for its next line.

        Raises:
            ChildError: if it reports an error, ends, or says nothing for so long.
        """
        stdout = self.process.stdout
        assert stdout is not None  # noqa: S101 - it was started with a pipe
        try:
            line = await asyncio.wait_for(stdout.readline(), seconds)
        except TimeoutError:
            raise ChildError(f"no answer within {seconds:.0f} s") from None
        answer: dict[str, Any] = json.loads(line) if line.strip() else {"error": "it ended without an answer"}
        if "error" in answer:
            raise ChildError(answer["error"])
        return answer

    async def end(self) -> None:
        """Kill it, whatever it does; its database is thrown away."""
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    def _write(self, line: str) -> None:
        stdin = self.process.stdin
        assert stdin is not None  # noqa: S101 - it was started with a pipe
        stdin.write(line.encode() + b"\n")


async def ask_once(spec: Spec, seconds: float, *, under: tuple[str, ...] = ()) -> dict[str, Any]:
    """Run a child that has a single answer, and let it close by itself.

    Raises:
        ChildError: if it reports an error, ends, or says nothing for so long.
    """
    child = await Child.start(spec, under=under)
    try:
        answer = await child.answer(seconds)
        with suppress(TimeoutError):
            await asyncio.wait_for(child.process.wait(), GRACE_SECONDS)
        return answer
    finally:
        await child.end()
