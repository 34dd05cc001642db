"""The rules: which consequences follow from an input. Pure: no clock, no I/O; same facts, same consequences.

An input is folded into the instance, shown to `run`, and then `_progress` draws the consequences from the state
that results, whatever led to it. Because it looks at states and not at events, recovery after a crash needs no
code of its own: facts that were read are folded, and `_progress` draws what is still missing.

    apply(input) -> fold -> _release to run -> _progress -+-> _advance      forward, while RUNNING
                                                          +-> recover       backward, while COMPENSATING (_backward)
                                                          +-> check_stuck
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
from saga.kernel._backward import Backward
from saga.kernel._edge import PAYLOAD_LIMIT
from saga.kernel._endings import CODE_FAULTS, why
from saga.kernel._handover import handed_over
from saga.kernel._names import call_name
from saga.kernel._order import order_fault
from saga.kernel._payloads import handover_payload
from saga.kernel._play import Made, Play
from saga.kernel._recovery import FAR, settled_at
from saga.kernel._story import story_of
from saga.kernel._values import CallState, Failure, Reason, Role, SagaState

if TYPE_CHECKING:
    from datetime import datetime

    from saga.kernel._definition import Definition, StepDefinition
    from saga.kernel._records import CallRecord

__all__ = ("RESUME_LIMIT", "Decider")

RESUME_LIMIT = 10
"""How many owners may crash in a row, with a call in flight and no progress, before an instance is STUCK (S20)."""


class Decider(Backward):
    """Decides for one instance.

    Attributes:
        stale: Whether the journal has to be replayed with today's code before anything else can be decided.
    """

    __slots__ = ("_unreleased", "stale")

    def __init__(self, definition: Definition, *, payload_limit: int = PAYLOAD_LIMIT) -> None:
        super().__init__(definition, payload_limit=payload_limit)
        self.stale = False
        self._unreleased: CallRecord | None = None

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
        elif self._play is not None and self.interruption() is None:
            self._release(fact, self._play)  # after a cancel or the deadline nothing that run does matters (S6)
        self.look_again(fact)
        self.go_on()
        self._progress()

    def settle_in(self) -> None:
        """Draw what is still missing after facts that were read were folded without `run` (S15)."""
        self.go_on()
        self._progress()

    def _needs_replay(self, fact: f.Fact) -> bool:
        if self.stale:
            return True
        if self.instance.recovering or isinstance(fact, f.SagaStarted):
            return False
        if self._play is None:  # a STUCK instance that was read but not replayed
            return self.instance.act_pending and self.interruption() is None
        by_run = any(one.reason in CODE_FAULTS and one.call is None for one in self.instance.stuck)
        return by_run and isinstance(fact, f.Retried)

    # -- what `run` did (PlayHost) -------------------------------------------------------

    def made(self, made: Made) -> None:
        """`run` made a call: register it, or withhold it while a pivot is being decided (S7)."""
        assert self._play is not None  # noqa: S101 - only a play makes calls
        if self._withholds(made.step):
            self._play.withheld.append(made)
        else:
            self._register(made, self._play)

    def timer_set(self, timer: str, due: datetime) -> None:
        """`run` set a timer."""
        self.emit(f.TimerSet(at=self.now(), timer=timer, due=due))

    def decision_awaited(self, call: str, due: datetime) -> None:
        """`run` waits for a decision."""
        self.emit(f.DecisionAwaited(at=self.now(), call=call, due=due))

    def early_answer(self, call: str) -> str | None:
        """Return the answer to a decision that came before it was awaited."""
        return self.instance.decisions[call].answer

    # -- what `run` sees -----------------------------------------------------------------

    def _begin(self) -> None:
        instance = self.instance
        try:
            request = self.definition.request.decode(instance.request)
        except InvalidRequestError as error:
            self.start_recovery(Reason.UNDECODABLE, None, Failure.of(error))
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
        fault = order_fault(self.definition, self.instance, made.step)
        if fault:
            made.future.set_exception(StepOrderError(fault))
            return
        committed = self.instance.committed
        commits = self.definition.commits(made.step) and not committed
        made.name = call_name(made.step.name, play.number(made.step.name))
        self.emit(
            f.CallRegistered(
                at=self.now(),
                call=made.name,
                kind=made.step.kind,
                commits=commits or None,
                payload=made.payload,
            )
        )
        play.registered(made, held=commits or committed)

    # -- drawing consequences ------------------------------------------------------------

    def _progress(self) -> None:
        instance = self.instance
        if instance.ended or instance.state is SagaState.STUCK:
            return
        self._settling = None
        try:
            if instance.recovering:
                self.recover()
            else:
                self._advance()
        except (UnknownSagaError, ReplayMismatchError) as error:  # today's class lacks what the journal needs
            self.get_stuck(Reason.MISMATCH, Failure.of(error))
        self.check_stuck()

    def _advance(self) -> None:
        """Go forward as far as the state allows."""
        while self.instance.state is SagaState.RUNNING:
            if self.instance.committing:
                self._look_into_pivot()
                return
            if self.begin_recovery() or self._play is None or not self._advance_once(self._play):
                return

    def _advance_once(self, play: Play) -> bool:
        """Take one step forward; False if there is none."""
        if self._unreleased is not None:
            if not self.finish(Role.CONFIRMATION):
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
        if commits and not order_fault(self.definition, self.instance, step) and not self.tidy(play):
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
            self.register_role(pivot, Role.PROBE)
        elif due is not FAR:
            self._settling = (f"{pivot.call}/settle", due)

    def _close(self, play: Play) -> None:
        """Complete, once `run` has returned and nothing is left to do; after the pivot an error is a bug."""
        if play.error is not None:
            _, error = why(play.error)
            self.get_stuck(Reason.BUG, Failure.of(error, traceback=story_of(play.error)))
            return
        play.withheld.clear()
        play.abandoned.update(dict.fromkeys(play.waiting))
        if not self.tidy(play):
            return
        if self.instance.handed_over:
            self._hand_over(play)
        elif self.finish(Role.CONFIRMATION) and self.finish(Role.FORGET):
            self._complete(play)

    def _hand_over(self, play: Play) -> None:
        """Complete a child, unless what its parent takes over is larger than a journal takes (S13)."""
        stays = handed_over(self.instance, self.definition)
        try:
            what = f"run: its result and what it hands to {self.instance.parent}"
            self.edge.check_size(handover_payload(play.result, stays), what)
        except PayloadTooLargeError as error:
            self.get_stuck(Reason.BUG, Failure.of(error))
        else:
            self._complete(play)

    def _complete(self, play: Play) -> None:
        self.emit(f.SagaCompleted(at=self.now(), payload=play.result))
        self.drop()
