"""What an activity's wrapper tells the workflow about its attempts, which Temporal's own failures do not say (S2, S5).

Temporal counts attempts, but says neither that a rejection came from a barrier's record nor how the attempts
before the last one ended. So the wrapper marks failures with it, in their details, and outputs, in their payload's
metadata; and an attempt tells the next one by a heartbeat that rides with its failure, after whatever the activity
heartbeats by itself.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from saga.kernel import Failure

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("Asked", "Mark", "Past", "mark_of", "past_in")


class Asked(BaseModel):
    """What the workflow tells the wrapper, in the metadata of the input.

    Attributes:
        run: Run that the workflow had before it was reset; its own run if it never was.
    """

    # After a reset the runs before it may have performed whatever this run still performs: a call that was scheduled
    # before the point of the reset and had not ended, as well as one that is scheduled after it. The server stops
    # those runs, but not their attempts, and nobody ever learns how they end. So an attempt that belongs to another
    # run than the first says that one before it was given up, whatever it comes to itself, and S5 settles the call.
    # What ended before the point of the reset was told by attempts of the first run, and stays certain. The attempt
    # has to say so: a replay sees the copied events under the new run, and could not tell both kinds apart.
    model_config = ConfigDict(frozen=True)

    run: str = ""

    def overtaken(self, run: str | None) -> bool:
        """Tell whether an attempt of a run may overtake one of a run before it."""
        return self.run not in {"", run}


class Past(BaseModel):
    """What is known about the attempts before the one that runs.

    Attributes:
        saga: `past`, by which it is known among the heartbeats of activities.
        answered: Number of the last attempt that ended by itself, all before it being known.
        overdue_at: When an attempt, of this run or one before it, was last found to have been given up unanswered.
    """

    model_config = ConfigDict(frozen=True)

    saga: Literal["past"]
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


def past_in(heartbeat: Sequence[Any]) -> tuple[Past | None, Sequence[Any]]:
    """Return the mark at the end of a heartbeat, if it has one, and what the activity itself gave."""
    try:
        return (Past.model_validate(heartbeat[-1]), heartbeat[:-1]) if heartbeat else (None, heartbeat)
    except ValidationError:
        return None, heartbeat
