"""What is compensated, in which order, and when an action counts as settled. The rules S4, S5 and S9.

A compensation that fails is here too: it never stops the others (S9). It stays as it is, `blocked` names it,
and the instance becomes STUCK once nothing else can progress.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from saga.errors import ReplayMismatchError
from saga.kernel._facts import StuckReason
from saga.kernel._policy import NEVER
from saga.kernel._values import CallState, Kind, Reason, Role

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from saga.kernel._definition import Definition
    from saga.kernel._instance import Instance
    from saga.kernel._records import CallRecord

__all__ = ("FAR", "Todo", "blocked", "next_to_compensate", "settled_at", "to_compensate")

FAR: Final = datetime.max  # noqa: DTZ901 - a mark, never compared with a time
"""Stands for: never, by itself."""


def settled_at(instance: Instance, definition: Definition, record: CallRecord) -> datetime | None:
    """Return when nothing can act any more for this action (S5): None for now, `FAR` for never."""
    if record.settled:
        return None
    if _is_lost_child(definition, record):
        return FAR
    if record.overdue_at is None:
        return None
    after = definition.step(record.step).action.policy.settles_after
    if after is NEVER:
        return FAR
    due = record.overdue_at + after
    return None if due <= instance.last_at else due


def to_compensate(
    instance: Instance, definition: Definition, *, only: Container[str] | None = None
) -> Iterator[CallRecord]:
    """Yield the actions that have to be compensated, last registered first.

    Args:
        instance: The instance.
        definition: Its definition.
        only: None for everything, as in backward recovery; before the pivot (S4) what is done is compensated
            only if `run` abandoned it, and this names what it abandoned.
    """
    actions = [one for one in instance.calls.values() if one.role is Role.ACTION and not one.after_commit]
    for record in sorted(actions, key=lambda one: one.order, reverse=True):
        stays = record.state is CallState.DONE and only is not None and not _named(record, only)
        if record.state in _MAY_HAVE_ACTED and not stays and _compensable(instance, definition, record):
            yield record


_MAY_HAVE_ACTED = frozenset({CallState.DONE, CallState.IN_DOUBT})


def _compensable(instance: Instance, definition: Definition, record: CallRecord) -> bool:
    if record.kind is Kind.READ_ONLY:
        return False
    step = definition.step(record.step)
    if Role.COMPENSATION in step.roles:
        return True
    if record.kind is not Kind.COMPENSATABLE:
        return not record.settled and _is_lost_child(definition, record)
    raise ReplayMismatchError(
        saga=instance.saga,
        id=instance.id,
        position=record.position,
        recorded=f"call {record.call} ({record.kind})",
        replayed=f"step {record.step} ({step.kind}), which has no compensation",
    )


def _is_lost_child(definition: Definition, record: CallRecord) -> bool:
    """Tell a nested saga that was ended from outside: it handed nothing over, so only an operator can say what it did.

    Its own recovery compensates what it did; then its parent's call can be resolved.
    """
    lost = record.kind is Kind.NESTED and record.role is Role.ACTION and record.state is CallState.IN_DOUBT
    return lost and Role.COMPENSATION not in definition.step(record.step).roles


def _named(record: CallRecord, only: Container[str]) -> bool:
    # What a child handed over goes the way of the call that ran the child.
    return record.call in only or any(
        record.call[:end] in only for end, character in enumerate(record.call) if character == "/"
    )


@dataclass(frozen=True, slots=True)
class Todo:
    """What compensating comes to now: one record to register, or something to wait for, or neither.

    Attributes:
        record: The action whose compensation is due.
        settles: The call that has to be waited for until it counts as settled.
        until: When it does.
        waiting: Whether a compensation is in flight.
    """

    record: CallRecord | None = None
    settles: str = ""
    until: datetime | None = None
    waiting: bool = False

    @property
    def nothing(self) -> bool:
        """Whether nothing can be done; `blocked` tells whether that is because all is done."""
        return self.record is None and self.until is None and not self.waiting


def next_to_compensate(instance: Instance, definition: Definition, actions: Iterable[CallRecord]) -> Todo:
    """Return what to do next: one compensation at a time, in the order given, past those that are blocked."""
    if any(one.role is Role.COMPENSATION for one in instance.in_flight.values()):
        return Todo(waiting=True)
    for record in actions:
        if f"{record.call}/{Role.COMPENSATION.value}" in instance.calls:
            continue
        due = settled_at(instance, definition, record)
        if due is None:
            return Todo(record)
        if due is not FAR:
            return Todo(settles=record.call, until=due)
    return Todo()


def blocked(
    instance: Instance, definition: Definition, *, compensating: Iterable[CallRecord] = ()
) -> Iterator[StuckReason]:
    """Yield everything that only an operator can move on.

    Args:
        instance: The instance.
        definition: Its definition.
        compensating: The actions that have to be compensated now.
    """
    for record in instance.calls.values():
        reason = _failed_for_good(instance, definition, record)
        if reason is not None:
            yield StuckReason(reason=reason, call=record.name, failure=record.failure)
    for record in compensating:
        registered = f"{record.call}/{Role.COMPENSATION.value}" in instance.calls
        if not registered and settled_at(instance, definition, record) is FAR:
            yield StuckReason(reason=Reason.UNSETTLED, call=record.name, failure=record.failure)


def _failed_for_good(instance: Instance, definition: Definition, record: CallRecord) -> Reason | None:
    if not record.failed:
        return None
    if record is instance.commit and record.kind is Kind.PIVOT and record.state is CallState.IN_DOUBT:
        if Role.PROBE not in definition.step(record.step).roles:
            return Reason.IN_DOUBT
        return Reason.UNSETTLED if settled_at(instance, definition, record) is FAR else None
    if not instance.may_retry(record):
        return None
    if record.failure is not None and record.failure.traceback is not None:
        return Reason.BUG  # of the mapping that makes its input
    return Reason.REJECTED if record.state is CallState.REJECTED else Reason.IN_DOUBT
