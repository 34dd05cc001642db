"""Nested sagas as child workflows: what a parent tells its child, and what the child hands over (S16)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, Field
from temporalio.common import RawValue

from saga.errors import InvalidRequestError
from saga.kernel import (
    LONGEST_REASON,
    PARENT_STOPS,
    CallState,
    Cancel,
    Outcome,
    entry_of,
    handed_over,
    handover_payload,
    stopped_by_parent,
)
from saga.kernel import facts as f

from ._payloads import note_of, text_of, to_raw

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from temporalio.api.common.v1 import Payload

    from saga.kernel import Call, Definition, Instance

__all__ = (
    "BUDGET",
    "Start",
    "budget_of",
    "cancellation",
    "child_done",
    "request_of",
    "result_of",
    "start_of",
)

BUDGET: Final = "budget"
"""Key in what an instance remembers, of events of history; null for as many as the server suggests."""


def cancellation(why: str, parent: str | None) -> Cancel:
    """Return what the cancellation of a workflow asks of the instance: its parent says who it is by the reason."""
    return stopped_by_parent(parent or "") if why == PARENT_STOPS else Cancel(by="", why=why[:LONGEST_REASON])


class Start(BaseModel):
    """What rides with the request of a workflow; nothing where a client starts it.

    Attributes:
        parent: Id of the instance that this one is nested in.
        handed_over: Whether the parent takes over what can be compensated.
        carried: Whether the payload is the journal of the run before this one, whose history grew too long.
        budget: Events of history after which this run, too, goes on in a new one; None where nothing was recorded.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    parent: str | None = None
    handed_over: bool = False
    carried: bool = False
    budget: int | None = Field(default=None, ge=1)


def start_of(inputs: Sequence[object]) -> tuple[Start, str]:
    """Return what rides with the request of a workflow, and the request's JSON text.

    What makes no sense is told by a text that decodes to nothing, which the kernel refuses (S3).
    """
    if not inputs:
        return Start(), "null"
    [raw, *others] = inputs
    if others or not isinstance(raw, RawValue):
        return Start(), ""
    try:
        start = Start.model_validate(note_of(raw))
        return start, "" if start.carried else text_of(raw)
    except (ValueError, RecursionError, InvalidRequestError):
        return Start(), ""


def budget_of(start: Start, memo: Payload | None, today: int) -> int | None:
    """Return how many events a run may have: what was recorded when it started, as a worker's own may change (S15).

    Args:
        start: What rides with its request.
        memo: What it remembers.
        today: The worker's, for what was started before it was recorded.

    Returns:
        The number; None for as many as the server suggests.
    """
    if start.budget is not None:
        return start.budget
    try:
        known: Any = {BUDGET: None} if memo is None and not start.carried else json.loads(memo.data if memo else b"{}")
        budget = known.get(BUDGET, today)
    except (ValueError, RecursionError, AttributeError):
        return None
    return budget if isinstance(budget, int) and budget > 0 else None


def request_of(call: Call) -> RawValue:
    """Return the request of a child, with what its parent tells it beside."""
    start = Start(parent=call.id, handed_over=call.step.hands_over)
    return to_raw(call.input, start.model_dump(exclude_defaults=True))


def result_of(instance: Instance, definition: Definition) -> RawValue:
    """Return what a completed workflow returns: its result, and for a parent what can still be compensated."""
    stays = handed_over(instance, definition) if instance.handed_over else []
    if not stays:
        return to_raw(instance.result or "null")
    entries = [entry_of(record).model_dump(mode="json", exclude_none=True) for record in stays]
    return to_raw(handover_payload(instance.result, stays), {"adopted": entries})


def child_done(output: RawValue, at: datetime) -> Outcome:
    """Return the outcome of a child that completed."""
    entries: list[Any] = note_of(output).get("adopted", [])
    adopted = tuple(f.Adopted.model_validate(one) for one in entries) or None
    return Outcome(CallState.DONE, at, text_of(output), adopted=adopted)
