"""The rules: which consequences follow from an input. Pure: no clock, no I/O; same facts, same consequences.

An input is folded into the instance, shown to `run`, and then `_progress` draws the consequences from the state
that results, whatever led to it. Because it looks at states and not at events, recovery after a crash needs no
code of its own: facts that were read are folded, and `_progress` draws what is still missing.

    apply(input) -> fold -> _release to run -> _progress -+-> _advance   forward, while RUNNING
                                                          +-> _recover   backward, while COMPENSATING
                                                          +-> _check_stuck
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from saga.errors import (
    InvalidRequestError,
    PayloadTooLargeError,
    ReplayMismatchError,
    StepOrderError,
    UnknownSagaError,
)
from saga.kernel import _facts as f
from saga.kernel._activity import size_of
from saga.kernel._endings import CODE_FAULTS, why
from saga.kernel._instance import CallRecord, Instance
from saga.kernel._names import call_name, role_name
from saga.kernel._play import Made, Play, story_of
from saga.kernel._recovery import FAR, blocked, next_to_compensate, settled_at, to_compensate
from saga.kernel._values import CallState, Failure, Kind, Reason, Role, SagaState

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from saga.kernel._activity import Codec
    from saga.kernel._definition import Definition, StepDefinition

__all__ = ("PAYLOAD_LIMIT", "RESUME_LIMIT", "Decider")

PAYLOAD_LIMIT = 2 * 1024 * 1024
"""Largest payload that a journal takes, in bytes of JSON; the limit of Temporal's server too."""
RESUME_LIMIT = 10
"""How many owners may crash in a row, with a call in flight and no progress, before an instance is STUCK (S20)."""


