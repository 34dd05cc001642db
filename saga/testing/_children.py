"""The action of a nested saga in a simulated run: the child runs to its end beside its parent (S16)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

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
from saga.testing._script import target_of
from saga.testing._trace import Event, EventKind

if TYPE_CHECKING:
    from saga.kernel import Call, Definition, Instance
    from saga.testing._simulated import SimulatedRuntime

__all__ = ("Child",)


class Child:
    """Runs a child for the call of its parent."""

    def __init__(self, runtime: SimulatedRuntime, call: Call, definition: Definition) -> None:
        self._runtime = runtime
        self._call = call
        self._definition = definition
        self._id = child_id(call.id, call.call)

    async def outcome(self) -> Outcome:
        """Start the child, or find it, and wait for its end; being asked to stop is passed on to it."""
        self._note(EventKind.BEGAN)
        instance = await self._end()
        outcome = self._judge(instance)
        self._note(EventKind.ANSWERED, outcome.state)
        return outcome

    def _note(self, kind: EventKind, state: CallState | None = None) -> None:
        world, call = self._runtime.world, self._call
        target = target_of(world.root, call.id, call.name)
        number = world.script.attempt(target)[0] if kind is EventKind.BEGAN else 0
        world.note(Event(kind, world.time.now, call.id, target, call.name, number=number, state=state, key=call.key))

    async def _end(self) -> Instance:
        world, call = self._runtime.world, self._call
        conducting = self._runtime.conducting
        child = world.child(self._id, self._definition, call.input, parent=call.id, handed_over=call.step.hands_over)
        if child is None:
            return world.instance(self._id)
        end = child.end()
        while not end.done():
            try:
                await asyncio.wait([end])
            except asyncio.CancelledError:
                if self._runtime.abandoned(conducting):
                    raise
                world.ask(self._id, Cancel(by=call.id, why="the parent is compensating"))
        return end.result()

    def _judge(self, instance: Instance) -> Outcome:
        at = self._runtime.now()
        if instance.state is SagaState.COMPLETED:
            adopted = entries_of(instance, self._definition) if self._call.step.hands_over else None
            return Outcome(CallState.DONE, at, instance.result, adopted=adopted)
        failure = Failure.of(ending_of(view_of(instance)))
        return Outcome(CallState.REJECTED, at, failure=failure, recorded=True)
