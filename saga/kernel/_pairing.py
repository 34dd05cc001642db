"""Whether an activity can play a role of a step: its types have to be those that the action makes."""

from __future__ import annotations

import types
import typing
from typing import TYPE_CHECKING, Any

from saga.kernel._values import AskAgain, DidNotHappen, Effect, Happened, Role

if TYPE_CHECKING:
    from saga.kernel._activity import Activity
    from saga.kernel._declared import Part

__all__ = ("effect_of", "same_type", "show_type", "wrong_pair")

_UNIONS = (typing.Union, types.UnionType)


def effect_of(takes: Any, returns: Any) -> Any:  # annotations
    """Return the type of the effect of an action."""
    return typing.cast("Any", Effect)[takes, returns]


def wrong_pair(role: Role, part: Part, activity: Activity, action: Activity) -> str | None:
    """Say why `activity` cannot play `role` for `action`, or None if it can."""
    made = {
        Role.COMPENSATION: effect_of(action.takes, action.returns),
        Role.PROBE: action.takes,
        Role.CONFIRMATION: action.returns,
        Role.FORGET: action.returns,
    }[role]
    if part.given is None and not same_type(activity.takes, made):
        return (
            f"{role.value} {activity.name} takes {show_type(activity.takes)},\n"
            f"but action {action.name} makes {show_type(made)}."
        )
    if role is Role.PROBE and not _is_finding(activity.returns, action.returns):
        return (
            f"probe {activity.name} returns {show_type(activity.returns)},\n"
            f"but it must return Finding[{show_type(action.returns)}]."
        )
    if _elsewhere(activity, action):
        return (
            f"{role.value} {activity.name} belongs to another participant than action {action.name}.\n"
            f"Use {action.participant}.{activity.method}; if it is meant, wrap it in a function of your own."
        )
    return None


def _is_finding(type_: Any, output: Any) -> bool:  # annotations
    if typing.get_origin(type_) is typing.Annotated:
        type_ = typing.get_args(type_)[0]
    members = typing.get_args(type_) if typing.get_origin(type_) in _UNIONS else (type_,)
    happened = typing.cast("Any", Happened)[output]
    return all(one in {DidNotHappen, AskAgain} or same_type(one, happened) for one in members)


def _elsewhere(activity: Activity, action: Activity) -> bool:
    """Tell whether a role went to another participant of the very same class: types cannot see that."""
    return (
        activity.participant is not None
        and action.participant is not None
        and activity.participant != action.participant
        and _class_of(activity) == _class_of(action)
    )


def _class_of(activity: Activity) -> str:
    return activity.function.__qualname__.rpartition(".")[0]


# -- annotations -----------------------------------------------------------------------


def same_type(one: Any, other: Any) -> bool:  # annotations
    """Tell whether two annotations mean the same type, however they are written.

    Pydantic makes two classes of `Effect[int, None]` and `Effect[int, NoneType]`, or of two spellings of a union.

    Example:
        >>> same_type(Effect[int, None], Effect[int, type(None)])
        True
    """
    one, other = _none(one), _none(other)
    if one == other:
        return True
    first, second = _parts(one), _parts(other)
    if first is None or second is None or first[0] != second[0] or len(first[1]) != len(second[1]):
        return False
    if first[0] is typing.Union:
        return all(any(same_type(each, member) for member in second[1]) for each in first[1])
    return all(same_type(each, member) for each, member in zip(first[1], second[1], strict=True))


def show_type(type_: Any) -> str:  # an annotation
    """Return a type the way its author writes it, such as `Effect[Debit, Posting]`.

    Example:
        >>> show_type(Effect[int, str | None])
        'Effect[int, str | None]'
    """
    if _none(type_) is types.NoneType:
        return "None"
    parts = _parts(type_)
    if parts is None:
        return type_.__name__ if isinstance(type_, type) else str(type_).replace("typing.", "")
    origin, arguments = parts
    if origin is typing.Annotated:
        return show_type(arguments[0])
    shown = [show_type(each) for each in arguments]
    return " | ".join(shown) if origin is typing.Union else f"{show_type(origin)}[{', '.join(shown)}]"


def _none(type_: Any) -> Any:  # an annotation
    return types.NoneType if type_ is None else type_


def _parts(type_: Any) -> tuple[Any, tuple[Any, ...]] | None:  # an annotation
    """Return the origin and the arguments of a type that has arguments."""
    generic = getattr(type_, "__pydantic_generic_metadata__", None)
    if generic and generic["origin"] is not None:
        return generic["origin"], tuple(generic["args"])
    origin, arguments = typing.get_origin(type_), typing.get_args(type_)
    if origin is None or not arguments:
        return None
    return (typing.Union if origin in _UNIONS else origin), arguments
