"""Stand-ins for a saga class, where the class itself is not at hand: they know what a history knows."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from saga.kernel import (
    Call,
    Decider,
    DecisionDefinition,
    Definition,
    Finding,
    Kind,
    Policy,
    Role,
    RoleDefinition,
    StepDefinition,
    codec_of,
    split_role,
    step_of,
)

if TYPE_CHECKING:
    from saga.kernel import Instance

__all__ = ("call_of", "decider_of")

_ANY: Final = codec_of(Any)
_FINDING: Final = codec_of(Finding[Any])  # type: ignore[misc]  # an alias only for type checkers
_RETURNS: Final = {Role.ACTION: _ANY, Role.PROBE: _FINDING}


def _definition(saga: str, decisions: tuple[str, ...] = ()) -> Definition:
    asked = {name: DecisionDefinition(name, _ANY, timedelta(0)) for name in decisions}
    return Definition(saga, object, _ANY, _ANY, {}, asked, None, "", frozenset(), has_pivot=True)


def call_of(id: str, saga: str, name: str, policy: Policy, input: str, *, nested: str | None = None) -> Call:
    """Return a call, so that what its outcome means can be asked of the same functions as everywhere.

    Args:
        id: Id of the instance.
        saga: Name of the saga.
        name: The call with its role.
        policy: What its activity was scheduled with.
        input: Its input, JSON text.
        nested: The saga that it runs, if it does.
    """
    call, role = split_role(name)
    own = RoleDefinition(None, policy, _ANY, _RETURNS.get(role))
    roles = {Role.ACTION: RoleDefinition(None, policy, _ANY, _ANY), role: own}
    child = None if nested is None else _definition(nested)
    return Call(id, saga, call, role, StepDefinition(step_of(call), Kind.COMPENSATABLE, roles, (), None, child), input)


def decider_of(instance: Instance, decision: str) -> Decider:
    """Return what decides whether a request makes sense to an instance, as far as that needs no class."""
    decider = Decider(_definition(instance.saga, (decision,)))
    decider.instance = instance
    return decider
