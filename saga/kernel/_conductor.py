"""The conductor: drives one instance by asking a runtime for what the decider wants.

It holds no rules. It keeps two promises: a call is performed only after its registration is durable (S1), and
nobody is told anything before it is durable (S20).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from saga.errors import SagaError
from saga.kernel import _facts as f
from saga.kernel._decider import RESUME_LIMIT
from saga.kernel._outcomes import fact_of
from saga.kernel._policy import NEVER, is_noted
from saga.kernel._requests import Request, admit
from saga.kernel._runtime import Call, Outcome, Runtime
from saga.kernel._story import story_of
from saga.kernel._values import NOT_STARTED, Failure, Reason, Role, SagaState

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from saga.kernel._decider import Decider
    from saga.kernel._records import CallRecord

__all__ = ("Conductor",)


class Conductor:
    """Drives one instance until it ends, becomes stale, or its runtime fails.

    Attributes:
        decider: The rules and the state of the instance.
        left: Whether it let go: it takes no note of anything any more.

    Example:
        The engine's whole part is this: make a decider (new, or by `resume`), make a runtime, and
        `await Conductor(decider, runtime).conduct()`.
    """

    def __init__(self, decider: Decider, runtime: Runtime) -> None:
        self.decider = decider
        self._runtime = runtime
        self._running: dict[str, asyncio.Task[Outcome]] = {}
        self._asked_to_stop: set[str] = set()
        self._acknowledgements: list[tuple[int, asyncio.Future[None]]] = []
        self._ended: asyncio.Future[None] | None = None
        self._flushing: asyncio.Future[None] | None = None
        self._due: datetime | None = None
        self._error: BaseException | None = None
        self._awaited = 0
        self._durable = -1
        self.left = False

    # -- events, from callbacks of the host's loop ---------------------------------------

    def start(self, fact: f.SagaStarted) -> None:
        """Take the first fact of a new instance."""
        self._apply(fact)

    def resumed(self, epoch: int, *, crashed: bool, limit: int = RESUME_LIMIT) -> None:
        """Take note that this owner took the instance over, as owner number `epoch`.

        Args:
            epoch: Number of this owner.
            crashed: Whether the former owner ended without letting go.
            limit: How many crashes without progress make the instance STUCK (S20).
        """
        self._apply(f.Resumed(at=self._now(), epoch=epoch, crashed=crashed or None))
        if self.decider.instance.resumes >= limit:
            text = f"{limit} owners in a row ended before the instance progressed"
            self.decider.get_stuck(Reason.POISON, Failure(type="Poison", message=text))
            self._record()

    def tick(self) -> None:
        """Fire every timer whose due time has passed, each as a fact of its own."""
        self._due = None
        while (first := self.decider.next_due()) is not None and first[1] <= self._runtime.now():
            self._apply(f.TimerFired(at=self._now(), timer=first[0]))
            if self._closed:
                return
        self._wake()  # a tick that came a moment early sets the alarm again

    def request(self, request: Request) -> asyncio.Future[None]:
        """Take a request; the future is done once its fact is durable, and cancelled if it was not taken.

        Raises:
            ActRefusedError: if the request makes no sense in this state.
        """
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._closed:
            acknowledged.cancel()
            return acknowledged
        self._apply(admit(self.decider, request, self._now()))
        if self._error is None:
            self._acknowledgements.append((self.decider.instance.count, acknowledged))
        else:
            acknowledged.cancel()  # its fact was not recorded
        return acknowledged

    @property
    def _closed(self) -> bool:
        """Whether nothing is noted any more: it would follow facts that are missing, or that somebody else added."""
        return self.left or self._error is not None

    def _apply(self, fact: f.Fact) -> None:
        if self._closed:
            return
        try:
            self.decider.apply(fact)
            self._record()
        except BaseException as error:  # noqa: BLE001 - a callback has nobody to raise to; conduct() raises it
            self._error = error
            self.decider.out.clear()
        if fact.role_in_replay is not f.FactKind.NOTE or self._error is not None:
            self._awaited = self.decider.instance.count  # notes ride with the next flush (S20)
            self._wake()

    def _record(self) -> None:
        if self.decider.out:
            facts, self.decider.out = self.decider.out, []
            self._runtime.record(facts)

    def _now(self) -> datetime:
        return max(self._runtime.now(), self.decider.instance.last_at)

    # -- the drive -----------------------------------------------------------------------

    async def conduct(self) -> None:
        """Drive the instance; return when it has ended, or when the journal has to be replayed first.

        Raises:
            SagaError: if the runtime failed. What was not flushed is lost and will be repeated (S20).
        """
        self._ended = asyncio.get_running_loop().create_future()
        self._awaited = self.decider.instance.count
        self._record()
        self._wake()
        try:
            await self._ended
        finally:
            self._leave()

    # Callbacks, not a task that waits: they run once for each call of each instance, and a task that wakes up twice
    # for it takes a tenth of all that an engine does.

    def _wake(self) -> None:
        """Go on once everything that has to be durable is."""
        if self._ended is None or self._flushing is not None:
            return  # it goes on by itself
        if self._durable < self._awaited:
            count = self.decider.instance.count
            self._flushing = asyncio.ensure_future(self._runtime.flush())
            self._flushing.add_done_callback(lambda flushing: self._flushed(flushing, count))
        else:
            asyncio.get_running_loop().call_soon(self._proceed)

    def _flushed(self, flushing: asyncio.Future[None], count: int) -> None:
        self._flushing = None
        error = None if flushing.cancelled() else flushing.exception()
        if error is not None:
            self._fail(error)
        elif not flushing.cancelled():
            self._durable = count
            self._proceed()

    def _proceed(self) -> None:
        """Tell who waits, end, or start what should run."""
        if self._ended is None or self._ended.done():
            return
        self._acknowledge()
        if self._error is not None:
            self._fail(self._error)
        elif self._finished():
            self._ended.set_result(None)
        else:
            self._start_what_should_run(self._ended.get_loop())

    def _start_what_should_run(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            self._reconcile(loop)
        except BaseException as error:  # noqa: BLE001 - conduct() raises it
            self._fail(error)
            return
        if self._durable < self._awaited:
            self._wake()

    def _fail(self, error: BaseException) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_exception(error)

    def _finished(self) -> bool:
        instance = self.decider.instance
        # What still runs may be answered: a replay that missed the answer would contradict the journal.
        stale = self.decider.stale and not self._running
        return self._durable >= self._awaited and (instance.ended or stale)

    def _acknowledge(self) -> None:
        while self._acknowledgements and self._acknowledgements[0][0] <= self._durable:
            future = self._acknowledgements.pop(0)[1]
            if not future.done():
                future.set_result(None)

    def _leave(self) -> None:
        """Let go: nothing is recorded for it; the next owner goes on (S6)."""
        self.left = True
        self._runtime.wake_at(None)
        if self._flushing is not None:
            self._flushing.cancel()
        for task in self._running.values():
            task.cancel()
        self.decider.drop()
        for _, future in self._acknowledgements:
            future.cancel()

    # -- making what runs equal to what should run ---------------------------------------

    def _reconcile(self, loop: asyncio.AbstractEventLoop) -> None:
        instance = self.decider.instance
        if not self._at_rest():
            for record in list(instance.in_flight.values()):
                if record.position <= self._durable and record.name not in self._running:
                    self._begin(record, loop)
        if self._running:
            self._stop_what_should_stop(loop)
        first = self.decider.next_due()
        due = None if first is None else first[1]
        if due != self._due:
            self._due = due
            self._runtime.wake_at(due)

    def _at_rest(self) -> bool:
        """Whether nothing may start: the instance is STUCK, or has to be replayed first."""
        instance = self.decider.instance
        return self.decider.stale or (instance.state is SagaState.STUCK and not self._running)

    def _begin(self, record: CallRecord, loop: asyncio.AbstractEventLoop) -> None:
        # A child may be running by itself: it has to be asked to stop, and its end awaited (S16).
        nested = record.role is Role.ACTION and self.decider.definition.step(record.step).nested is not None
        if self.decider.instance.recovering and record.role is Role.ACTION and not nested:
            self._give_up(record)
        else:
            self._perform(record, loop)

    def _give_up(self, record: CallRecord) -> None:
        """Backward recovery starts no action: it did not happen, unless a former owner had started it (S5)."""
        kind = f.CallInDoubt if record.unanswered else f.CallRejected
        self._apply(kind(at=self._now(), call=record.name, failure=NOT_STARTED, attempts=0))

    def _perform(self, record: CallRecord, loop: asyncio.AbstractEventLoop) -> None:
        step = self.decider.definition.step(record.step)
        try:
            payload = self.decider.input_of(record)
        except Exception as error:  # noqa: BLE001 - the author's mapping is code like run
            self._not_mapped(record, error)
            return
        instance = self.decider.instance
        call = Call(
            instance.id,
            instance.saga,
            record.call,
            record.role,
            step,
            payload,
            record.attempts,
        )
        task = loop.create_task(self._runtime.perform(call, self._note(record.name)))
        self._running[record.name] = task
        task.add_done_callback(lambda task: self._performed(call, task))

    def _not_mapped(self, record: CallRecord, error: Exception) -> None:
        """A compensation without an input: only other code, or an operator, can move it on (S9)."""
        failure = Failure.of(error, traceback=story_of(error))
        self._apply(f.CallRejected(at=self._now(), call=record.name, failure=failure, attempts=0))

    def _stop_what_should_stop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ask running actions to stop once recovery has begun (S5), and whatever an operator did by hand.

        An action that nothing could settle after it was stopped is left to answer, or to reach its time limit:
        stopping it would make the very doubt that only an operator can resolve. Its next attempt is its last.
        """
        instance = self.decider.instance
        for name, task in self._running.items():
            record = instance.in_flight.get(name)
            over = record is None or (instance.recovering and record.role is Role.ACTION and self._settles(record))
            if over:
                self._ask_to_stop(name, task, loop)

    def _ask_to_stop(self, name: str, task: asyncio.Task[Outcome], loop: asyncio.AbstractEventLoop) -> None:
        if name not in self._asked_to_stop:
            self._asked_to_stop.add(name)
            loop.call_soon(task.cancel)  # a task that has not begun would end without an outcome

    def _settles(self, record: CallRecord) -> bool:
        return self.decider.definition.step(record.step).action.policy.settles_after is not NEVER

    def _performed(self, call: Call, task: asyncio.Task[Outcome]) -> None:
        self._running.pop(call.name, None)
        self._asked_to_stop.discard(call.name)
        error = _lost(call) if task.cancelled() else task.exception()
        if self.left:
            return  # the next owner goes on
        if error is not None:
            self._break(error)
            return
        record = self.decider.instance.in_flight.get(call.name)
        if record is None:
            self._wake()  # an operator was faster
            return
        try:
            fact = fact_of(call, record, task.result(), self.decider.instance.last_at)
        except Exception as fault:  # noqa: BLE001 - as in _apply
            self._break(fault)
            return
        self._apply(fact)

    def _break(self, error: BaseException) -> None:
        """Stop once what was recorded is durable; conduct() raises the first error."""
        self._error = self._error or error
        self._wake()

    def _note(self, name: str) -> Callable[[Failure, bool], None]:
        """Return what is told of the failed attempts of a call; it writes some of them down (see `is_noted`)."""
        attempt = 0

        def failed(failure: Failure, overdue: bool) -> None:  # noqa: FBT001 - the port's signature
            nonlocal attempt
            record = self.decider.instance.in_flight.get(name)
            if record is None:
                return
            attempt = max(attempt, record.tried) + 1
            if is_noted(attempt):
                self._apply(
                    f.AttemptFailed(at=self._now(), call=name, attempt=attempt, failure=failure, overdue=overdue)
                )
            task = self._running.get(name)
            if task is not None and self.decider.instance.recovering and record.role is Role.ACTION:
                # No attempt runs just now, so stopping here leaves nothing unsettled.
                self._ask_to_stop(name, task, asyncio.get_running_loop())

        return failed


def _lost(call: Call) -> SagaError:
    """A runtime that gives a call up without an outcome leaves nobody to say whether it happened."""
    return SagaError(f"{call.saga} {call.id}: the runtime ended {call.name} without an outcome; it is resumed later")
