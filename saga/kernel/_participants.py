"""What an engine is given: the saga classes that it runs, and the real participants of their activities (S15)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saga.errors import SagaError
from saga.kernel._definition import definition_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from saga.kernel._activity import Activity
    from saga.kernel._definition import Definition, StepDefinition

__all__ = ("definitions_of", "function_of", "missing_participants", "named_alike")


def definitions_of(sagas: Iterable[type]) -> dict[str, Definition]:
    """Return the definitions of sagas and of what is nested in them, by name.

    Raises:
        SagaError: if two of them, or two plain functions of theirs, have one name, or one is no saga class.
    """
    found: dict[str, Definition] = {}
    waiting = [definition_of(saga) for saga in sagas]
    while waiting:
        definition = waiting.pop(0)
        known = found.setdefault(definition.saga, definition)
        if known is not definition:
            msg = f"two saga classes are named {definition.saga}; give one of them another name with `name=`"
            raise SagaError(msg)
        waiting += [step.nested for step in definition.steps.values() if step.nested is not None]
    _check_functions(found.values())
    return found


def _check_functions(definitions: Iterable[Definition]) -> None:
    steps = [(f"{one.saga}.{step.name}", step) for one in definitions for step in one.steps.values()]
    for first, other, name in named_alike(steps):
        text = f"{first} and {other} use two functions that are both named {name}"
        raise SagaError(f"{text}; an activity is found by its name alone, so rename one")


def named_alike(steps: Iterable[tuple[str, StepDefinition]]) -> Iterator[tuple[str, str, str]]:
    """Yield what uses two functions of one name: whoever performs an activity finds it by its name alone.

    Args:
        steps: Steps, each with the name by which it is told.

    Yields:
        The names of both steps, and that of the functions.
    """
    known: dict[str, tuple[object, str]] = {}
    for where, step in steps:
        for one in step.activities:
            function, first = known.setdefault(one.name, (one.function, where))
            if one.participant is None and function is not one.function:
                yield first, where, one.name


def missing_participants(definitions: Iterable[Definition], participants: Mapping[str, object]) -> list[str]:
    """Say which participants, and which of their methods, the sagas need and do not find."""
    faults: dict[str, None] = {}
    for definition in definitions:
        for step in definition.steps.values():
            for activity in step.activities:
                fault = _fault(activity, participants)
                if fault is not None:
                    faults[f"{fault} ({definition.saga}.{step.name})"] = None
    return list(faults)


def _fault(activity: Activity, participants: Mapping[str, object]) -> str | None:
    name = activity.participant
    if name is None:
        return None
    if name not in participants:
        return f"participant {name!r} is missing"
    participant = participants[name]
    if isinstance(participant, type):
        return f"participant {name!r} is a class, {participant}; give an object of it"
    if not callable(getattr(participant, str(activity.method), None)):
        return f"participant {name!r}, a {type(participant).__name__}, has no method {activity.method!r}"
    return None


def function_of(activity: Activity, participants: Mapping[str, object]) -> Callable[[Any], Any]:
    """Return the real function of an activity: itself, or a method of the participant that was given."""
    if activity.participant is None or activity.method is None:
        return activity.function
    function: Callable[[Any], Any] = getattr(participants[activity.participant], activity.method)
    return function
