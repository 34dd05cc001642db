"""Everything around the instances of one simulated run: time, owners, journals, participants, people."""

from __future__ import annotations

import asyncio
import inspect
from contextvars import copy_context
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from saga.errors import InvalidRequestError, StepRejected
from saga.kernel import PAYLOAD_LIMIT, RECORDED, CallState, Instance, attempt
from saga.kernel._facts import SagaStuck
from saga.testing._journal import MemoryJournal
from saga.testing._operator import Operator
from saga.testing._owner import Owner
from saga.testing._people import People
from saga.testing._time import VirtualTime
from saga.testing._trace import Event, EventKind, Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from saga.kernel import Call, Definition, Fact, Request
    from saga.testing._participants import Participants
    from saga.testing._script import Script
    from saga.testing._simulated import SimulatedRuntime
    from saga.testing._time import Alarm

__all__ = ("World",)

_LATENESS = 30
"""Seconds after its time limit at which a late attempt acts, unless the step says that it settles sooner."""


_RESTART = timedelta(seconds=1)
"""How long it takes until another owner takes over."""


class World:
    """One simulated run.

    Attributes:
        root: Id of the instance that the run is about.
        time: Virtual time.
        trace: What happened.
        journals: Every instance, the root first.
        owner: The process that drives them now.
        outside: Activities that run on the host's event loop; time stands still for them.
        calls: The last call of every activity, by target.
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
        self.outside: set[asyncio.Task[object]] = set()
        self.calls: dict[str, Call] = {}
        self.late: dict[str, list[Alarm]] = {}
        self.failures: list[BaseException] = []
        self.people = People(self, answers)
        self.operator = Operator(self, patient=script.scenario.patient)
        self._participants = participants
        self._host = asyncio.get_running_loop()
        self._asked: list[tuple[str, Request]] = []
        self.owner = Owner(self)

    # -- instances -----------------------------------------------------------------------

    def start(self, definition: Definition, request: str) -> None:
        """Start the root instance."""
        self.journals[self.root] = MemoryJournal(definition, request)
        self.owner.drive(self.root)
        self.people.begin()

    def child(
        self, id: str, definition: Definition, request: str, *, parent: str, handed_over: bool
    ) -> SimulatedRuntime | None:
        """Return what drives a child, started if it does not exist; None if it has ended."""
        if id not in self.journals:
            self.journals[id] = MemoryJournal(definition, request, parent=parent, handed_over=handed_over)
        if self.journals[id].facts and self.instance(id).ended:
            return None
        runtime = self.owner.runtimes.get(id)
        return self.owner.drive(id) if runtime is None else runtime

    def instance(self, id: str) -> Instance:
        """Return what the durable facts of an instance come to."""
        return Instance().fold_all(self.journals[id].facts)

    def note(self, event: Event) -> None:
        """Take note of an event, with how much of its instance is durable by now."""
        journal = self.journals.get(event.instance)
        durable = 0 if journal is None else len(journal.facts)
        self.trace.add(replace(event, durable=durable))

    def commit(self, id: str, batches: int | None = None) -> list[Fact]:
        """Make durable what an instance has queued."""
        journal = self.journals[id]
        first = len(journal.facts) + 1
        written = journal.commit(batches)
        if written:
            stuck = any(isinstance(fact, SagaStuck) for fact in written)
            flush = f"flush {self.script.flushes}" if stuck else ""
            self.note(Event(EventKind.DURABLE, self.time.now, id, number=first, text=flush))
            self.people.read(id, written)
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

    async def crash(self, text: str) -> NoReturn:
        """End the process that drives the instances; whoever calls this belongs to it and never returns."""
        self.note(Event(EventKind.CRASHED, self.time.now, text=text))
        self.owner.crash()
        await self.owner.never()

    def leave(self, text: str) -> None:
        """Let the process end in order."""
        self.note(Event(EventKind.LEFT, self.time.now, text=text))
        self.owner.leave()

    def _replace_owner(self) -> None:
        former, crashed = self.owner, not self.owner.alive
        for id, journal in self.journals.items():
            if crashed:
                journal.lose_queue()
            else:
                self.commit(id)
        former.bury()
        self.time.now += _RESTART
        self.owner = Owner(self)
        for id, journal in list(self.journals.items()):
            if journal.facts:
                self.owner.drive(id, crashed=crashed)
            elif id == self.root:
                self.owner.drive(id)  # whoever started it has no answer and starts it again
            else:
                del self.journals[id]  # its parent starts it again
        for id, request in self._asked:
            self._send(id, request)

    # -- turning -------------------------------------------------------------------------

    async def settle(self) -> None:
        """Let everything happen that can happen without time passing."""
        while True:
            await self._in_callback(self._pump)
            if self.outside:
                await asyncio.wait(self.outside, return_when=asyncio.FIRST_COMPLETED)
            elif self.owner.alive and not self.owner.leaving:
                return
            else:
                await self._in_callback(self._replace_owner)

    def _pump(self) -> None:
        if self.owner.alive:
            self.owner.loop.pump()
            self.failures += self.owner.loop.unheard

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

    # -- effects -------------------------------------------------------------------------

    def acting(self, target: str, call: Call, kind: EventKind, number: int = 0) -> Callable[[Any], object]:
        """Return the real activity of a call; it notes what it does, and it runs where its kind can run."""
        function = self._participants.function(call)
        note = partial(self._acted, target, call, kind, number)
        if inspect.iscoroutinefunction(function):

            async def act_outside(value: Any) -> object:  # any input
                return await self._outside(_noted(function, value, note))

            return act_outside

        def act(value: Any) -> object:  # any input
            try:
                result = function(value)
            except Exception as error:
                note(error=error)
                raise
            if inspect.isawaitable(result):
                return self._outside(_noted(lambda _: result, value, note))
            note(result=result)
            return result

        return act

    def _acted(
        self,
        target: str,
        call: Call,
        kind: EventKind,
        number: int,
        *,
        result: object = None,
        error: Exception | None = None,
    ) -> None:
        state, output = CallState.DONE, None
        if error is not None:
            said_no = isinstance(error, (StepRejected, *call.step.rejects))
            state = CallState.REJECTED if said_no else CallState.IN_DOUBT
        elif call.activity.returns is not None:
            try:
                output = call.activity.returns.encode(result)
            except InvalidRequestError:
                output = None
        self.note(
            Event(
                kind, self.time.now, call.id, target, call.name, number, 0, state,
                text="" if error is None else type(error).__name__, key=call.key, output=output,
                recorded=bool(getattr(error, RECORDED, False)),
            )
        )  # fmt: skip

    async def _outside(self, activity: Coroutine[Any, Any, object]) -> object:
        """Run a coroutine on the host's loop, where it finds real I/O; it is never cancelled."""
        done: asyncio.Future[object] = asyncio.get_running_loop().create_future()

        def arrived(task: asyncio.Task[object]) -> None:
            error = task.exception()
            if done.done():
                return
            if error is None:
                done.set_result(task.result())
            else:
                done.set_exception(error)

        self._spawn(activity).add_done_callback(arrived)
        conducting = self.owner
        while not done.done():
            try:
                await asyncio.wait([done])
            except asyncio.CancelledError:
                if conducting.leaving or not conducting.alive:
                    raise
        return done.result()

    def _spawn(self, activity: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
        task = self._host.create_task(activity, context=copy_context())
        self.outside.add(task)
        task.add_done_callback(self.outside.discard)
        return task

    def act(self, target: str, call: Call, kind: EventKind) -> asyncio.Task[object]:
        """Let an activity act beside the saga: late, or by hand."""

        async def inline(function: Callable[[Any], object], value: Any) -> object:  # any input
            return function(value)

        function = self.acting(target, call, kind)
        return self._spawn(attempt(call, function, number=1, in_thread=inline, payload_limit=PAYLOAD_LIMIT))

    def act_later(self, target: str, call: Call, limit: timedelta) -> None:
        """Let an attempt act after its time limit: as late as the step's settling time allows."""
        policy = call.activity.policy
        after = timedelta(seconds=_LATENESS)
        if policy.settle_time is not None and not (policy.barrier or policy.safe_to_overtake):
            after = min(after, policy.settle_time / 2)
        due = self.time.now + limit + after
        alarm = self.time.at(due, lambda: self.act(target, call, EventKind.ACTED_LATE))
        self.late.setdefault(target, []).append(alarm)


async def _noted(function: Callable[[Any], Any], value: Any, note: Callable[..., None]) -> object:
    try:
        result = await function(value)
    except Exception as error:
        note(error=error)
        raise
    note(result=result)
    return result
