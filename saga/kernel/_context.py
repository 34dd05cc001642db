"""What a running activity can learn about its step: the idempotency key above all."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from saga.errors import OutsideSagaError

if TYPE_CHECKING:
    from saga.kernel._values import Kind, Role

__all__ = ("StepContext", "current_step", "maybe_current_step", "running_step")


@dataclass(frozen=True, slots=True)
class StepContext:
    """The step that the current activity belongs to.

    Attributes:
        saga: Name of the saga class.
        id: Id of the saga instance.
        call: Name of the call, such as `debit.1`.
        kind: Kind of the step.
        role: What the activity does in the step.
        action_key: Idempotency key of the call's action, such as `transfer-42/debit.1`.
        key: Idempotency key of this activity: the action's, or with `/compensation` or another role after it.
            The same for every attempt.
        attempt: Number of this attempt, from 1, over all resumes that were recorded.
    """

    saga: str
    id: str
    call: str
    kind: Kind
    role: Role
    action_key: str
    key: str
    attempt: int = 1


running_step: ContextVar[StepContext] = ContextVar("running_step")


def current_step() -> StepContext:
    """Return the step that the calling activity belongs to.

    Raises:
        OutsideSagaError: if no saga step is running here.

    Example:
        >>> current_step()
        Traceback (most recent call last):
        saga.errors.OutsideSagaError: no saga step is running here; current_step() works inside an activity only
    """
    step = running_step.get(None)
    if step is None:
        msg = "no saga step is running here; current_step() works inside an activity only"
        raise OutsideSagaError(msg)
    return step


def maybe_current_step() -> StepContext | None:
    """Return the step that the calling activity belongs to, or None outside of one."""
    return running_step.get(None)
