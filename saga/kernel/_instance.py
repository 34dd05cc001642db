"""One saga instance, folded from its facts: the only place where facts become state.

The conductor, the operator's page, the command line and the comparison of flows all read this fold. It needs no
saga class, so an instance can be looked at where its code is not installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from saga.errors import JournalOrderError
from saga.kernel import _facts as f
from saga.kernel._names import split_role
from saga.kernel._payloads import taken_over
from saga.kernel._records import CallRecord, DecisionRecord
from saga.kernel._states import next_call_state, next_saga_state
from saga.kernel._values import CallState, Kind, Reason, Role, SagaState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

__all__ = ("Instance",)


class Instance:
    """The state of one saga instance after a number of facts.

    Attributes:
        state: RUNNING, COMPENSATING, COMPLETED, COMPENSATED or STUCK; None before the first fact.
        recovering: Whether backward recovery has started; STUCK alone does not tell.
        calls: Every activity that was registered, by name, in order of registration.
        in_flight: Those of them without an outcome.
        commit: The call whose registration was, or may become, the point of no return.
        committed: Whether the point of no return has passed.
        ended: Whether nothing will ever change again.
        resumes: How many owners crashed with a call in flight since the instance last progressed.
    """

    __slots__ = (
        "act_pending", "acts", "calls", "cancelled", "commit", "committed", "completing", "count", "deadline",
        "deadline_passed", "decisions", "due", "ended", "epoch", "handed_over", "id", "in_flight",
        "last_at", "parent", "recovering", "recovery", "request", "result", "resumes", "saga", "started_at", "state",
        "state_since", "stuck",
    )  # fmt: skip

    def __init__(self) -> None:
        self.id = ""
        self.saga = ""
        self.parent: str | None = None
        self.handed_over = False
        self.state: SagaState | None = None
        self.recovering = False
        self.count = 0
        self.started_at: datetime
        self.last_at: datetime
        self.state_since: datetime
        self.deadline: datetime | None = None
        self.request: str = "null"
        self.result: str | None = None
        self.calls: dict[str, CallRecord] = {}
        self.in_flight: dict[str, CallRecord] = {}
        self.decisions: dict[str, DecisionRecord] = {}
        self.due: dict[str, datetime] = {}
        self.commit: CallRecord | None = None
        self.committed = False
        self.ended = False
        self.completing = False
        self.cancelled: f.CancelRequested | f.SagaAbortOrdered | None = None
        self.deadline_passed = False
        self.recovery: f.RecoveryStarted | None = None
        self.stuck: tuple[f.StuckReason, ...] = ()
        self.act_pending = False
        self.acts: list[f.Act | f.CancelRequested | f.DecisionAnswered] = []
        self.epoch = 1
        self.resumes = 0

    @property
    def committing(self) -> bool:
        """Whether a pivot was registered and nobody knows yet what became of it."""
        commit = self.commit
        return commit is not None and commit.kind is Kind.PIVOT and commit.state is not CallState.DONE

    def fold(self, fact: f.Fact) -> None:
        """Take one fact in.

        Raises:
            JournalOrderError: if it cannot follow the facts before it.
        """
        if self.state is None and not isinstance(fact, f.SagaStarted):
            msg = f"a journal begins with SagaStarted, not with {fact.fact}; restore this one from a backup"
            raise JournalOrderError(msg)
        if self.ended:
            raise self._not_in_order(f"{fact.fact} cannot follow {self.state}")
        self.count += 1
        self.last_at = fact.at
        try:
            self._FOLDS[type(fact)](self, fact)
        except JournalOrderError as error:
            raise self._not_in_order(str(error)) from None
        self.committed = self.completing or self._has_committed()
        if self.resumes and fact.role_in_replay is f.FactKind.INPUT and not isinstance(fact, f.Resumed):
            self.resumes = 0

    def _has_committed(self) -> bool:
        commit = self.commit
        return commit is not None and (commit.kind is Kind.RETRIABLE or commit.state is CallState.DONE)

    def _not_in_order(self, text: str) -> JournalOrderError:
        where = f"{self.saga} {self.id}, fact {self.count}"
        return JournalOrderError(f"{where}: {text}; the journal is not in order, restore it from a backup")

    def fold_all(self, facts: Iterable[f.Fact]) -> Instance:
        """Take facts in, in order, and return the instance."""
        for fact in facts:
            self.fold(fact)
        return self

    # -- one method for each kind of fact ------------------------------------------------

    def _started(self, fact: f.SagaStarted) -> None:
        self.id, self.saga, self.parent = fact.id, fact.saga, fact.parent
        self.handed_over = bool(fact.handed_over)
        self.started_at = fact.at
        self.deadline = fact.deadline
        self.request = fact.payload or "null"
        self._turn(fact)

    def _turn(self, fact: f.Fact) -> None:
        self.state = next_saga_state(self.state, fact.fact)
        self.ended = self.state.ended
        self.state_since = fact.at

    def _resumed(self, fact: f.Resumed) -> None:
        if fact.crashed and self.in_flight:  # a saga that only waits is no suspect
            self.resumes += max(1, fact.epoch - self.epoch)
        self.epoch = fact.epoch
        for record in self.in_flight.values():
            record.unanswered = True
            record.overdue_at = fact.at
            record.attempts = record.tried + 1

    def _registered(self, fact: f.CallRegistered) -> None:
        call, role = split_role(fact.call)
        if fact.call in self.calls:
            next_call_state(fact.call, self.calls[fact.call].state, "registered")
        action = self.calls.get(call)
        order = (len(self.calls),) if action is None else action.order
        record = CallRecord(fact.call, call, role, fact.kind, order, self.count, fact.at, fact.payload)
        record.after_commit = self.committed
        self.calls[fact.call] = self.in_flight[fact.call] = record
        if fact.commits:
            self.commit = record
            record.after_commit = record.after_commit or fact.kind is Kind.RETRIABLE
        self.completing = self.completing or role in {Role.CONFIRMATION, Role.FORGET}

    def withdraw(self, name: str) -> None:
        """Take back the last registration, which was never recorded."""
        del self.calls[name], self.in_flight[name]
        self.count -= 1

    def _move(self, name: str, event: str) -> CallRecord:
        record = self.calls.get(name)
        state = next_call_state(name, record.state if record else None, event)
        if record is None:  # the table lets only a registration through
            raise JournalOrderError(name)
        record.state = state
        if state is CallState.IN_FLIGHT:
            self.in_flight[name] = record
        else:
            self.in_flight.pop(name, None)
        return record

    def _answered(self, fact: f.CallDone | f.CallRejected | f.CallInDoubt) -> None:
        record = self._move(fact.call, _EVENTS[type(fact)])
        record.attempts += fact.attempts
        record.ended_at = fact.at
        record.overdue_at = fact.overdue_at or record.overdue_at
        if isinstance(fact, f.CallDone):
            record.output, record.failure = fact.payload, None
            if fact.adopted:
                self._adopt(record, fact.adopted)
        else:
            record.failure = fact.failure
        self._free_rejected_pivot(record)

    def _adopt(self, child: CallRecord, entries: tuple[f.Adopted, ...]) -> None:
        """Make a finished child's entries calls of this instance, at the child's place in the order."""
        child.output, payloads = taken_over(child.output)
        for number, (entry, (given, output)) in enumerate(zip(entries, payloads, strict=True)):
            name = f"{child.call}/{entry.call}"
            state = CallState.IN_DOUBT if entry.in_doubt else CallState.DONE
            record = CallRecord(
                name, name, Role.ACTION, Kind.COMPENSATABLE, (*child.order, number), self.count, child.at,
                input=given, output=output, state=state, overdue_at=entry.overdue_at,
            )  # fmt: skip
            self.calls[name] = record

    def _free_rejected_pivot(self, record: CallRecord) -> None:
        if record is self.commit and record.state is CallState.REJECTED and record.kind is Kind.PIVOT:
            self.commit = None  # `run` may call it again

    def _found(self, fact: f.CallProbed | f.CallResolved) -> None:
        record = self._move(fact.call, fact.finding.replace("_", " "))
        if record.state is CallState.DONE and fact.payload is not None:
            record.output = fact.payload
        record.settled = True
        record.ended_at = fact.at
        self._close(f"{fact.call}/{Role.PROBE.value}", CallState.DONE)
        self._free_rejected_pivot(record)
        if isinstance(fact, f.CallResolved):
            self._acted(fact)

    def _close(self, name: str, state: CallState) -> None:
        probe = self.in_flight.pop(name, None)
        if probe is not None:
            probe.state = state

    def _timer_set(self, fact: f.TimerSet) -> None:
        self.due[fact.timer] = fact.due

    def _timer_fired(self, fact: f.TimerFired) -> None:
        self.due.pop(fact.timer, None)
        if fact.timer == "deadline":
            self.deadline_passed = True
        elif fact.timer in self.decisions:
            self.decisions[fact.timer].timed_out = True

    def _awaited(self, fact: f.DecisionAwaited) -> None:
        self.decisions.setdefault(fact.call, DecisionRecord(fact.call)).due = fact.due

    def _decided(self, fact: f.DecisionAnswered) -> None:
        record = self.decisions.setdefault(fact.call, DecisionRecord(fact.call))
        record.answer, record.by = fact.payload, fact.by
        self.acts.append(fact)

    def _cancelled(self, fact: f.CancelRequested | f.SagaAbortOrdered) -> None:
        self.cancelled = self.cancelled or fact
        self._acted(fact)

    def _acted(self, fact: f.Act | f.CancelRequested) -> None:
        self.acts.append(fact)
        self.act_pending = self.act_pending or (self.state is SagaState.STUCK and self.frees(fact))

    def frees(self, fact: f.Act | f.Fact) -> bool:
        """Tell whether a STUCK instance is looked at again after this fact.

        An act of somebody does that; the deadline is only noted, and holds once somebody acts (S6, S11).
        """
        if isinstance(fact, f.CancelRequested):
            return not (self.recovering or self.committed or self.committing)  # otherwise it is noted only (S6)
        return isinstance(fact, f.Act)

    def _retried(self, fact: f.Retried) -> None:
        for record in self.calls.values():
            if record.failed and self.may_retry(record):
                self._move(record.name, "retried")
                record.unanswered = True
                record.position = self.count  # as a registration, the act is durable first
        self._acted(fact)

    def may_retry(self, record: CallRecord) -> bool:
        """Tell whether a failed call blocks the instance in a way that another attempt may cure."""
        if record.role is not Role.ACTION:
            return record.role is not Role.PROBE
        if any(one.call == record.name and one.reason is Reason.UNSETTLED for one in self.stuck):
            return False  # what may still act has to settle first (S5)
        probed = f"{record.call}/{Role.PROBE.value}" in self.calls
        in_doubt_pivot = record is self.commit and record.kind is Kind.PIVOT and not probed
        return in_doubt_pivot or (record.after_commit and not self.recovering)

    def _skipped(self, fact: f.CallSkipped) -> None:
        self._move(fact.call, "skipped").ended_at = fact.at
        self._acted(fact)

    def _recovery_started(self, fact: f.RecoveryStarted) -> None:
        self._turn(fact)
        self.recovering = True
        self.recovery = fact
        self.act_pending = False

    def _completed(self, fact: f.SagaCompleted) -> None:
        self._turn(fact)
        self.result = fact.payload

    def _stuck(self, fact: f.SagaStuck) -> None:
        self._turn(fact)
        self.stuck = fact.reasons
        self.act_pending = False

    def _continued(self, fact: f.RunContinued | f.RecoveryContinued) -> None:
        self._turn(fact)
        self.stuck = ()
        self.act_pending = False

    def _attempt_failed(self, fact: f.AttemptFailed) -> None:
        record = self.calls.get(fact.call)
        if record is not None:
            record.failures = (*record.failures, fact)[-_KEPT_FAILURES:]
            record.failure = fact.failure

    def _nothing(self, fact: f.Fact) -> None:
        """Only the time of this fact matters."""

    _FOLDS: ClassVar[Mapping[type, Callable[..., None]]] = {
        f.SagaStarted: _started,
        f.Resumed: _resumed,
        f.CallRegistered: _registered,
        f.CallDone: _answered,
        f.CallRejected: _answered,
        f.CallInDoubt: _answered,
        f.CallProbed: _found,
        f.CallResolved: _found,
        f.CallSkipped: _skipped,
        f.TimerSet: _timer_set,
        f.TimerFired: _timer_fired,
        f.DecisionAwaited: _awaited,
        f.DecisionAnswered: _decided,
        f.DecisionIgnored: _nothing,
        f.CancelRequested: _cancelled,
        f.SagaAbortOrdered: _cancelled,
        f.Retried: _retried,
        f.RecoveryStarted: _recovery_started,
        f.SagaCompleted: _completed,
        f.SagaCompensated: _turn,
        f.SagaStuck: _stuck,
        f.RunContinued: _continued,
        f.RecoveryContinued: _continued,
        f.AttemptFailed: _attempt_failed,
    }


_KEPT_FAILURES = 20
_EVENTS = {f.CallDone: "done", f.CallRejected: "rejected", f.CallInDoubt: "in doubt"}
