"""What an activity's wrapper tells the workflow about its attempts, which Temporal's own failures do not say (S2, S5).

Temporal counts attempts, but says neither that a rejection came from a barrier's record nor how the attempts
before the last one ended. So the wrapper marks failures with it, in their details, and outputs, in their payload's
metadata; and an attempt tells the next one by a heartbeat that rides with its failure.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from saga.kernel import Failure

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("Mark", "Past", "mark_of")


class Past(BaseModel):
    """What is known about the attempts before the one that runs.

    Attributes:
        answered: Number of the last attempt that ended by itself, all before it being known.
        overdue_at: When an attempt was last found to have been given up without an answer.
    """

    model_config = ConfigDict(frozen=True)

    answered: int = 0
    overdue_at: datetime | None = None


class Mark(BaseModel):
    """How an activity ended, told by its wrapper.

    Attributes:
        saga: `rejected` or `in doubt`; `done` rides with an output.
        run: Run of the workflow that the attempt belonged to.
        attempts: How many attempts there were.
        recorded: Whether a barrier durably recorded the rejection.
        overdue_at: When an attempt was last found to have been given up without an answer.
        failure: What the last attempt raised.
    """

    model_config = ConfigDict(frozen=True)

    saga: Literal["done", "rejected", "in doubt"]
    run: str = ""
    attempts: int = 1
    recorded: bool = False
    overdue_at: datetime | None = None
    failure: Failure | None = None


def mark_of(details: Sequence[Any]) -> Mark | None:
    """Return the mark among the details of a failure; None if another worker's activity raised it."""
    try:
        return Mark.model_validate(details[0]) if details else None
    except ValidationError:
        return None
