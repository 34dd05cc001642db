"""What a saga class comes to once it is checked: steps with activities, types and policies resolved."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saga.errors import Fault, SagaDefinitionError, UnknownSagaError
from saga.kernel._values import Kind, Role

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta

    from saga.kernel._activity import Activity
    from saga.kernel._codec import Codec
    from saga.kernel._policy import Policy

__all__ = (
    "DecisionDefinition",
    "Definition",
    "RoleDefinition",
    "StepDefinition",
    "definition_of",
    "fingerprint_of",
    "known_definition",
    "no_saga_class",
    "roles_of",
    "short_place",
)


@dataclass(frozen=True, slots=True)
class RoleDefinition:
    """One activity of a step: what it takes and returns, and how it is tried.

    Attributes:
        activity: The activity; None for the action of a nested saga, which the engine itself runs.
        policy: How it is tried.
        takes: Codec of its argument.
        returns: Codec of its result; None where the result is not kept.
        given: Makes the argument of a compensation from the effect, where it takes other input.
    """

    activity: Activity | None
    policy: Policy
    takes: Codec
    returns: Codec | None
    given: Callable[[Any], Any] | None = None  # from an Effect to any input


@dataclass(frozen=True, slots=True)
class StepDefinition:
    """A step of a checked saga class.

    Attributes:
        name: Its name on the class, which is journaled.
        kind: Its kind.
        roles: Its activities.
        rejects: Exception types by which the participant says that nothing happened.
        effect: Codec of the effect that a compensation takes; None where there is no compensation.
        nested: Definition of the child, for a nested saga.
    """

    name: str
    kind: Kind
    roles: Mapping[Role, RoleDefinition]
    rejects: tuple[type[Exception], ...]
    effect: Codec | None = None
    nested: Definition | None = None

    @property
    def action(self) -> RoleDefinition:
        """The step's action."""
        return self.roles[Role.ACTION]

    @property
    def activities(self) -> list[Activity]:
        """The activities of its roles; what a nested saga does is its child's."""
        return [role.activity for role in self.roles.values() if role.activity is not None]

    @property
    def hands_over(self) -> bool:
        """Whether this is a child whose own entries the parent compensates."""
        return self.nested is not None and Role.COMPENSATION not in self.roles


@dataclass(frozen=True, slots=True)
class DecisionDefinition:
    """A decision of a checked saga class."""

    name: str
    answer: Codec
    within: timedelta


@dataclass(frozen=True, slots=True)
class Definition:
    """A saga class that passed the definition check.

    Attributes:
        saga: Name of the saga, which is journaled.
        cls: The class.
        request: Codec of the request.
        result: Codec of the result.
        steps: Its steps by name, in the order of declaration.
        decisions: Its decisions by name.
        deadline: Time after the start at which backward recovery starts, or None.
        fingerprint: Short hash of steps, kinds, activities and types; it explains, it never decides.
        roles: Every role that an activity has in its steps, or in those of nested sagas.
        has_pivot: Whether a pivot is declared; without one the first retriable's registration plays its part.
    """

    saga: str
    cls: type
    request: Codec
    result: Codec
    steps: Mapping[str, StepDefinition]
    decisions: Mapping[str, DecisionDefinition]
    deadline: timedelta | None
    fingerprint: str
    roles: frozenset[Role]
    has_pivot: bool

    def commits(self, step: StepDefinition) -> bool:
        """Tell whether registering `step` can be the point of no return."""
        return step.kind is (Kind.PIVOT if self.has_pivot else Kind.RETRIABLE)

    def step(self, name: str) -> StepDefinition:
        """Return a step, or a nested saga's step by its full name such as `transfer.1/debit`.

        Raises:
            UnknownSagaError: if the class has no such step.
        """
        definition = self
        *children, last = name.split("/")
        for child in children:
            nested = definition.step(child.rpartition(".")[0]).nested
            if nested is None:
                msg = f"{self.saga} has no nested saga {child!r}"
                raise UnknownSagaError(msg)
            definition = nested
        if last not in definition.steps:
            msg = f"{definition.saga} has no step {last!r}; it has {', '.join(definition.steps) or 'none'}"
            raise UnknownSagaError(msg)
        return definition.steps[last]


def definition_of(saga: type) -> Definition:
    """Return the definition of a saga class.

    Raises:
        SagaDefinitionError: if it is none, or has no `run`, so that there is nothing to execute.
    """
    definition = known_definition(saga)
    if definition is None:
        name, module = getattr(saga, "__name__", repr(saga)), getattr(saga, "__module__", "?")
        where = short_place(getattr(saga, "__where__", module))
        raise SagaDefinitionError(name, where, [Fault(where, "run", no_saga_class(saga))])
    return definition


def known_definition(saga: type) -> Definition | None:
    """Return the definition of a saga class, or None for what is none."""
    own: Mapping[str, object] = getattr(saga, "__dict__", {})
    definition = own.get("__definition__")
    return definition if isinstance(definition, Definition) else None


def no_saga_class(saga: object) -> str:
    """Say why something cannot be run as a saga, and what to write."""
    name = getattr(saga, "__name__", repr(saga))
    return (
        f"{name} is no saga class with a run method; "
        "derive it from saga.Saga and write `async def run(self, request: Request) -> Result`."
    )


def short_place(where: str) -> str:
    """Return `file.py:17` without the directories."""
    path, _, line = where.rpartition(":")
    return f"{Path(path).name}:{line}" if path else where


def roles_of(steps: Mapping[str, StepDefinition]) -> frozenset[Role]:
    """Return every role that an activity has in some steps, or in those of nested sagas."""
    nested = [step.nested.roles for step in steps.values() if step.nested is not None]
    none: frozenset[Role] = frozenset()
    return none.union(*(step.roles for step in steps.values()), *nested)


def fingerprint_of(steps: Mapping[str, StepDefinition]) -> str:
    """Return a short hash of everything about the steps that a journal depends on."""
    shape = [
        [
            step.name,
            step.kind,
            sorted((role, one.activity.name if one.activity else "") for role, one in step.roles.items()),
            step.action.takes.adapter.json_schema(),
        ]
        for step in steps.values()
    ]
    return hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()[:12]
