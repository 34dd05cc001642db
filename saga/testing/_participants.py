"""The real activities behind the calls of a run: plain functions, and methods of the participants given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saga.errors import ParticipantError
from saga.kernel import function_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from saga.kernel import Activity, Call, Definition

__all__ = ("Participants",)


class Participants:
    """The participants of one run.

    Args:
        definition: The saga class; its nested sagas are looked through too.
        participants: The real ones, by the names that the saga class gives them.

    Raises:
        ParticipantError: if one is missing or lacks a method; all of them are named.
    """

    def __init__(self, definition: Definition, participants: Mapping[str, object]) -> None:
        self._participants = participants
        faults = dict.fromkeys(self._faults(definition))
        if faults:
            raise ParticipantError("\n".join(["the participants do not fit:", *(f"  {one}" for one in faults)]))

    def _faults(self, definition: Definition) -> Iterator[str]:
        for activity in _activities(definition):
            name, method = activity.participant, activity.method
            if name is None or method is None:
                continue
            if name not in self._participants:
                yield f"participant {name!r} is missing; {activity.name} needs it"
            elif not callable(getattr(self._participants[name], method, None)):
                yield f"participant {name!r}, a {type(self._participants[name]).__name__}, has no method {method!r}"

    def function(self, call: Call) -> Callable[[Any], Any]:
        """Return the function that performs a call."""
        activity = call.activity.activity
        if activity is None:
            msg = f"{call.name} is a nested saga; no participant performs it"
            raise ParticipantError(msg)
        return function_of(activity, self._participants)


def _activities(definition: Definition) -> Iterator[Activity]:
    for step in definition.steps.values():
        yield from (role.activity for role in step.roles.values() if role.activity is not None)
        if step.nested is not None:
            yield from _activities(step.nested)