class Decider:
    """Decides for one instance.

    Attributes:
        definition: The saga class, checked.
        instance: What the facts come to.
        out: Facts that were decided and are not recorded yet, in order.
        stale: Whether the journal has to be replayed with today's code before anything else can be decided.
    """

    def __init__(self, definition: Definition, *, payload_limit: int = PAYLOAD_LIMIT) -> None:
        self.definition = definition
        self.instance = Instance()
        self.out: list[f.Fact] = []
        self.stale = False
        self._payload_limit = payload_limit
        self._play: Play | None = None
        self._unreleased: CallRecord | None = None
        self._settling: tuple[str, datetime] | None = None

    # -- facts in, facts out -------------------------------------------------------------

    def apply(self, fact: f.Fact) -> None:
        """Take an input or a note that is not journaled yet, and draw the consequences."""
        self.instance.fold(fact)
        self.out.append(fact)
        if fact.role_in_replay is not f.FactKind.INPUT:
            return
        if self._needs_replay(fact):
            self.stale = True
        else:
            self.conclude(fact)

    def conclude(self, fact: f.Fact) -> None:
        """Draw the consequences of an input that was folded."""
        if isinstance(fact, f.SagaStarted):
            self._begin()
        elif self._play is not None and self._interruption() is None:
            self._release(fact, self._play)  # after a cancel or the deadline nothing that run does matters (S6)
        self._continue()
        self._progress()

    def _continue(self) -> None:
        """Leave STUCK because somebody acted; what is still blocked makes the instance STUCK again."""
        if self.instance.act_pending:
            self._emit((f.RecoveryContinued if self.instance.recovering else f.RunContinued)(at=self.now()))

    def settle_in(self) -> None:
        """Draw what is still missing after facts that were read were folded without `run` (S15)."""
        self._continue()
        self._progress()

    def get_stuck(self, reason: Reason, failure: Failure) -> None:
        """Make the instance STUCK by a fault of the code, unless it ended."""
        self._continue()
        if self.instance.state is not SagaState.STUCK:
            self._emit(f.SagaStuck(at=self.instance.last_at, reasons=(f.StuckReason(reason=reason, failure=failure),)))

    def drop(self) -> None:
        """Give the execution of `run` up, without a fact."""
        if self._play is not None:
            self._play.drop()
            self._play = None

    def _emit(self, fact: f.Fact) -> None:
        self.instance.fold(fact)
        self.out.append(fact)

    def _needs_replay(self, fact: f.Fact) -> bool:
        if self.stale:
            return True
        if self.instance.recovering or isinstance(fact, f.SagaStarted):
            return False
        if self._play is None:  # a STUCK instance that was read but not replayed
            return self.instance.act_pending and self._interruption() is None
        return isinstance(fact, f.Retried) and any(one.reason in CODE_FAULTS for one in self.instance.stuck)

    # -- what `run` did (PlayHost) -------------------------------------------------------

    def now(self) -> datetime:
        """Return the time of the last fact."""
        return self.instance.last_at

    def made(self, made: Made) -> None:
        """`run` made a call: register it, or withhold it while a pivot is being decided (S7)."""
        assert self._play is not None  # noqa: S101 - only a play makes calls
        if self._withholds(made.step):
            self._play.withheld.append(made)
        else:
            self._register(made, self._play)

    def timer_set(self, timer: str, due: datetime) -> None:
        """`run` set a timer."""
        self._emit(f.TimerSet(at=self.now(), timer=timer, due=due))

    def decision_awaited(self, call: str, due: datetime) -> None:
        """`run` waits for a decision."""
        self._emit(f.DecisionAwaited(at=self.now(), call=call, due=due))

    def early_answer(self, call: str) -> str | None:
        """Return the answer to a decision that came before it was awaited."""
        return self.instance.decisions[call].answer

    def encode(self, codec: Codec, value: object, what: str) -> str:
        """Return a value that `run` made as a payload.

        Raises:
            InvalidRequestError: if it does not fit its type.
            PayloadTooLargeError: if it is larger than the journal takes.
        """
        where = f"{self.definition.saga} {self.instance.id} {what}"
        try:
            payload = codec.encode(value)
        except InvalidRequestError as error:
            msg = f"{where}: {error}"
            raise InvalidRequestError(msg) from None
        self._check_size(payload, where)
        return payload

    def check_payload(self, codec: Codec, payload: str, what: str) -> None:
        """Refuse a payload from outside as `encode` would.

        Raises:
            InvalidRequestError: if it does not fit its type.
            PayloadTooLargeError: if it is larger than the journal takes.
        """
        where = f"{self.definition.saga} {self.instance.id} {what}"
        self._check_size(payload, where)
        try:
            codec.decode(payload)
        except InvalidRequestError as error:
            msg = f"{where}: {error}"
            raise InvalidRequestError(msg) from None

    def _check_size(self, payload: str, where: str) -> None:
        if (size := size_of(payload)) > self._payload_limit:
            msg = f"{where}: {size} bytes of JSON, the limit is {self._payload_limit}; pass a reference instead"
            raise PayloadTooLargeError(msg)

    # -- what `run` sees -----------------------------------------------------------------

    def _begin(self) -> None:
        instance = self.instance
        try:
            request = self.definition.request.decode(instance.request)
        except InvalidRequestError as error:
            self._start_recovery(Reason.UNDECODABLE, None, Failure.of(error))
            return
        self._play = Play(self.definition, self, instance.id, instance.started_at)
        self._play.begin(request)

    def _release(self, fact: f.Fact, play: Play) -> None:
        if isinstance(fact, (f.CallDone, f.CallRejected, f.CallInDoubt, f.CallProbed, f.CallResolved)):
            record = self.instance.calls[fact.call]
            if record.role is Role.ACTION:
                self._answer(record, play)
        elif isinstance(fact, f.TimerFired):
            if fact.timer in self.instance.decisions:
                play.time_out(fact.timer)
            else:
                play.fire(fact.timer)
        elif isinstance(fact, f.DecisionAnswered):
            play.answer(fact.call, fact.payload or "null")

    def _answer(self, record: CallRecord, play: Play) -> None:
        """Show `run` the outcome of an action, unless the rules keep it back."""
        failure = record.failure or Failure(type="DidNotHappen", message="it did not happen and never will")
        if record.state is CallState.DONE:
            if record is self.instance.commit:
                self._unreleased = record  # until the tentative effects are confirmed (S17)
            else:
                play.resolve(record.call, record.output)
        elif record.after_commit or record is self.instance.commit:
            return  # only an operator, or a probe, moves it on (S7)
        elif record.state is CallState.REJECTED:
            play.reject(record.call, failure)
        else:
            play.abandoned[record.call] = None  # run has to go on without it, whatever becomes known later (S4)
            play.doubt(record.call, failure)

    # -- registering ---------------------------------------------------------------------

    @property
    def _deciding(self) -> bool:
        """Whether the call that is the point of no return has not returned to `run` yet; other calls wait."""
        commit = self.instance.commit
        return commit is not None and (commit.state is not CallState.DONE or self._unreleased is not None)

    def _withholds(self, step: StepDefinition) -> bool:
        return self._deciding or (self.definition.commits(step) and not self.instance.committed)

    def _register(self, made: Made, play: Play) -> None:
        fault = self._order_fault(made.step)
        if fault:
            made.future.set_exception(StepOrderError(fault))
            return
        committed = self.instance.committed
        commits = self.definition.commits(made.step) and not committed
        made.name = call_name(made.step.name, play.number(made.step.name))
        self._emit(
            f.CallRegistered(
                at=self.now(),
                call=made.name,
                kind=made.step.kind,
                commits=commits or None,
                payload=made.payload,
            )
        )
        play.registered(made, held=commits or committed)

    def _order_fault(self, step: StepDefinition) -> str | None:
        """Say why a step may not be called now (S8), or None if it may."""
        saga = f"{self.definition.saga} {self.instance.id}"
        if self.instance.committed and step.kind not in {Kind.RETRIABLE, Kind.READ_ONLY}:
            commit = self.instance.commit.call if self.instance.commit else "the end of run"
            return f"{saga}: {step.name} is {step.kind.value} and was called after the point of no return, {commit}"
        if not self.instance.committed and step.kind is Kind.RETRIABLE and self.definition.has_pivot:
            return f"{saga}: {step.name} is retriable and was called before the pivot was done"
        return None

    def _register_role(self, record: CallRecord, role: Role) -> None:
        """Register a compensation, probe, confirmation or forgetting of a call."""
        given = self.definition.step(record.step).roles[role].given
        try:
            payload = None if given is None else self._mapped(record)
        except Exception as error:  # noqa: BLE001 - the author's mapping is code like run
            self.get_stuck(Reason.BUG, Failure.of(error, traceback=story_of(error)))
            return
        self._emit(f.CallRegistered(at=self.now(), call=role_name(record.call, role), payload=payload))

    def _mapped(self, record: CallRecord) -> str:
        """Return the input that an author's mapping makes of an effect."""
        step = self.definition.step(record.step)
        role = step.roles[Role.COMPENSATION]
        assert role.given is not None and step.effect is not None  # noqa: S101, PT018 - the caller asked
        return self.encode(role.takes, role.given(step.effect.decode(effect_payload(record))), step.name)

    # -- drawing consequences ------------------------------------------------------------

    def _progress(self) -> None:
        instance = self.instance
        if instance.ended or instance.state is SagaState.STUCK:
            return
        self._settling = None
        try:
            if instance.recovering:
                self._recover()
            else:
                self._advance()
        except (UnknownSagaError, ReplayMismatchError) as error:  # today's class lacks what the journal needs
            self.get_stuck(Reason.MISMATCH, Failure.of(error))
        self._check_stuck()

    def _advance(self) -> None:
        """Go forward as far as the state allows."""
        while self.instance.state is SagaState.RUNNING:
            if self.instance.committing:
                self._look_into_pivot()
                return
            if self._begin_recovery() or self._play is None or not self._advance_once(self._play):
                return

    def _advance_once(self, play: Play) -> bool:
        """Take one step forward; False if there is none."""
        if self._unreleased is not None:
            if not self._finish(Role.CONFIRMATION):
                return False
            record, self._unreleased = self._unreleased, None
            play.resolve(record.call, record.output)
            return True
        if play.ended:
            self._close(play)
            return False
        return bool(play.withheld) and self._register_withheld(play)

    def _register_withheld(self, play: Play) -> bool:
        step = play.withheld[0].step
        if self._deciding:
            return False
        commits = self.definition.commits(step) and not self.instance.committed
        if commits and not self._order_fault(step) and not self._tidy(play):
            return False
        self._register(play.withheld.pop(0), play)
        play.pump()
        return True

    def _look_into_pivot(self) -> None:
        """Find out what became of a pivot in doubt (S7): once settled, the probe is asked."""
        pivot = self.instance.commit
        if pivot is None or pivot.state is not CallState.IN_DOUBT:
            return
        if Role.PROBE not in self.definition.step(pivot.step).roles or f"{pivot.call}/probe" in self.instance.calls:
            return
        due = settled_at(self.instance, self.definition, pivot)
        if due is None:
            self._register_role(pivot, Role.PROBE)
        elif due is not FAR:
            self._settling = (f"{pivot.call}/settle", due)

    def _tidy(self, play: Play) -> bool:
        """Compensate what is in doubt or abandoned before the point of no return (S4); True when all is clean."""
        if self.instance.in_flight:
            return False
        if not play.abandoned:  # nor is anything in doubt: run was told of that, and it counts as abandoned
            return True
        actions = list(to_compensate(self.instance, self.definition, only=play.abandoned))
        return self._compensate(actions)

    def _compensate(self, actions: list[CallRecord]) -> bool:
        todo = next_to_compensate(self.instance, self.definition, actions)
        if todo.record is not None:
            self._register_role(todo.record, Role.COMPENSATION)
        elif todo.until is not None:
            self._settling = (f"{todo.settles}/settle", todo.until)
        return todo.nothing and not any(blocked(self.instance, self.definition, compensating=actions))

    def _finish(self, role: Role) -> bool:
        """Confirm, or forget, every call that stays (S17); True when all is done."""
        finished = True
        for record in list(self.instance.calls.values()) if role in self.definition.roles else ():
            if record.role is not Role.ACTION or record.state is not CallState.DONE:
                continue
            compensated = f"{record.call}/{Role.COMPENSATION.value}" in self.instance.calls
            if compensated or role not in self.definition.step(record.step).roles:
                continue
            finishing = self.instance.calls.get(role_name(record.call, role))
            if finishing is None:
                self._register_role(record, role)
            finished = finished and finishing is not None and finishing.state in _FINISHED
        return finished

    def _close(self, play: Play) -> None:
        """Complete, once `run` has returned and nothing is left to do; after the pivot an error is a bug."""
        if play.error is not None:
            _, error = why(play.error)
            self.get_stuck(Reason.BUG, Failure.of(error, traceback=story_of(play.error)))
            return
        play.withheld.clear()
        play.abandoned.update(dict.fromkeys(play.waiting))
        if not self._tidy(play):
            return
        if self.instance.handed_over or (self._finish(Role.CONFIRMATION) and self._finish(Role.FORGET)):
            self._emit(f.SagaCompleted(at=self.now(), payload=play.result))
            self.drop()

    # -- backward recovery ---------------------------------------------------------------

    def _interruption(self) -> tuple[Reason, Failure | None] | None:
        """Return the cancel, abort or deadline that holds now (S6); before the pivot has registered only."""
        if self.instance.committed or self.instance.committing:
            return None
        cancelled = self.instance.cancelled
        if isinstance(cancelled, f.SagaAbortOrdered):
            return Reason.ABORTED, Failure(type="", message=cancelled.why)
        if cancelled is not None:
            return Reason.CANCELLED, Failure(type="", message=cancelled.why)
        return (Reason.DEADLINE, None) if self.instance.deadline_passed else None

    def _begin_recovery(self) -> bool:
        """Start backward recovery if something says so before the point of no return (S3, S6)."""
        interruption = self._interruption()
        if interruption is not None:
            self._start_recovery(interruption[0], None, interruption[1])
            return True
        if self.instance.committed or self._play is None or self._play.error is None:
            return False
        reason, error = why(self._play.error)
        if reason is Reason.BUG:
            self.get_stuck(reason, Failure.of(error, traceback=story_of(self._play.error)))
        else:
            step = getattr(error, "step", None) or getattr(error, "decision", None)
            self._start_recovery(reason, step, Failure.of(error))
        return True

    def _start_recovery(self, reason: Reason, call: str | None, failure: Failure | None) -> None:
        self._emit(f.RecoveryStarted(at=self.now(), reason=reason, call=call, failure=failure))
        self.drop()
        self._recover()

    def _recover(self) -> None:
        """Compensate everything, last registered first, once no action is running any more (S1, S5)."""
        if any(record.role is Role.ACTION for record in self.instance.in_flight.values()):
            return
        if self._compensate(list(to_compensate(self.instance, self.definition))):
            self._emit(f.SagaCompensated(at=self.now()))

    # -- STUCK ---------------------------------------------------------------------------

    def _check_stuck(self) -> None:
        """Become STUCK when nothing can progress: no activity, no timer, no decision (S9)."""
        instance = self.instance
        if instance.ended or instance.state is SagaState.STUCK:
            return
        if instance.in_flight or self._next_but_deadline() is not None:
            return
        reasons = tuple(self.blocked())
        if not reasons:
            text = "run waits for something that no step, timer or decision will bring"
            reasons = (f.StuckReason(reason=Reason.BUG, failure=Failure(type="NotDeterministicError", message=text)),)
        self._emit(f.SagaStuck(at=self.now(), reasons=reasons))

    def blocked(self) -> Iterable[f.StuckReason]:
        """Yield what only an operator can move on."""
        return blocked(self.instance, self.definition, compensating=self._compensating())

    def waits_to_settle(self, record: CallRecord) -> bool:
        """Tell whether an action cannot be compensated yet, because an attempt of it may still act (S5)."""
        stuck = any(one.call == record.name and one.reason is Reason.UNSETTLED for one in self.instance.stuck)
        return stuck or (self._settling is not None and self._settling[0] == f"{record.call}/settle")

    def _compensating(self) -> Iterable[CallRecord]:
        if self.instance.recovering:
            return to_compensate(self.instance, self.definition)
        play = self._play
        if play is None or not (play.ended or play.withheld):
            return ()
        return to_compensate(self.instance, self.definition, only=play.abandoned)

    # -- time ----------------------------------------------------------------------------

    def next_due(self) -> tuple[str, datetime] | None:
        """Return the timer that fires next, and when; where the deadline no longer matters it is noted (S6)."""
        instance, first = self.instance, self._next_but_deadline()
        deadline = instance.deadline
        if deadline is None or instance.deadline_passed or instance.ended:
            return first
        return first if first is not None and first[1] <= deadline else ("deadline", deadline)

    def _next_but_deadline(self) -> tuple[str, datetime] | None:
        instance = self.instance
        due = [] if self._settling is None else [self._settling]
        if self._play is not None and not self._play.ended and instance.state is not SagaState.STUCK:
            due += [(name, instance.due[name]) for name in self._play.live_timers() if name in instance.due]
            for decision in map(instance.decisions.__getitem__, self._play.live_decisions()):
                if decision.due is not None and not decision.timed_out:
                    due.append((decision.call, decision.due))
        return min(due, key=_when) if due else None


_FINISHED = frozenset({CallState.DONE, CallState.SKIPPED})


def _when(timer: tuple[str, datetime]) -> datetime:
    return timer[1]


def effect_payload(record: CallRecord) -> str:
    """Return the effect of an action as a payload, made of payloads that are there already."""
    output = record.output if record.state is CallState.DONE and record.output is not None else "null"
    in_doubt = "false" if record.state is CallState.DONE else "true"
    return f'{{"input":{record.input or "null"},"output":{output},"in_doubt":{in_doubt}}}'
