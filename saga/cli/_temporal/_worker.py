"""A worker for sagas: an ordinary Temporal worker with the sagas' plugin, until it is told to end."""

from __future__ import annotations

import asyncio
import inspect
import signal
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from temporalio.worker import Worker

from saga.errors import ParticipantError, SagaError, ServerError
from saga.kernel import definitions_of
from saga.temporal import SagaPlugin

from ._connecting import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import timedelta

    from temporalio.client import Client

    from saga.cli._place import Place
    from saga.kernel import Definition

__all__ = ("Worked", "serve")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Worked:
    """What a worker serves.

    Attributes:
        address: Where the server is.
        namespace: Its namespace.
        task_queue: Where the worker looks for work.
        sagas: Names of the sagas, those that are nested in others among them.
        activities: Names of the activities.
    """

    address: str
    namespace: str
    task_queue: str
    sagas: tuple[str, ...]
    activities: tuple[str, ...]


def serve(
    place: Place,
    task_queue: str,
    sagas: Sequence[type[Any]],
    participants: Callable[[], Any] | None,  # as the function returns them
    *,
    drain: timedelta,
    say: Callable[[Worked], None],
) -> None:
    """Run a worker until SIGINT or SIGTERM; what runs then is given `drain` to end by itself.

    Raises:
        ServerError: if the server cannot be reached, or the worker cannot go on.
        ParticipantError: if a participant is missing or lacks a method.
    """
    asyncio.run(_serve(place, task_queue, sagas, participants, drain=drain, say=say))


async def _serve(
    place: Place,
    task_queue: str,
    sagas: Sequence[type[Any]],
    participants: Callable[[], Any] | None,
    *,
    drain: timedelta,
    say: Callable[[Worked], None],
) -> None:
    client = await connect(place)
    async with AsyncExitStack() as entering:
        found = await _participants(participants, entering)
        worker = _made(client, task_queue, sagas, found, drain)
        running = asyncio.create_task(worker.run())
        told = asyncio.create_task(_told_to_end())
        await asyncio.sleep(0)
        say(_worked(client, task_queue, tuple(definitions_of(sagas).values())))
        await asyncio.wait([running, told], return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        await worker.shutdown()
        try:
            await running
        except RuntimeError as error:
            raise ServerError(f"the worker ended: {error}") from None


def _made(
    client: Client, task_queue: str, sagas: Sequence[type[Any]], participants: Mapping[str, object], drain: timedelta
) -> Worker:
    plugin = SagaPlugin(sagas=sagas, participants=participants)
    return Worker(client, task_queue=task_queue, plugins=[plugin], graceful_shutdown_timeout=drain)


async def _participants(function: Callable[[], Any] | None, entering: AsyncExitStack) -> Mapping[str, object]:
    """Return the participants that a function names, opens, or waits for."""
    if function is None:
        return {}
    try:
        found = function()
        if hasattr(found, "__aenter__"):
            found = await entering.enter_async_context(found)
        elif inspect.isawaitable(found):
            found = await found
    except SagaError:
        raise
    except Exception as error:  # whatever it does, it is not this command that failed
        text = f"{type(error).__name__}: {error}".removesuffix(": ")
        raise ParticipantError(f"{getattr(function, '__name__', function)} gives no participants: {text}") from error
    if not hasattr(found, "keys"):
        raise ParticipantError(
            f"{getattr(function, '__name__', function)} gives {type(found).__name__}, no participants; "
            'return a mapping such as {"source_bank": Bank(...)}'
        )
    return cast("Mapping[str, object]", found)


async def _told_to_end() -> None:
    """Return at the first signal; a second one ends the process as it does everywhere."""
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    for number in _SIGNALS:
        loop.add_signal_handler(number, told.set)
    try:
        await told.wait()
    finally:
        for number in _SIGNALS:
            with suppress(ValueError):
                loop.remove_signal_handler(number)


def _worked(client: Client, task_queue: str, definitions: Sequence[Definition]) -> Worked:
    steps = [step for definition in definitions for step in definition.steps.values()]
    activities = {one.name for step in steps for one in step.activities}
    address = client.service_client.config.target_host
    sagas = tuple(definition.saga for definition in definitions)
    return Worked(address, client.namespace, task_queue, sagas, tuple(sorted(activities)))
