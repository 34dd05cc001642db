"""Nested sagas as child workflows: what a parent tells its child, and what the child hands over (S16)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict

from saga.kernel import LONGEST_NAME, CallState, Cancel, Outcome, entry_of, handed_over, handover_payload
from saga.kernel import facts as f

from ._payloads import note_of, text_of, to_raw

if TYPE_CHECKING:
    from datetime import datetime

    from temporalio.common import RawValue

    from saga.kernel import Call, Definition, Instance

__all__ = ("PARENT_STOPS", "Start", "cancellation", "child_done", "request_of", "result_of")

PARENT_STOPS: Final = "the parent is compensating"
"""Why a child is asked to stop."""
LONGEST_REASON: Final = 2000


def cancellation(why: str, parent: str | None) -> Cancel:
    """Return what the cancellation of a workflow asks of the instance: its parent says who it is by the reason."""
    by = parent if why == PARENT_STOPS else ""
    return Cancel(by=(by or "")[:LONGEST_NAME], why=why[:LONGEST_REASON])


class Start(BaseModel):
    """What rides with the request of a workflow; nothing where a client starts it.

    Attributes:
        parent: Id of the instance that this one is nested in.
        handed_over: Whether the parent takes over what can be compensated.
        carried: Whether the payload is the journal of the run before this one, whose history grew too long.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    parent: str | None = None
    handed_over: bool = False
    carried: bool = False


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
