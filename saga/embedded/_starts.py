"""First batches: of an instance that starts, and of a child that shall never start."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from saga import kernel
from saga.kernel import KERNEL_VERSION, SagaState, encode_fact, never_started

from ._append import Batch, Change, NewInstance

if TYPE_CHECKING:
    from datetime import datetime

    from saga.kernel import Definition, SagaStarted

__all__ = ("Parent", "first_fact", "hash_of", "new_instance", "suspended")


class Parent(NamedTuple):
    """The saga that a child is nested in.

    Attributes:
        id: Its id.
        epoch: Of the claim under which this process drives it.
        takes_over: Whether it takes over what can be compensated once the child has completed.
    """

    id: str
    epoch: int
    takes_over: bool


def hash_of(payload: str) -> str:
    """Return a short hash of a request, to tell whether another start means the same instance (S14)."""
    return hashlib.blake2b(payload.encode(), digest_size=12).hexdigest()


def first_fact(definition: Definition, id: str, payload: str, *, at: datetime, parent: Parent | None) -> SagaStarted:
    """Return the fact with which an instance starts."""
    if parent is None:
        return kernel.first_fact(definition, id, payload, at=at)
    return kernel.first_fact(definition, id, payload, at=at, parent=parent.id, handed_over=parent.takes_over)


def new_instance(started: SagaStarted, *, owner: str, parent: Parent | None) -> NewInstance:
    """Return what the journal is told of an instance with its first facts."""
    return NewInstance(
        saga=started.saga,
        state=SagaState.RUNNING.value,
        started_at=started.at,
        owner=owner,
        parent=started.parent,
        request_hash=hash_of(started.payload or "null"),
        fingerprint=started.fingerprint,
        kernel=KERNEL_VERSION,
        parent_epoch=parent.epoch if parent else None,
    )


def suspended(definition: Definition, id: str, payload: str, *, at: datetime, owner: str, parent: Parent) -> Batch:
    """Return the batch that takes a child's id, so that nobody starts it late: an instance that has ended."""
    started = first_fact(definition, id, payload, at=at, parent=parent)
    rows = [(encode_fact(fact), fact.payload) for fact in never_started(started)]
    new = new_instance(started, owner=owner, parent=parent)
    return Batch(id, 1, 1, rows, new, Change(SagaState.COMPENSATED.value, at, ended=True))
