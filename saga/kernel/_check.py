"""The definition check: everything that is wrong with a saga class, found at once when it is made."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeGuard

from saga.errors import Fault, SagaDefinitionError
from saga.kernel._activity import Activity, Codec, activity_of, codec_of, resolved_hints, shown
from saga.kernel._compensatable import Compensatable, Given
from saga.kernel._declared import Decision, Declared, Step
from saga.kernel._definition import (
    DecisionDefinition,
    Definition,
    RoleDefinition,
    StepDefinition,
    fingerprint_of,
    known_definition,
    no_saga_class,
    roles_of,
    short_place,
)
from saga.kernel._pairing import effect_of, wrong_pair
from saga.kernel._policy import FOREVER, Policy, time_faults
from saga.kernel._steps import Nested
from saga.kernel._values import Kind, Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ("check",)

_RANK = {Kind.COMPENSATABLE: 0, Kind.NESTED: 0, Kind.PIVOT: 1, Kind.RETRIABLE: 2}
_TAKEN = frozenset({"run", "now", "random", "sleep", "deadline"})
_TOO_BROAD = (BaseException, Exception, OSError, TimeoutError)


@dataclass(slots=True)
class _Findings:
    """Collects faults, so that an author sees all of them at once."""

    scope: Mapping[str, object]
    faults: list[Fault] = field(default_factory=list[Fault])

    def add(self, declared: Declared | None, name: str, text: str, where: str = "") -> None:
        place = declared.where if declared is not None else where
        fault = Fault(short_place(place), name, text.rstrip(".") + ".")
        if fault not in self.faults:  # one type may be at fault in several places of a step
            self.faults.append(fault)

    def codec(
        self, declared: Declared | None, name: str, type_: Any, where: str = ""
    ) -> Codec | None:  # any annotation
        try:
            return codec_of(type_)
        except TypeError as error:
            self.add(declared, name, str(error), where)
            return None

    def activity(self, declared: Declared, name: str, function: object) -> Activity | None:
        if isinstance(function, Declared):
            text = f"it is given the step {function.name!r}, whose name hides the function's in this class; rename one."
            self.add(declared, name, text)
            return None
        try:
            return activity_of(function, self.scope)
        except TypeError as error:
            self.add(declared, name, str(error))
            return None


def check(cls: type, *, saga: str, where: str, scope: Mapping[str, object], twice: Iterable[Declared]) -> Definition:
    """Check a saga class and resolve its types.

    Raises:
        SagaDefinitionError: if anything is wrong; it lists every fault with file and line.
    """
    found = _Findings(scope)
    for hidden in twice:
        found.add(hidden, hidden.name, "declared twice in this class; the second one would hide this one.")
    declared = _declared(cls)
    steps = _steps(found, declared)
    decisions = _decisions(found, declared)
    _check_order(found, [one for one in declared.values() if _is_step(one)])
    _check_names(found, declared)
    request, result = _check_run(found, cls, where)
    deadline = _check_deadline(found, cls, where)
    if found.faults or request is None or result is None:
        raise SagaDefinitionError(saga, short_place(where), sorted(found.faults, key=_line))
    has_pivot = any(step.kind is Kind.PIVOT for step in steps.values())
    fingerprint, roles = fingerprint_of(steps), roles_of(steps)
    return Definition(saga, cls, request, result, steps, decisions, deadline, fingerprint, roles, has_pivot)


def _line(fault: Fault) -> int:
    line = fault.where.rpartition(":")[2]
    return int(line) if line.isdigit() else 0


def _declared(cls: type) -> dict[str, Declared]:
    """Return what the class and its bases declare, bases first, in the order of declaration."""
    found: dict[str, Declared] = {}
    for base in reversed(cls.__mro__):
        found |= {name: value for name, value in vars(base).items() if isinstance(value, Declared)}
    return {name: value for name, value in found.items() if getattr(cls, name, None) is value}


def _check_names(found: _Findings, declared: Mapping[str, Declared]) -> None:
    for name, one in declared.items():
        if name in _TAKEN or (name == "timer" and _is_decision(one)):  # timers are timer.1, timer.2, ...
            found.add(one, name, "this name belongs to Saga; choose another.")
        elif one.name not in {"", name}:
            found.add(one, name, f"the same step object is declared as {one.name!r} too; make a second one.")


# `isinstance` with a generic class leaves its types unknown; these say that any will do.


def _is_incomplete(one: Declared) -> bool:
    return isinstance(one, (Compensatable, Given))


def _is_step(one: Declared) -> TypeGuard[Step[Any, Any]]:
    return isinstance(one, Step)


def _is_nested(one: Declared) -> TypeGuard[Nested[Any, Any]]:
    return isinstance(one, Nested)


def _is_decision(one: Declared) -> TypeGuard[Decision[Any]]:
    return isinstance(one, Decision)


# -- steps -----------------------------------------------------------------------------


def _steps(found: _Findings, declared: Mapping[str, Declared]) -> dict[str, StepDefinition]:
    steps: dict[str, StepDefinition] = {}
    for name, one in declared.items():
        if _is_incomplete(one):
            found.add(one, name, "no compensation. Add .compensated_by(...), or use ReadOnly.")
        elif _is_step(one):
            step = _nested(found, name, one) if _is_nested(one) else _step(found, name, one)
            if step is not None:
                steps[name] = step
    return steps


def _step(found: _Findings, name: str, step: Step[Any, Any]) -> StepDefinition | None:
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
    found: _Findings, name: str, step: Step[Any, Any], action: Activity | None
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


def _check_policies(found: _Findings, step: Step[Any, Any], name: str) -> None:
    for role, part in step.parts.items():
        for text in _probe_faults(part.policy) if role is Role.PROBE else part.policy.faults():
            found.add(step, name, text if role is Role.ACTION else f"{role.value}: {text}")


def _probe_faults(policy: Policy) -> list[str]:
    # Its author gave `every`, from which the rest follows.
    every = time_faults("every", policy.retry.first, positive=True)
    return [*every, *time_faults("timeout", policy.timeout, positive=True)]


def _rejects(found: _Findings, step: Step[Any, Any], name: str) -> tuple[type[Exception], ...]:
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


def _nested(found: _Findings, name: str, step: Nested[Any, Any]) -> StepDefinition | None:
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


def _check_child(found: _Findings, name: str, step: Nested[Any, Any], child: Definition) -> None:
    for one in child.steps.values():
        if one.kind in {Kind.PIVOT, Kind.RETRIABLE}:
            text = (
                f"{child.saga} has the {one.kind.value} step {one.name}, so it cannot be compensated later.\n"
                "Give the nested step a compensation of its own with .compensated_by(...)."
            )
            found.add(step, name, text)


def _check_order(found: _Findings, steps: list[Step[Any, Any]]) -> None:
    highest: Step[Any, Any] | None = None
    for step in steps:
        if step.kind not in _RANK:
            continue
        if highest is not None and step.kind is Kind.PIVOT and highest.kind is Kind.PIVOT:
            found.add(step, step.name, f"a second pivot beside {highest.name}; a saga has at most one.")
        elif highest is not None and _RANK[step.kind] < _RANK[highest.kind]:
            text = (
                f"a {step.kind.value} step after the {highest.kind.value} step {highest.name}. "
                "Declare compensatable steps first, then the pivot, then retriable steps."
            )
            found.add(step, step.name, text)
        else:
            highest = step


# -- the rest of the class -------------------------------------------------------------


def _decisions(found: _Findings, declared: Mapping[str, Declared]) -> dict[str, DecisionDefinition]:
    decisions: dict[str, DecisionDefinition] = {}
    for name, one in declared.items():
        if not _is_decision(one):
            continue
        codec = found.codec(one, name, one.answer)
        for text in time_faults("within", one.within, positive=True):
            found.add(one, name, text)
        if codec is not None:
            decisions[name] = DecisionDefinition(name, codec, one.within)
    return decisions


def _check_run(found: _Findings, cls: type, where: str) -> tuple[Codec | None, Codec | None]:
    run = getattr(cls, "run", None)
    if run is None or not inspect.iscoroutinefunction(run):
        found.add(None, "run", "must be written `async def run(self, request: Request) -> Result`.", where)
        return None, None
    where = f"{run.__code__.co_filename}:{run.__code__.co_firstlineno}"
    parameters = list(inspect.signature(run).parameters)[1:]
    try:
        hints = resolved_hints(run, found.scope, "run")
    except TypeError as error:
        found.add(None, "run", str(error), where)
        return None, None
    if len(parameters) != 1 or parameters[0] not in hints or "return" not in hints:
        found.add(None, "run", "takes one request and returns one result, both with types.", where)
        return None, None
    request = found.codec(None, "run", hints[parameters[0]], where)
    return request, found.codec(None, "run", hints["return"], where)


def _check_deadline(found: _Findings, cls: type, where: str) -> timedelta | None:
    deadline = getattr(cls, "deadline", None)
    if deadline is None or isinstance(deadline, Declared):  # a step of that name is another fault
        return None
    if not isinstance(deadline, timedelta) or deadline <= timedelta(0):
        found.add(None, "deadline", f"is {deadline!r}; give a positive timedelta or None.", where)
        return None
    return deadline
