"""Which engine a run uses: the one line in which the two differ."""

import logging
import os
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from saga import EmbeddedEngine, Engine
from saga.kernel import Runs

if TYPE_CHECKING:
    from temporalio.client import Client

__all__ = ("ADDRESS", "Embedded", "Engines", "ServerMissingError", "Temporal", "connected", "leave", "prepare")

ADDRESS = "127.0.0.1:7233"
"""Where `temporal server start-dev` listens."""

_NO_CLIENT = "the Temporal engine needs its client: pip install 'sagakit[temporal]'"


class ServerMissingError(Exception):
    """There is no Temporal server, or no client for it; the message says why and what to do."""


class Engines(Protocol):
    """Opens the engine of a run."""

    @property
    def name(self) -> str:
        """What `--engine` calls it."""
        ...

    @property
    def prefix(self) -> str:
        """What the ids of this run begin with: a server holds other runs as well."""
        ...

    def open(
        self, sagas: Sequence[type[Runs[Any, Any]]], participants: Mapping[str, object]
    ) -> AbstractAsyncContextManager[Engine]:
        """Return an engine that carries out these sagas while it is entered."""
        ...


@dataclass(frozen=True, slots=True)
class Embedded:
    """The engine in this process.

    Attributes:
        journal: URL of the journal.
    """

    journal: str

    @property
    def name(self) -> str:
        """As `--engine` has it."""
        return "embedded"

    @property
    def prefix(self) -> str:
        """Nothing: the journal is this run's own."""
        return ""

    def open(
        self, sagas: Sequence[type[Runs[Any, Any]]], participants: Mapping[str, object]
    ) -> AbstractAsyncContextManager[Engine]:
        """Return an engine on the journal."""
        return EmbeddedEngine(self.journal, sagas=sagas, participants=participants)


@dataclass(frozen=True, slots=True)
class Temporal:
    """A Temporal server, and a worker in this process.

    Attributes:
        address: Where the server is, such as `127.0.0.1:7233`.
        task_queue: What the worker polls.
    """

    address: str
    task_queue: str

    @property
    def name(self) -> str:
        """As `--engine` has it."""
        return "temporal"

    @property
    def prefix(self) -> str:
        """The task queue: nobody else begins an id with it."""
        return f"{self.task_queue}-"

    @asynccontextmanager
    async def open(
        self, sagas: Sequence[type[Runs[Any, Any]]], participants: Mapping[str, object]
    ) -> AsyncGenerator[Engine]:
        """Yield an engine on the server.

        Raises:
            ServerMissingError: if it does not answer.
        """
        client = await connected(self.address)
        from saga.temporal import TemporalEngine  # noqa: PLC0415 - needs an extra that the embedded engine does not

        async with TemporalEngine(client, task_queue=self.task_queue, sagas=sagas, participants=participants) as engine:
            yield engine


async def connected(address: str) -> "Client":
    """Return a client of the server at an address.

    Raises:
        ServerMissingError: if none answers there, or if this installation has no client.
    """
    try:
        from temporalio.client import Client  # noqa: PLC0415 - as above
    except ModuleNotFoundError:
        raise ServerMissingError(_NO_CLIENT) from None
    try:
        return await Client.connect(address)
    except (RuntimeError, ValueError):  # what the SDK raises for a server that is not there, and for a typo
        msg = f"no Temporal server answers at {address}; give its --address, or start one: temporal server start-dev"
        raise ServerMissingError(msg) from None


def prepare() -> None:
    """Have the SDK write its log to standard error, as everything here does; by itself it prints to standard output.

    Raises:
        ServerMissingError: if this installation has no client for a Temporal server.
    """
    try:
        from temporalio.runtime import (  # noqa: PLC0415 - as above
            LogForwardingConfig,
            LoggingConfig,
            Runtime,
            TelemetryConfig,
            TelemetryFilter,
        )
    except ModuleNotFoundError:
        raise ServerMissingError(_NO_CLIENT) from None
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    # Each attempt that failed is a warning to it; here that is part of the story, and is in the journal.
    logging.getLogger("temporalio.activity").setLevel(logging.ERROR)
    forwarding = LogForwardingConfig(logging.getLogger("temporalio.core"))
    logged = LoggingConfig(TelemetryFilter(core_level="WARN", other_level="ERROR"), forwarding)
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=logged)), error_if_already_set=False)


def leave(code: int, engines: Engines | None) -> NoReturn:
    """End this process with an exit code."""
    if isinstance(engines, Temporal):
        # A thread of the SDK may enter the interpreter when it is gone already, which aborts the process
        # (temporalio/sdk-python#300). So nothing is taken down: everything is written, and the process ends.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
