"""What follows, for an instance, from what came to it from outside, by the rules of the kernel itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from saga.errors import SagaError
from saga.kernel import Decide, Fact, Instance, admit, fact_of, step_of

from ._payloads import text_of
from ._standing import decider_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from temporalio.common import RawValue

    from saga.kernel import Call, Request

    from ._events import Answered

__all__ = ("Follows", "decision_in", "outcome", "request")

Follows: TypeAlias = Callable[[Instance, datetime], Fact | None]
"""Makes the fact that follows from something outside, in the state that the instance was in when it took it in."""


def outcome(call: Call, answered: Answered) -> Follows:
    """Return what follows from the end of an activity, or of a child."""

    def follows(instance: Instance, at: datetime) -> Fact | None:
        record = instance.in_flight.get(call.name)
        return None if record is None else fact_of(call, record, answered(at), instance.last_at)

    return follows


def request(asked_for: Callable[[Instance], Request]) -> Follows:
    """Return what follows from a request; nothing, where it was refused."""

    def follows(instance: Instance, at: datetime) -> Fact | None:
        try:
            asked = asked_for(instance)
            decision = step_of(asked.call) if isinstance(asked, Decide) else ""
            return admit(decider_of(instance, decision), asked, at)
        except (SagaError, ValueError):
            return None  # it was refused

    return follows


def decision_in(raws: Sequence[RawValue]) -> Decide:
    """Return a decision that came as a signal.

    Raises:
        ValueError: if it makes no sense, or
        InvalidRequestError: likewise.
    """
    return Decide.model_validate_json(text_of(raws[0]) if len(raws) == 1 else "")
