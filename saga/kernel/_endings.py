"""Why an exception that leaves `run` starts backward recovery, or that it is a bug. The rule S3."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from saga.errors import DecisionTimedOut, SagaAborted, StepInDoubt, StepRejected
from saga.kernel._values import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("CODE_FAULTS", "why")

_REASONS: tuple[tuple[type[Exception], Reason], ...] = (
    (StepRejected, Reason.REJECTED),
    (StepInDoubt, Reason.IN_DOUBT),
    (SagaAborted, Reason.ABORTED),
    (DecisionTimedOut, Reason.DECISION_TIMED_OUT),
    (TimeoutError, Reason.TIMED_OUT),
)

CODE_FAULTS = frozenset({Reason.BUG, Reason.MISMATCH, Reason.POISON})
"""Reasons for being STUCK that only other code, or another try with it, can cure."""


def why(error: BaseException) -> tuple[Reason, BaseException]:
    """Return what an exception that left `run` means, and the exception that says so.

    Exception groups are flattened: one bug among the leaves wins, otherwise the first leaf speaks for all.

    Example:
        >>> why(ExceptionGroup("two", [SagaAborted("no"), KeyError("x")]))
        (<Reason.BUG: 'bug'>, KeyError('x'))
    """
    judged = [(_reason(leaf), leaf) for leaf in _leaves(error)]
    bugs = [one for one in judged if one[0] is Reason.BUG]
    return (bugs or judged)[0]


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from _leaves(one)
    else:
        yield error


def _reason(error: BaseException) -> Reason:
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), Reason.BUG)
