"""Performing the action of a nested saga: start the child, wait for its end, say what it came to (S16)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from saga.errors import ActRefusedError
from saga.kernel import (
    CallState,
    Cancel,
    Failure,
    Outcome,
    SagaState,
    child_id,
    ending_of,
    entries_of,
    view_of,
)

if TYPE_CHECKING:
    from datetime import datetime

    from saga.kernel import Call, Definition, Instance

    from ._journals import EmbeddedJournals

__all__ = ("perform_child",)


class _Stage(Protocol):
    """What is needed of the engine's stage."""

    leaving: bool

    def now(self) -> datetime: ...
    async def ensure(self, definition: Definition, id: str, payload: str, *, parent: str, handed_over: bool) -> None: ...


async def perform_child(stage: _Stage, journals: EmbeddedJournals, call: Call, definition: Definition) -> Outcome:
    """Drive a child to its end; cancelling asks the child to cancel, and its end is still awaited."""
    child = child_id(call.id, call.call)
    await stage.ensure(definition, child, call.input, parent=call.id, handed_over=call.step.hands_over)
    end = asyncio.ensure_future(journals.ended(child, or_stuck=False))
    try:
        instance = await asyncio.shield(end)
    except asyncio.CancelledError:
        if stage.leaving:
            end.cancel()
            raise
        with suppress(ActRefusedError):  # it has ended meanwhile
            await journals.send(child, Cancel(by=call.id, why="the parent is compensating"))
        instance = await end
    return _outcome(stage.now(), call, definition, instance)


def _outcome(at: datetime, call: Call, definition: Definition, instance: Instance) -> Outcome:
    if instance.state is SagaState.COMPLETED:
        adopted = entries_of(instance, definition) if call.step.hands_over else None
        return Outcome(CallState.DONE, at, instance.result, adopted=adopted)
    # A child that ended COMPENSATED is a rejected step, whatever attempts of driving it came before.
    return Outcome(CallState.REJECTED, at, failure=Failure.of(ending_of(view_of(instance))), recorded=True)
