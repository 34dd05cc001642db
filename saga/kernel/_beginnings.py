"""The facts with which an instance begins; or with which a child ends that shall never start (S16)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from saga.kernel import _facts as f
from saga.kernel._names import LONGEST_NAME
from saga.kernel._values import Failure, Reason

if TYPE_CHECKING:
    from datetime import datetime

    from saga.kernel._definition import Definition

__all__ = ("first_fact", "never_started")

_NEVER_STARTED: Final = "its parent began backward recovery before it started"


def first_fact(
    definition: Definition,
    id: str,
    request: str,
    *,
    at: datetime,
    parent: str | None = None,
    handed_over: bool = False,
) -> f.SagaStarted:
    """Return the fact with which an instance starts.

    Args:
        definition: The saga class.
        id: Id of the instance.
        request: What `run` is given, JSON text.
        at: When it starts; its deadline counts from then.
        parent: Id of the instance that it is nested in.
        handed_over: Whether the parent takes over what can be compensated once this one has completed.
    """
    return f.SagaStarted(
        at=at,
        saga=definition.saga,
        id=id,
        fingerprint=definition.fingerprint,
        deadline=at + definition.deadline if definition.deadline else None,
        parent=parent,
        handed_over=handed_over or None,
        payload=request,
    )


def never_started(first: f.SagaStarted) -> list[f.Fact]:
    """Return the whole journal of a child that takes the place of a start, so that none comes late.

    It reads as that of a saga which its parent cancelled before it did anything, because that is what it is.
    """
    at = first.at
    return [
        first,
        f.CancelRequested(at=at, by=(first.parent or "")[:LONGEST_NAME], why=_NEVER_STARTED),
        f.RecoveryStarted(at=at, reason=Reason.CANCELLED, failure=Failure(type="", message=_NEVER_STARTED)),
        f.SagaCompensated(at=at),
    ]
