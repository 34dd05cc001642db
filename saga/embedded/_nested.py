"""Performing the action of a nested saga: start the child, wait for its end, say what it came to (S16)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from saga.errors import ActRefusedError, UnknownSagaError
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

    from ._drive import Drive
    from ._journals import EmbeddedJournals

__all__ = ("perform_child",)

_LONGEST_NAME: Final = 200  # of whoever asks; an id may be longer


class _Stage(Protocol):
    """What is needed of the engine's stage."""

    journals: EmbeddedJournals

    def now(self) -> datetime: ...
    async def ensure(
        self, definition: Definition, id: str, payload: str, *, parent: str, handed_over: bool
    ) -> None: ...


async def perform_child(stage: _Stage, drive: Drive, call: Call, definition: Definition) -> Outcome:
    """Drive a child to its end; cancelling asks the child to cancel, and its end is still awaited."""
    child = child_id(call.id, call.call)
    try:
        await stage.ensure(definition, child, call.input, parent=call.id, handed_over=call.step.hands_over)
        instance = await stage.journals.ended(child, or_stuck=False)
    except asyncio.CancelledError:
        if drive.left:
            raise  # nobody asked to stop: this process drives the parent no longer, and the child goes on
        return await _stopped(stage, child, call, definition)
    return _outcome(stage.now(), call, definition, instance)


async def _stopped(stage: _Stage, child: str, call: Call, definition: Definition) -> Outcome:
    """Ask a child to stop and await its end, unless it never started."""
    request = Cancel(by=call.id[:_LONGEST_NAME], why="the parent is compensating")
    try:
        await stage.journals.send(child, request)
    except ActRefusedError:
        pass  # it has ended meanwhile
    except UnknownSagaError:
        failure = Failure(type="NotStarted", message="backward recovery began first")
        return Outcome(CallState.REJECTED, stage.now(), failure=failure, recorded=True)
    return _outcome(stage.now(), call, definition, await stage.journals.ended(child, or_stuck=False))


def _outcome(at: datetime, call: Call, definition: Definition, instance: Instance) -> Outcome:
    if instance.state is SagaState.COMPLETED:
        adopted = entries_of(instance, definition) if call.step.hands_over else None
        return Outcome(CallState.DONE, at, instance.result, adopted=adopted)
    # A child that ended COMPENSATED is a rejected step, whatever attempts of driving it came before.
    return Outcome(CallState.REJECTED, at, failure=Failure.of(ending_of(view_of(instance))), recorded=True)
