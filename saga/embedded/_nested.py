"""Performing the action of a nested saga: start the child, wait for its end, say what it came to (S16)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from saga.errors import ActRefusedError, UnknownSagaError
from saga.kernel import (
    Cancel,
    child_id,
    child_outcome,
    not_started,
)

from ._starts import LONGEST_NAME, Parent

if TYPE_CHECKING:
    from datetime import datetime

    from saga.kernel import Call, Definition, Outcome

    from ._drive import Drive
    from ._journals import EmbeddedJournals

__all__ = ("perform_child",)

_FIRST = 1  # epoch of a parent that nobody else has driven


class _Stage(Protocol):
    """What is needed of the engine's stage."""

    journals: EmbeddedJournals

    def now(self) -> datetime: ...
    async def ensure(self, definition: Definition, id: str, payload: str, parent: Parent) -> None: ...
    async def suspend(self, definition: Definition, id: str, payload: str, parent: Parent) -> bool: ...


async def perform_child(stage: _Stage, drive: Drive, call: Call, definition: Definition) -> Outcome:
    """Drive a child to its end; cancelling asks the child to cancel, and its end is still awaited."""
    child = child_id(call.id, call.call)
    parent = Parent(call.id, drive.epoch, takes_over=call.step.hands_over)
    try:
        await stage.ensure(definition, child, call.input, parent)
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
    request = Cancel(by=call.id[:LONGEST_NAME], why="the parent is compensating")
    while True:
        try:
            await stage.journals.send(child, request)
        except ActRefusedError:
            pass  # it has ended meanwhile
        except UnknownSagaError:
            if parent.epoch == _FIRST or await stage.suspend(definition, child, call.input, parent):
                return False
            continue  # it has been started meanwhile
        return True
