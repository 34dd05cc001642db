"""The check of single steps: each alone, with its activities, policies and refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

from saga.kernel._activity import Activity, shown
from saga.kernel._codec import codec_of
from saga.kernel._compensatable import Compensatable, Given
from saga.kernel._declared import Decision, Declared, Step
from saga.kernel._definition import Definition, RoleDefinition, StepDefinition, known_definition, no_saga_class
from saga.kernel._pairing import effect_of, wrong_pair
from saga.kernel._policy import FOREVER, Policy, time_faults
from saga.kernel._steps import Nested
from saga.kernel._values import Kind, Role

if TYPE_CHECKING:
    from collections.abc import Mapping

    from saga.kernel._findings import Findings

__all__ = ("is_decision", "is_step", "steps_of")

_TOO_BROAD = (BaseException, Exception, OSError, TimeoutError)


# `isinstance` with a generic class leaves its types unknown; these say that any will do.


def _is_incomplete(one: Declared) -> bool:
    return isinstance(one, (Compensatable, Given))


def is_step(one: Declared) -> TypeGuard[Step[Any, Any]]:
    return isinstance(one, Step)


def _is_nested(one: Declared) -> TypeGuard[Nested[Any, Any]]:
    return isinstance(one, Nested)


def is_decision(one: Declared) -> TypeGuard[Decision[Any]]:
    return isinstance(one, Decision)


def steps_of(found: Findings, declared: Mapping[str, Declared]) -> dict[str, StepDefinition]:
    steps: dict[str, StepDefinition] = {}
    for name, one in declared.items():
        if _is_incomplete(one):
            found.add(one, name, "no compensation. Add .compensated_by(...), or use ReadOnly.")
        elif is_step(one):
            step = _nested(found, name, one) if _is_nested(one) else _step(found, name, one)
            if step is not None:
                steps[name] = step
    return steps


def _step(found: Findings, name: str, step: Step[Any, Any]) -> StepDefinition | None:
    _check_policies(found, step, name)
    rejects = _rejects(found, step, name)
    action = found.activity(step, name, step.parts[Role.ACTION].function)
    takes = found.codec(step, name, action.takes) if action is not None else None
    returns = found.codec(step, name, action.returns) if action is not None else None
    others = _other_roles(found, name, step, action)
    if action is None or takes is None or returns is None:
        return None
    roles = {Role.ACTION: RoleDefinition(action, step.parts[Role.ACTION].policy, takes, returns)} | others
    effect = codec_of(effect_of(action.takes, action.returns)) if Role.COMPENSATION in roles else None
    return StepDefinition(name, step.kind, roles, rejects, effect)


def _other_roles(
    found: Findings, name: str, step: Step[Any, Any], action: Activity | None
) -> dict[Role, RoleDefinition]:
    roles: dict[Role, RoleDefinition] = {}
    for role, part in step.parts.items():
        if role is Role.ACTION:
            continue
        if part.given is not None and not callable(part.given):
            found.add(step, name, f"given is {part.given!r}; give a function that takes the effect")
        activity = found.activity(step, name, part.function)
        if activity is None:
            continue
        text = wrong_pair(role, part, activity, action) if action is not None else None
        if text:
            found.add(step, name, text)
            continue
        takes = found.codec(step, name, activity.takes)
        if takes is not None:
            returns = codec_of(activity.returns) if role is Role.PROBE else None
            roles[role] = RoleDefinition(activity, part.policy, takes, returns, part.given)
    return roles


def _check_policies(found: Findings, step: Step[Any, Any], name: str) -> None:
    for role, part in step.parts.items():
        for text in _probe_faults(part.policy) if role is Role.PROBE else part.policy.faults():
            found.add(step, name, text if role is Role.ACTION else f"{role.value}: {text}")


def _probe_faults(policy: Policy) -> list[str]:
    # Its author gave `every`, from which the rest follows.
    every = time_faults("every", policy.retry.first, positive=True)
    return [*every, *time_faults("timeout", policy.timeout, positive=True)]


def _rejects(found: Findings, step: Step[Any, Any], name: str) -> tuple[type[Exception], ...]:
    if not isinstance(step.rejects, (list, tuple, set, frozenset)):
        found.add(step, name, f"rejects is {shown(step.rejects)}; give a list of exception types")
        return ()
    for one in step.rejects:
        text = _no_refusal(one)
        if text:
            found.add(step, name, text)
    return tuple(step.rejects)


def _no_refusal(one: object) -> str | None:
    if not (isinstance(one, type) and issubclass(one, Exception)):
        return f"rejects holds {one!r}, which is no exception type; name the types that the action raises."
    if one in _TOO_BROAD:
        return f"rejects holds {one.__name__}, which also means that nobody knows; name the refusals themselves."
    return None


def _nested(found: Findings, name: str, step: Nested[Any, Any]) -> StepDefinition | None:
    child = known_definition(step.saga)
    if child is None:
        found.add(step, name, no_saga_class(step.saga))
        return None
    policy = Policy(retry=FOREVER, safe_to_overtake=True)
    roles = {Role.ACTION: RoleDefinition(None, policy, child.request, child.result)}
    effect = None
    if Role.COMPENSATION in step.parts:
        action = Activity(child.saga, None, None, type(step.saga), child.request.type, child.result.type)
        roles |= _other_roles(found, name, step, action)
        effect = codec_of(effect_of(child.request.type, child.result.type))
    else:
        _check_child(found, name, step, child)
    _check_policies(found, step, name)
    return StepDefinition(name, Kind.NESTED, roles, (), effect, child)


def _check_child(found: Findings, name: str, step: Nested[Any, Any], child: Definition) -> None:
    for one in child.steps.values():
        if one.kind in {Kind.PIVOT, Kind.RETRIABLE}:
            text = (
                f"{child.saga} has the {one.kind.value} step {one.name}, so it cannot be compensated later.\n"
                "Give the nested step a compensation of its own with .compensated_by(...)."
            )
            found.add(step, name, text)
