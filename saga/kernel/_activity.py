"""Activities: plain functions and participants' methods, their names, and the types they take and return."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_type_hints

from saga.errors import OutsideSagaError, ParticipantError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = (
    "Activity",
    "StandInMethod",
    "activity_of",
    "participant",
    "resolved_hints",
    "shown",
)

Participant = TypeVar("Participant")


class StandInMethod:
    """A participant's method as a saga class sees it: a name and types, nothing to call."""

    __slots__ = ("function", "kind", "method", "participant")

    def __init__(self, kind: type, participant: str, method: str, function: Callable[..., object] | None) -> None:
        self.kind = kind
        self.participant = participant
        self.method = method
        self.function = function

    def __call__(self, *_: object, **__: object) -> object:
        """Refuse: a stand-in has no connection."""
        msg = (
            f"{self.participant}.{self.method} is a stand-in and was called directly. "
            "Declare it as a step and call the step inside run, or call the method of a real "
            f"{self.kind.__name__}."
        )
        raise OutsideSagaError(msg)

    def __repr__(self) -> str:
        return f"{self.participant}.{self.method}"


class _StandIn:
    """Stands in for a participant while a saga class is written: names and types, no connection."""

    def __init__(self, kind: type, name: str) -> None:
        self._kind = kind
        self._name = name

    def __getattr__(self, method: str) -> StandInMethod:
        if method.startswith("_"):  # Python and its tools ask for such names too
            msg = f"{self._kind.__name__}.{method} is private, so participant {self._name!r} does not offer it"
            raise AttributeError(msg)
        function = getattr(self._kind, method, None)
        return StandInMethod(self._kind, self._name, method, function if callable(function) else None)

    def __repr__(self) -> str:
        return f"participant({self._kind.__name__}, {self._name!r})"


def participant(kind: type[Participant], name: str) -> Participant:
    """Return a typed stand-in for a participant, to declare steps with.

    The stand-in holds no connection and no credentials. The engine is given the real object under the same
    name, `participants={"source_bank": Bank(...)}`. The name routes the activities and is journaled with
    every call, so it must not change while instances are open.

    Args:
        kind: Class whose methods are the activities. For interface-only use, a base class whose methods raise.
        name: Name of the participant, an identifier.

    Raises:
        ParticipantError: if the name is no identifier, or `kind` is no class.

    Example:
        >>> class Bank:
        ...     async def debit(self, amount: int) -> str: ...
        >>> participant(Bank, "source_bank").debit
        source_bank.debit
    """
    if not isinstance(cast("object", kind), type):
        msg = f"participant({kind!r}, {name!r}): give the class whose methods are the activities, then the name"
        raise ParticipantError(msg)
    if not (isinstance(cast("object", name), str) and name.isidentifier()):
        msg = f"participant({kind.__name__}, {name!r}): a participant's name is an identifier such as 'source_bank'"
        raise ParticipantError(msg)
    return cast("Participant", _StandIn(kind, name))


@dataclass(frozen=True, slots=True)
class Activity:
    """A function that a step uses, by the name that is journaled.

    Attributes:
        name: `source_bank.debit` for a participant's method, the function's name otherwise.
        participant: Name of the participant, or None for a plain function.
        method: Name of the method, or None.
        function: The function itself; for a participant's method as its class defines it.
        takes: Type of its one argument.
        returns: Type of what it returns.
    """

    name: str
    participant: str | None
    method: str | None
    function: Callable[..., object]
    takes: Any  # an annotation
    returns: Any  # an annotation


def activity_of(function: object, scope: Mapping[str, object]) -> Activity:
    """Describe the activity behind `function`.

    Args:
        function: A stand-in's method, a plain function, or a function marked with Temporal's `activity.defn`.
        scope: Names that annotations may use beside the function's own module, such as a test's local models.

    Raises:
        TypeError: if it has no stable name, or its one argument or its result has no type.
    """
    if isinstance(function, StandInMethod):
        if function.function is None:
            raise TypeError(_no_method(function))
        takes, returns = _types(function.function, scope, bound=True, name=repr(function))
        return Activity(repr(function), function.participant, function.method, function.function, takes, returns)
    if not inspect.isfunction(function) or function.__name__ == "<lambda>":
        msg = (
            f"{shown(function)} has no stable name. Use a function made with def, or a method of "
            "participant(...); lambdas, partials and bound methods change between deployments."
        )
        raise TypeError(msg)
    takes, returns = _types(function, scope, bound=False, name=function.__name__)
    return Activity(_plain_name(function), None, None, function, takes, returns)


def _no_method(method: StandInMethod) -> str:
    kind = method.kind
    public = [name for name in dir(kind) if not name.startswith("_") and callable(getattr(kind, name))]
    return f"{kind.__name__} has no method {method.method!r} for participant {method.participant!r}; it has " + (
        ", ".join(public) or "none"
    )


def shown(value: object) -> str:
    """Return what an author wrote, as far as it has a name: no addresses."""
    name = getattr(value, "__qualname__", None)
    return name.rpartition(".")[2] if isinstance(name, str) else repr(value)


def _plain_name(function: Callable[..., object]) -> str:
    # Temporal's `@activity.defn(name=...)` leaves its definition on the function; reading it needs no import.
    definition = getattr(function, "__temporal_activity_definition", None)
    name = getattr(definition, "name", None)
    return name if isinstance(name, str) else function.__name__


def _types(function: Callable[..., object], scope: Mapping[str, object], *, bound: bool, name: str) -> tuple[Any, Any]:
    parameters = list(inspect.signature(function).parameters.values())[1 if bound else 0 :]
    required = [one for one in parameters if one.default is one.empty and one.kind not in _VARIADIC]
    if not parameters or len(required) > 1 or parameters[0].kind is inspect.Parameter.KEYWORD_ONLY:
        msg = f"{name} must take one argument, the input of the step"
        raise TypeError(msg)
    hints = resolved_hints(function, scope, name)
    if parameters[0].name not in hints or "return" not in hints:
        msg = f"{name} needs types: annotate its argument and what it returns"
        raise TypeError(msg)
    return hints[parameters[0].name], hints["return"]


_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def resolved_hints(function: Callable[..., object], scope: Mapping[str, object], name: str) -> dict[str, Any]:
    """Return the annotations of `function`, resolved.

    Raises:
        TypeError: if an annotation names something that cannot be found.
    """
    try:
        return get_type_hints(function, localns=dict(scope), include_extras=True)
    except Exception as error:  # noqa: BLE001 - annotations are expressions of the author's
        msg = f"{name}: {error}; models used in annotations must exist when the saga class is made"
        raise TypeError(msg) from None
