"""What the barrier raises of its own, and the mark of a rejection that it vouches for."""

from __future__ import annotations

from typing import TypeVar

from saga.errors import BarrierError
from saga.kernel import RECORDED

__all__ = ("BarrierError", "is_recorded", "recorded")

Raised = TypeVar("Raised", bound=BaseException)


def recorded(error: Raised) -> Raised:
    """Mark a rejection as durably recorded and return it."""
    # Frozen exception types refuse their own `__setattr__`.
    BaseException.__setattr__(error, RECORDED, True)
    return error


def is_recorded(error: BaseException) -> bool:
    """Tell whether a barrier durably recorded this rejection under its key.

    Then nothing happened, whatever became of earlier attempts, and nothing will.

    Example:
        >>> is_recorded(ValueError("no"))
        False
    """
    return getattr(error, RECORDED, False) is True
