"""The real activities behind the calls of a run: plain functions, and methods of the participants given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from saga.errors import ParticipantError
from saga.kernel import Kind, function_of, missing_participants
from saga.testing._barrier import is_behind_barrier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from saga.kernel import Call, Definition, StepDefinition

__all__ = ("Participants",)

_NEEDS_NO_BARRIER: Final = frozenset({Kind.READ_ONLY, Kind.NESTED})
_SAY_IT: Final = (
    "What stands behind a barrier in a test alone hides what goes wrong without one. If the real participant has a "
    "barrier, say barrier=True on the step; if it has none, give the fake without behind_barrier."
)


class Participants:
    """The participants of one run.

    Args:
        definition: The saga class; its nested sagas are looked through too.
        participants: The real ones, by the names that the saga class gives them.

    Raises:
        ParticipantError: if one is missing, lacks a method, or stands behind a barrier of which its step says nothing;
            all of them are named.
    """

    def __init__(self, definition: Definition, participants: Mapping[str, object]) -> None:
        nothing_run = f"{definition.saga} cannot be explored with these participants, and nothing was run"
        if not _is_mapping(participants):
            given = type(participants).__name__
            msg = f"{nothing_run}: they are a {given}; return a mapping, such as {{'bank': Bank()}}"
            raise ParticipantError(msg)
        definitions = list(_with_nested(definition))
        if missing := missing_participants(definitions, participants):
            raise ParticipantError(_listed(nothing_run, missing, "Give each by the name that the saga class gives it."))
        if unsaid := list(_unsaid(definitions, participants)):
            raise ParticipantError(_listed(nothing_run, unsaid, _SAY_IT))
        self._participants = participants

    def function(self, call: Call) -> Callable[[Any], Any]:
        """Return the function that performs a call."""
        activity = call.activity.activity
        if activity is None:
            msg = f"{call.saga} {call.id} {call.name} is a nested saga; no participant performs it"
            raise ParticipantError(msg)
        return function_of(activity, self._participants)


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping)


def _listed(what: str, faults: Iterable[str], next_step: str) -> str:
    return "\n".join([f"{what}:", *(f"  {fault}" for fault in faults), next_step])


def _with_nested(definition: Definition) -> Iterator[Definition]:
    yield definition
    for step in definition.steps.values():
        if step.nested is not None:
            yield from _with_nested(step.nested)


def _unsaid(definitions: Iterable[Definition], participants: Mapping[str, object]) -> Iterator[str]:
    """Say which steps are performed behind a barrier, as far as this test goes, and do not say so themselves."""
    for definition in definitions:
        for step in definition.steps.values():
            if step.kind in _NEEDS_NO_BARRIER or step.action.policy.barrier:
                continue
            for name in _behind_barrier(step, participants):
                yield f"{definition.saga}.{step.name} has no barrier=True, but participant {name!r} is behind_barrier"


def _behind_barrier(step: StepDefinition, participants: Mapping[str, object]) -> list[str]:
    names = (one.participant for one in step.activities)
    return [name for name in dict.fromkeys(names) if name is not None and is_behind_barrier(participants[name])]
