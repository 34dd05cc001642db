"""Backward recovery: what starts it, what is compensated, what blocks, and what is due (S3, S4, S5, S6, S9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saga.kernel import _facts as f
from saga.kernel._edge import PAYLOAD_LIMIT
from saga.kernel._endings import why
from saga.kernel._ground import Ground
from saga.kernel._recovery import blocked, next_to_compensate, to_compensate
from saga.kernel._story import story_of
from saga.kernel._values import Failure, Reason, Role, SagaState

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from saga.kernel._definition import Definition
    from saga.kernel._play import Play
    from saga.kernel._records import CallRecord

__all__ = ("Backward",)


class Backward(Ground):
    """Decides what goes backward for one instance, or stands still."""

    __slots__ = ("_left",)

    def __init__(self, definition: Definition, *, payload_limit: int = PAYLOAD_LIMIT) -> None:
        super().__init__(definition, payload_limit=payload_limit)
        self._left: list[CallRecord] | None = None

    # -- what starts it ------------------------------------------------------------------

    def interruption(self) -> tuple[Reason, Failure | None] | None:
        """Return the cancel, abort or deadline that holds now (S6); before the pivot has registered only."""
        instance = self.instance
        cancelled = instance.cancelled
        if (cancelled is None and not instance.deadline_passed) or instance.committed or instance.committing:
            return None
        if isinstance(cancelled, f.SagaAbortOrdered):
            return Reason.ABORTED, Failure(type="", message=cancelled.why)
        if cancelled is not None:
            return Reason.CANCELLED, Failure(type="", message=cancelled.why)
        return Reason.DEADLINE, None

    def begin_recovery(self) -> bool:
        """Start backward recovery if something says so before the point of no return (S3, S6)."""
        interruption = self.interruption()
        if interruption is not None:
            self.start_recovery(interruption[0], None, interruption[1])
            return True
        if self._play is None or self._play.error is None or self.instance.committed:
            return False
        reason, error = why(self._play.error)
        if reason is Reason.BUG:
            self.get_stuck(reason, Failure.of(error, traceback=story_of(self._play.error)))
        else:
            step = getattr(error, "step", None) or getattr(error, "decision", None)
            self.start_recovery(reason, step, Failure.of(error))
        return True

    def start_recovery(self, reason: Reason, call: str | None, failure: Failure | None) -> None:
        """Start it, for this reason."""
        self.emit(f.RecoveryStarted(at=self.now(), reason=reason, call=call, failure=failure))
        self.drop()
        self.recover()

    # -- compensating --------------------------------------------------------------------

    def recover(self) -> None:
        """Compensate everything, last registered first, once no action is running any more (S1, S5)."""
        if any(record.role is Role.ACTION for record in self.instance.in_flight.values()):
            return
        if self._left is None:
            calls = self.instance.calls
            actions = to_compensate(self.instance, self.definition)
            self._left = [one for one in actions if f"{one.call}/{Role.COMPENSATION.value}" not in calls]
        if self.compensate(self._left):
            self.emit(f.SagaCompensated(at=self.now()))

    def look_again(self, fact: f.Fact) -> None:
        """Forget what is left to compensate, unless this fact cannot change it: a long saga has many of those."""
        if not (isinstance(fact, _OUTCOMES) and "/" in fact.call):
            self._left = None

    def tidy(self, play: Play) -> bool:
        """Compensate what is in doubt or abandoned before the point of no return (S4); True when all is clean."""
        if self.instance.in_flight:
            return False
        if not play.abandoned:  # nor is anything in doubt: run was told of that, and it counts as abandoned
            return True
        actions = list(to_compensate(self.instance, self.definition, only=play.abandoned))
        return self.compensate(actions)

    def compensate(self, actions: list[CallRecord]) -> bool:
        """Register the next compensation of these actions, or wait; True when all of them are done."""
        todo = next_to_compensate(self.instance, self.definition, actions)
        if todo.record is not None:
            actions.remove(todo.record)
            self.register_role(todo.record, Role.COMPENSATION)
        elif todo.until is not None:
            self._settling = (f"{todo.settles}/settle", todo.until)
        return todo.nothing and not any(blocked(self.instance, self.definition, compensating=actions))

    # -- STUCK ---------------------------------------------------------------------------

    def check_stuck(self) -> None:
        """Become STUCK when nothing can progress: no activity, no timer, no decision (S9)."""
        instance = self.instance
        if instance.in_flight or instance.ended or instance.state is SagaState.STUCK:
            return
        if self._next_but_deadline() is not None:
            return
        reasons = tuple(self.blocked())
        if not reasons:
            text = "run waits for something that no step, timer or decision will bring"
            reasons = (f.StuckReason(reason=Reason.BUG, failure=Failure(type="NotDeterministicError", message=text)),)
        self.emit(f.SagaStuck(at=self.now(), reasons=reasons))

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
        instance, play = self.instance, self._play
        due = [] if self._settling is None else [self._settling]
        if play is not None and not play.ended and instance.state is not SagaState.STUCK:
            due += [(name, instance.due[name]) for name in play.live_timers() if name in instance.due]
            for decision in map(instance.decisions.__getitem__, play.live_decisions()):
                if decision.due is not None and not decision.timed_out:
                    due.append((decision.call, decision.due))
        return min(due, key=_when) if due else None


_OUTCOMES = (f.CallDone, f.CallRejected, f.CallInDoubt)  # of a role, where the call has one


def _when(timer: tuple[str, datetime]) -> datetime:
    return timer[1]
