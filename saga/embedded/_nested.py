"""Performing the action of a nested saga: start the child, wait for its end, say what it came to (S16)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from saga.errors import ActRefusedError, UnknownSagaError
from saga.kernel import (
    child_id,
    child_outcome,
    not_started,
    stopped_by_parent,
)

from ._append import DuplicateInstanceError
from ._patience import patiently
from ._starts import Parent, suspended

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from saga.kernel import Call, Definition, Outcome

    from ._append import Batch
    from ._drive import Drive
    from ._journals import EmbeddedJournals
    from ._store import Store
    from ._writer import Done

__all__ = ("perform_child",)

_FIRST = 1  # epoch of a parent that nobody else has driven


class _Stage(Protocol):
    """What is needed of the engine's stage."""

    owner: str
    store: Store
    journals: EmbeddedJournals

    @property
    def drives(self) -> Mapping[str, Drive]: ...
    def now(self) -> datetime: ...
    def submit(self, batch: Batch, done: Done) -> None: ...
    def launch(self, definition: Definition, id: str, payload: str, parent: Parent) -> Drive: ...


async def perform_child(stage: _Stage, drive: Drive, call: Call, definition: Definition) -> Outcome:
    """Drive a child to its end; cancelling asks the child to cancel, and its end is still awaited."""
    child = child_id(call.id, call.call)
    parent = Parent(call.id, drive.epoch, takes_over=call.step.hands_over)
    try:
        await _ensure(stage, definition, child, call.input, parent)
        instance = await stage.journals.ended(child, or_stuck=False)
    except asyncio.CancelledError:
        if drive.left:
            raise  # nobody asked to stop: this process drives the parent no longer, and the child goes on
        if not await _asked_to_stop(stage, child, call, definition, parent):
            return not_started(stage.now())
        instance = await stage.journals.ended(child, or_stuck=False)
    return child_outcome(call, instance, definition, stage.now())


async def _asked_to_stop(stage: _Stage, child: str, call: Call, definition: Definition, parent: Parent) -> bool:
    """Ask a child to stop; False if it never started, and then nobody can start it any more.

    Where the parent had another owner, that one may be paused just before it starts the child: the id is taken.
    """
    request = stopped_by_parent(call.id)
    while True:
        try:
            await stage.journals.send(child, request)
        except ActRefusedError:
            pass  # it has ended meanwhile
        except UnknownSagaError:
            if parent.epoch == _FIRST or await _suspend(stage, definition, child, call.input, parent):
                return False
            continue  # it has been started meanwhile
        return True


async def _ensure(stage: _Stage, definition: Definition, id: str, payload: str, parent: Parent) -> None:
    """Start a child unless it exists already, as after a crash of its parent.

    Raises:
        OwnershipLostError: if the parent has ended, or another process drives it; the child did not start.
    """
    if id in stage.drives or await patiently(stage.store.get, id) is not None:
        return
    drive = stage.launch(definition, id, payload, parent)
    await drive.start()
    if drive.error is not None and not isinstance(drive.error, DuplicateInstanceError):
        raise drive.error


async def _suspend(stage: _Stage, definition: Definition, id: str, payload: str, parent: Parent) -> bool:
    """Take the id of a child that did not start, so that nobody starts it late; False if it has started now."""
    told: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
    taken = suspended(definition, id, payload, at=stage.now(), owner=stage.owner, parent=parent)
    stage.submit(taken, told.set_result)
    error = await asyncio.shield(told)
    if error is not None and not isinstance(error, DuplicateInstanceError):
        raise error
    return error is None
