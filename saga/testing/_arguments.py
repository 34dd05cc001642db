"""What a test gives to `explore` and `given`: refused, by name and before anything runs, where it cannot be used."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from saga.errors import InvalidIdError, InvalidRequestError, SagaError
from saga.kernel import check_start, definition_of
from saga.testing._run import EXPLORED, Plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from saga.kernel import DecisionDefinition, Definition

__all__ = ("check_limit", "plan_of", "request_of")

_ASSURED: Final = "nothing was run"


def plan_of(
    saga: type, request: object, participants: Callable[[], Mapping[str, object]], decisions: object, invariant: object
) -> Plan:
    """Return what every run of an exploration has in common.

    Raises:
        InvalidRequestError: if the request or an answer does not fit its type.
        SagaError: if an argument is of another kind.
    """
    definition = definition_of(saga)
    _check_functions(definition.saga, participants, invariant)
    answers = _answers(definition, decisions)
    return Plan(definition, request_of(definition, request, EXPLORED), participants, answers)


def check_limit(saga: str, limit: object) -> None:
    """Refuse a limit that is none.

    Raises:
        SagaError: if it is one.
    """
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise _refused(saga, f"limit is {limit!r}; give 1 or more, or None for all scenarios")


def request_of(definition: Definition, request: object, id: str) -> str:
    """Return a request as JSON text, once an instance may start with it.

    Raises:
        InvalidIdError: if the id cannot name an instance.
        InvalidRequestError: if the request does not fit what `run` takes.
        PayloadTooLargeError: if it is larger than a journal takes.
    """
    try:
        return check_start(definition, request, id, assured=_ASSURED)
    except InvalidIdError as error:
        raise InvalidIdError(f"{definition.saga}: {error}. Give another `id=`, or none") from None
    except InvalidRequestError as error:
        raise InvalidRequestError(f"{error}\nGive what {definition.saga}.run takes.") from None


def _check_functions(saga: str, participants: object, invariant: object) -> None:
    if not callable(participants) or inspect.iscoroutinefunction(participants):
        raise _refused(saga, "explore makes participants anew for each run: give a function that returns them")
    if invariant is not None and not callable(invariant):
        raise _refused(saga, f"invariant is {invariant!r}; give a function of the participants and the view")


def _answers(definition: Definition, decisions: object) -> dict[str, list[str]]:
    if decisions is None:
        return {}
    if not _is_mapping(decisions):
        text = f"decisions is a {type(decisions).__name__}; give a mapping of decisions to lists of answers"
        raise _refused(definition.saga, text)
    found: dict[str, list[str]] = {}
    for decision, given in decisions.items():
        declared = definition.decisions.get(getattr(decision, "name", ""))
        if declared is None:
            known = ", ".join(f"{definition.saga}.{name}" for name in definition.decisions) or "none"
            raise _refused(definition.saga, f"{decision!r} is no decision of {definition.saga}; it declares {known}")
        found[declared.name] = _payloads(definition.saga, declared, given)
    return found


def _payloads(saga: str, declared: DecisionDefinition, given: object) -> list[str]:
    if not _is_sequence(given):
        text = f"{saga}.{declared.name} is given {type(given).__name__} as its answers; give a list, such as [True]"
        raise _refused(saga, text)
    return [_answer(saga, declared, answer, f"{number} of {len(given)}") for number, answer in enumerate(given, 1)]


def _answer(saga: str, declared: DecisionDefinition, answer: object, which: str) -> str:
    try:
        return declared.answer.encode(answer)
    except InvalidRequestError as error:
        what = f"{saga} {EXPLORED}: answer {which} to {saga}.{declared.name}"
        give = f"Give answers that fit, as decisions={{{saga}.{declared.name}: [...]}}."
        raise InvalidRequestError(f"{what} was refused and {_ASSURED}; {error}\n{give}") from None


def _is_mapping(value: object) -> TypeGuard[Mapping[Any, object]]:
    return isinstance(value, Mapping)


def _is_sequence(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _refused(saga: str, text: str) -> SagaError:
    return SagaError(f"{saga} cannot be explored, and {_ASSURED}: {text}")
