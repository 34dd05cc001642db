"""The action of a nested saga in a simulated run: the child runs to its end beside its parent (S16)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from saga.kernel import child_id, child_outcome, never_started, not_started, stopped_by_parent
from saga.testing._journal import MemoryJournal
from saga.testing._script import target_of
from saga.testing._trace import Event, EventKind

if TYPE_CHECKING:
    from saga.kernel import Call, CallState, Definition, Instance, Outcome
    from saga.testing._simulated import SimulatedRuntime

__all__ = ("Child",)


class Child:
    """Runs a child for the call of its parent."""

    def __init__(self, runtime: SimulatedRuntime, call: Call, definition: Definition) -> None:
        self._runtime = runtime
        self._world = runtime.world
        self._call = call
        self._definition = definition
        self._id = child_id(call.id, call.call)
        self._target = target_of(self._world.root, call.id, call.name)
        self._why = stopped_by_parent(call.id)

    async def outcome(self) -> Outcome:
        """Start the child, or find it, and wait for its end; being asked to stop is passed on to it."""
        conducting = self._runtime.conducting
        try:
            await self._begin()
        except asyncio.CancelledError:
            if self._runtime.abandoned(conducting):
                raise
            if not self._world.started(self._id):
                return self.suspend()
            self._world.ask(self._id, self._why)
        instance = await self._end(conducting)
        outcome = child_outcome(self._call, instance, self._definition, self._runtime.now())
        self._note(EventKind.ANSWERED, outcome.state)
        return outcome

    async def _begin(self) -> None:
        """Take a turn, as a start does: another owner may take over meanwhile, or a cancel arrive."""
        number, does = self._world.script.attempt(self._target)
        self._note(EventKind.BEGAN, number=number)
        if self._runtime.pause(does, f"before {self._target} starts"):
            self._world.script.inject(self._target)
        await asyncio.sleep(0)

    def _note(self, kind: EventKind, state: CallState | None = None, *, number: int = 0) -> None:
        call = self._call
        if not self._runtime.former:
            at = self._world.time.now
            event = Event(kind, at, call.id, self._target, call.name, number=number, state=state, key=call.key)
            self._world.note(event)

    def suspend(self) -> Outcome:
        """Put an instance that has ended where the child would start, so that no start comes later."""
        journal, at = self._journal(), self._runtime.now()
        journal.suspended = True
        journal.record(never_started(journal.beginning(at)))
        self._world.commit(journal)
        outcome = not_started(at)
        self._note(EventKind.ANSWERED, outcome.state)
        return outcome

    def _journal(self) -> MemoryJournal:
        hands_over = self._call.step.hands_over
        return MemoryJournal(
            self._id, self._definition, self._call.input, starter=self._runtime, handed_over=hands_over
        )

    async def _end(self, conducting: asyncio.Task[None] | None) -> Instance:
        world = self._world
        if world.started(self._id) and world.instance(self._id).ended:
            return world.instance(self._id)
        end = self._driven().end()
        while not end.done():
            try:
                await asyncio.wait([end])
            except asyncio.CancelledError:
                if self._runtime.abandoned(conducting):
                    raise
                world.ask(self._id, self._why)
        return end.result()

    def _driven(self) -> SimulatedRuntime:
        """Return what drives the child for this owner: started now, or found; another owner may be faster."""
        owner = self._runtime.owner
        if self._id in owner.runtimes:
            return owner.runtimes[self._id]
        if self._world.started(self._id):
            return owner.watch(self._world.journals[self._id])
        journal = self._journal()
        if owner is self._world.owner:
            self._world.journals[self._id] = journal
        return owner.drive(journal)
