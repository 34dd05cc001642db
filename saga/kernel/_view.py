"""What people and programs see of one instance."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from saga.errors import SagaCompensatedError, SagaError, SagaStuckError
from saga.kernel import _facts as f
from saga.kernel._page import page_of
from saga.kernel._values import CallState, Failure, Kind, Reason, Role, SagaState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from saga.kernel._instance import Instance
    from saga.kernel._records import CallRecord

__all__ = ("ActView", "CallView", "DecisionView", "SagaView", "ending_of", "view_of")


class _View(BaseModel):
    model_config = ConfigDict(frozen=True)


class CallView(_View):
    """One activity of one call.

    Attributes:
        name: Call and role, such as `debit.1/compensation`.
        call: The call alone, such as `debit.1`; what the commands take.
        role: What the activity does in the step.
        kind: Kind of the step, for an action.
        state: Its state.
        attempts: Attempts so far, resumes among them.
        registered_at: When it was registered.
        ended_at: When its outcome was journaled.
        input: Its input, JSON text; None where it follows from the action.
        output: Its output, JSON text.
        failure: The last failure that was seen.
    """

    name: str
    call: str
    role: Role
    kind: Kind | None
    state: CallState
    attempts: int
    registered_at: datetime
    ended_at: datetime | None
    input: str | None
    output: str | None
    failure: Failure | None


class DecisionView(_View):
    """One decision: awaited until `due`, answered `by` whom with what JSON text."""

    call: str
    due: datetime | None
    answer: str | None
    by: str | None
    timed_out: bool


class ActView(_View):
    """What somebody did: which act, on which call, by whom and why, when."""

    act: str
    call: str | None
    by: str
    why: str
    at: datetime


class SagaView(_View):
    """One saga instance as its journal tells it.

    Attributes:
        id: Id of the instance.
        saga: Name of the saga.
        state: Its state.
        since: When it entered that state.
        started_at: When it started.
        deadline: When backward recovery starts, or None.
        parent: Id of the instance it is nested in, or None.
        committed: Whether the point of no return has passed.
        reason: What started backward recovery, or None.
        call: The call that started it, or None.
        failure: The failure that started it, or None.
        request: The request, JSON text.
        result: The result, JSON text, once COMPLETED.
        calls: Every activity, in order of registration.
        decisions: Every decision.
        acts: What operators and callers did.
        stuck: What blocks a STUCK instance.
        facts: How many facts the journal holds.
    """

    id: str
    saga: str
    state: SagaState
    since: datetime
    started_at: datetime
    deadline: datetime | None
    parent: str | None
    committed: bool
    reason: Reason | None
    call: str | None
    failure: Failure | None
    request: str
    result: str | None
    calls: tuple[CallView, ...]
    decisions: tuple[DecisionView, ...]
    acts: tuple[ActView, ...]
    stuck: tuple[f.StuckReason, ...]
    facts: int

    def page(self, *, before: Sequence[tuple[str, str]] = ()) -> str:
        """Return the instance as the text that an operator reads; a STUCK one with the commands that help.

        Args:
            before: Commands to give before those that help, each with its reason.
        """
        return page_of(self, before)


def view_of(instance: Instance) -> SagaView:
    """Return the view of an instance that was folded from its journal."""
    recovery = instance.recovery
    return SagaView(
        id=instance.id,
        saga=instance.saga,
        state=instance.state or SagaState.RUNNING,
        since=instance.state_since,
        started_at=instance.started_at,
        deadline=instance.deadline,
        parent=instance.parent,
        committed=instance.committed,
        reason=recovery.reason if recovery else None,
        call=recovery.call if recovery else None,
        failure=recovery.failure if recovery else None,
        request=instance.request,
        result=instance.result,
        calls=tuple(_call_view(record) for record in instance.calls.values()),
        decisions=tuple(
            DecisionView(call=one.call, due=one.due, answer=one.answer, by=one.by, timed_out=one.timed_out)
            for one in instance.decisions.values()
        ),
        acts=tuple(_act_view(act) for act in instance.acts),
        stuck=instance.stuck,
        facts=instance.count,
    )


def _call_view(record: CallRecord) -> CallView:
    waiting = record.state is CallState.IN_FLIGHT
    return CallView(
        name=record.name,
        call=record.call,
        role=record.role,
        kind=record.kind,
        state=record.state,
        attempts=record.tried + 1 if waiting else record.attempts,
        registered_at=record.at,
        ended_at=record.ended_at,
        input=record.input,
        output=record.output,
        failure=record.failure,
    )


def _act_view(act: f.Act | f.CancelRequested | f.DecisionAnswered) -> ActView:
    names: dict[type[f.Act | f.CancelRequested | f.DecisionAnswered], str] = {
        f.Retried: "retry",
        f.CallResolved: "resolve",
        f.CallSkipped: "skip",
        f.SagaAbortOrdered: "abort",
        f.CancelRequested: "cancel",
        f.DecisionAnswered: "decide",
    }
    return ActView(act=names[type(act)], call=getattr(act, "call", None), by=act.by, why=act.why, at=act.at)


def ending_of(view: SagaView) -> SagaError:
    """Return the error that says how an instance ended that did not complete, or that it is STUCK."""
    if view.state is SagaState.STUCK:
        return SagaStuckError(saga=view.saga, id=view.id, page=view.page())
    failure = view.failure or Failure(type="", message="")
    return SagaCompensatedError(
        saga=view.saga,
        id=view.id,
        reason=(view.reason or Reason.CANCELLED).value,
        step=view.call,
        type=failure.type,
        message=failure.message,
        details=failure.details,
    )
