"""Everything around the instances of one simulated run: time, owners, journals, participants, people."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NoReturn

from saga.kernel import facts as f
from saga.testing._effects import Effects
from saga.testing._journal import MemoryJournal
from saga.testing._operator import Operator
from saga.testing._owner import Owner
from saga.testing._people import People
from saga.testing._time import VirtualTime
from saga.testing._trace import Event, EventKind, Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from saga.kernel import Definition, Fact, Instance, Request
    from saga.testing._participants import Participants
    from saga.testing._script import Script

__all__ = ("World",)

_RESTART: Final = timedelta(seconds=1)
"""How long it takes until another owner takes over."""
_PAUSE: Final = timedelta(seconds=30)
"""How long after that a paused owner goes on, unless something settles sooner; it notices within half of that."""


class World:
    """One simulated run.

    Attributes:
        root: Id of the instance that the run is about.
        time: Virtual time.
        trace: What happened.
        journals: Every instance, the root first.
        owner: The process that drives them now.
        formers: Processes that were taken over and may not know it.
        takeovers: How often another process took over.
        effects: What activities really do.
        failures: What a conductor raised although it should not.
        people: Those who answer decisions.
        operator: Who acts when an instance is STUCK.
    """

    def __init__(
        self,
        root: str,
        *,
        participants: Participants,
        script: Script,
        answers: Mapping[str, list[str]],
    ) -> None:
        self.root = root
        self.script = script
        self.time = VirtualTime()
        self.started_at = self.time.now
        self.trace = Trace()
        self.journals: dict[str, MemoryJournal] = {}
        self.failures: list[BaseException] = []
        self.people = People(self, answers)
        self.operator = Operator(self, patient=script.scenario.patient)
        self.effects = Effects(self, participants)
        self._host = asyncio.get_running_loop()
        self._asked: list[tuple[str, Request]] = []
        self.formers: list[Owner] = []
        self.takeovers = 0
        self.owner = Owner(self)

    # -- instances -----------------------------------------------------------------------

    def start(self, definition: Definition, request: str) -> None:
        """Start the root instance."""
        self.journals[self.root] = MemoryJournal(self.root, definition, request)
        self.owner.drive(self.journals[self.root])
        self.people.begin()

    def started(self, id: str) -> bool:
        """Tell whether the start of an instance is durable."""
        return id in self.journals and bool(self.journals[id].facts)

    def instance(self, id: str) -> Instance:
        """Return what the durable facts of an instance come to."""
        return self.journals[id].instance

    def note(self, event: Event) -> None:
        """Take note of an event, with how much of its instance is durable by now."""
        journal = self.journals.get(event.instance)
        durable = 0 if journal is None else len(journal.facts)
        self.trace.add(replace(event, durable=durable))

    def commit(self, journal: MemoryJournal, batches: int | None = None) -> list[Fact]:
        """Make durable what an instance has queued."""
        id, first = journal.id, len(journal.facts) + 1
        self.journals[id] = journal
        written = journal.commit(batches)
        if written:
            stuck = any(isinstance(fact, f.SagaStuck) for fact in written)
            flush = f"flush {self.script.flushes}" if stuck else ""
            self.note(Event(EventKind.DURABLE, self.time.now, id, number=first, text=flush))
            self.people.read(id, written)
            if id == self.root and any(isinstance(fact, f.TimerFired) and fact.timer == "deadline" for fact in written):
                self.script.deadline_passed()
        return written

    # -- requests ------------------------------------------------------------------------

    def ask(self, id: str, request: Request) -> None:
        """Ask an instance for something, again after a crash until it is acknowledged or refused."""
        self.note(Event(EventKind.ASKED, self.time.now, id, text=request.request))
        self._asked.append((id, request))
        self._send(id, request)

    def _send(self, id: str, request: Request) -> None:
        def done(refused: str) -> None:
            if (id, request) in self._asked:
                self._asked.remove((id, request))
            if refused:
                self.note(Event(EventKind.REFUSED, self.time.now, id, text=refused))

        runtime = self.owner.runtimes.get(id)
        if runtime is None:
            done(f"{id} has ended")
        else:
            self.owner.soon(runtime.ask, request, done)

    # -- crashes -------------------------------------------------------------------------

    async def crash(self, owner: Owner, text: str) -> NoReturn:
        """End a process; whoever calls this belongs to it and never returns."""
        if owner is self.owner:
            self.note(Event(EventKind.CRASHED, self.time.now, text=text))
        owner.crash()
        await owner.never()

    async def leave(self, owner: Owner, text: str) -> NoReturn:
        """Let a process end in order; whoever calls this belongs to it and never returns."""
        if owner is self.owner:
            self.note(Event(EventKind.LEFT, self.time.now, text=text))
            owner.leave()
        await owner.never()

    def pause(self, text: str) -> None:
        """Let the process stand still while another one takes over; later it goes on where it was."""
        self.note(Event(EventKind.PAUSED, self.time.now, text=text))
        self.owner.pause()

    def _replace_owner(self) -> None:
        former, let_go = self.owner, self.owner.leaving
        for journal in self.journals.values():
            if let_go:
                self.commit(journal)
            elif journal.facts or not former.paused:
                journal.lose_queue()
        self.takeovers += 1
        self.time.now += _RESTART
        if former.paused:
            self._let_go_on(former)
        else:
            former.bury()
        self.owner = Owner(self)
        for journal in list(self.journals.values()):
            self._take_over(journal, crashed=not let_go)
        for id, request in self._asked:
            self._send(id, request)

    def _take_over(self, journal: MemoryJournal, *, crashed: bool) -> None:
        if journal.facts:
            self.owner.drive(journal, crashed=crashed)
        elif journal.id == self.root:  # whoever started it has no answer and starts it again
            self.journals[self.root] = MemoryJournal(self.root, journal.definition, journal.request)
            self.owner.drive(self.journals[self.root])
        else:
            del self.journals[journal.id]  # its parent starts it again

    def _let_go_on(self, former: Owner) -> None:
        """Set when a paused owner goes on, and when it notices; in time for whatever settles."""
        settling = [
            step.action.policy.settle_time / 2
            for journal in self.journals.values()
            for step in journal.definition.steps.values()
            if step.action.policy.settle_time is not None
        ]
        pause = min([_PAUSE, *settling])
        self.formers.append(former)

        def wake() -> None:
            if former in self.formers:
                self.note(Event(EventKind.WOKE, self.time.now))
                former.wake()

        self.time.at(self.time.now + pause, wake)
        self.time.at(self.time.now + pause * 1.5, lambda: self.end_former(former))

    def end_former(self, former: Owner) -> None:
        """End a process that was taken over: it notices, or somebody makes sure."""
        if former in self.formers:
            self.formers.remove(former)
            former.bury()

    # -- turning -------------------------------------------------------------------------

    async def settle(self) -> None:
        """Let everything happen that can happen without time passing."""
        while True:
            await self._in_callback(self._pump)
            if self.effects.outside:
                await asyncio.wait(self.effects.outside, return_when=asyncio.FIRST_COMPLETED)
            elif self.owner.alive and not (self.owner.leaving or self.owner.paused):
                return
            else:
                await self._in_callback(self._replace_owner)

    def _pump(self) -> None:
        for owner in (*self.formers, self.owner):
            if owner.alive and not owner.paused:
                owner.loop.pump()
                self.failures += owner.loop.unheard

    async def advance(self) -> bool:
        """Let time pass until something is due, and settle; False if nothing ever is."""
        moved: list[bool] = []
        await self._in_callback(lambda: moved.append(self.time.advance()))
        await self.settle()
        return moved[0]

    async def _in_callback(self, function: Callable[[], object]) -> None:
        # The deterministic loop may not be pumped from inside a task.
        done: asyncio.Future[None] = self._host.create_future()

        def call() -> None:
            try:
                function()
            except BaseException as error:  # noqa: BLE001 - belongs to whoever awaits
                done.set_exception(error)
            else:
                done.set_result(None)

        self._host.call_soon(call)
        await done
