"""A worker process as its parent sees it: what it tells, and how it is killed."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from .batch import News
from .engines import Engines, Temporal

__all__ = ("Child",)


class Child:
    """A running worker process.

    Args:
        process: The process, with its output piped.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @asynccontextmanager
    async def running(
        cls, directory: Path, transfers: Path, engines: Engines, *, late: timedelta = timedelta(0)
    ) -> AsyncGenerator["Child"]:
        """Start a worker on an engine of the same kind; it is killed if it still runs when the block is left."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", f"{__package__}.worker", str(directory), str(transfers)),
            *("--late", str(late.total_seconds())),
            *_server(engines),
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for this process, which ends that one
            # It finds what this process finds, wherever either was started.
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        child = cls(process)
        try:
            yield child
        finally:
            await child.kill()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def check(self) -> None:
        """Raise if the worker ended by itself.

        Raises:
            RuntimeError: then; its traceback is on standard error.
        """
        code = self._process.returncode
        if code is not None and code >= 0:
            msg = f"the worker process ended with {code} before it was killed"
            raise RuntimeError(msg)

    async def news(self) -> AsyncIterator[News]:
        """Yield what the worker tells, until it ends.

        Raises:
            RuntimeError: if it ended by a fault of its own; its traceback is on standard error.
        """
        assert self._process.stdout is not None  # noqa: S101 - piped above
        async for line in self._process.stdout:
            if line.endswith(b"\n"):  # a kill may cut the last one
                yield News.model_validate_json(line)
        code = await self._process.wait()
        if code > 0:
            msg = f"the worker process ended with {code}"
            raise RuntimeError(msg)

    async def kill(self) -> None:
        """Kill it (SIGKILL): nothing of it runs any more, not even a `finally`."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


def _server(engines: Engines) -> tuple[str, ...]:
    if isinstance(engines, Temporal):
        return ("--address", engines.address, "--task-queue", engines.task_queue)
    return ()
