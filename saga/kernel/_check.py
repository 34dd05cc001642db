"""The definition check: everything that is wrong with a saga class, found at once when it is made."""

from __future__ import annotations

import inspect
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from saga.errors import Fault, SagaDefinitionError
from saga.kernel._activity import resolved_hints
from saga.kernel._check_steps import is_decision, is_step, steps_of
from saga.kernel._declared import Declared, Step
from saga.kernel._definition import (
    DecisionDefinition,
    Definition,
    StepDefinition,
    fingerprint_of,
    roles_of,
    short_place,
)
from saga.kernel._findings import Findings
from saga.kernel._participants import named_alike
from saga.kernel._policy import LONGEST, time_faults
from saga.kernel._values import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from saga.kernel._codec import Codec

__all__ = ("check",)

_RANK = {Kind.COMPENSATABLE: 0, Kind.NESTED: 0, Kind.PIVOT: 1, Kind.RETRIABLE: 2}
_TAKEN = frozenset({"run", "now", "random", "sleep", "deadline"})


def check(cls: type, *, saga: str, where: str, scope: Mapping[str, object], twice: Iterable[Declared]) -> Definition:
    """Check a saga class and resolve its types.

    Raises:
        SagaDefinitionError: if anything is wrong; it lists every fault with file and line.
    """
    found = Findings(scope)
    for hidden in twice:
        found.add(hidden, hidden.name, "declared twice in this class; the second one would hide this one.")
    declared = _declared(cls)
    steps = steps_of(found, declared)
    decisions = _decisions(found, declared)
    _check_order(found, [one for one in declared.values() if is_step(one)])
    _check_names(found, declared)
    _check_activities(found, declared, steps)
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


def _check_names(found: Findings, declared: Mapping[str, Declared]) -> None:
    for name, one in declared.items():
        if name in _TAKEN or (name == "timer" and is_decision(one)):  # timers are timer.1, timer.2, ...
            found.add(one, name, "this name belongs to Saga; choose another.")
        elif one.name not in {"", name}:
            found.add(one, name, f"the same step object is declared as {one.name!r} too; make a second one.")


# -- steps together ------------------------------------------------------------------


def _check_activities(found: Findings, declared: Mapping[str, Declared], steps: Mapping[str, StepDefinition]) -> None:
    for _, name, function in named_alike(steps.items()):
        text = f"two functions are named {function}, and a worker finds an activity by its name alone; rename one"
        found.add(declared[name], name, text)


def _check_order(found: Findings, steps: list[Step[Any, Any]]) -> None:
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


def _decisions(found: Findings, declared: Mapping[str, Declared]) -> dict[str, DecisionDefinition]:
    decisions: dict[str, DecisionDefinition] = {}
    for name, one in declared.items():
        if not is_decision(one):
            continue
        codec = found.codec(one, name, one.answer)
        for text in time_faults("within", one.within, positive=True):
            found.add(one, name, text)
        if codec is not None:
            decisions[name] = DecisionDefinition(name, codec, one.within)
    return decisions


def _check_run(found: Findings, cls: type, where: str) -> tuple[Codec | None, Codec | None]:
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


def _check_deadline(found: Findings, cls: type, where: str) -> timedelta | None:
    deadline = getattr(cls, "deadline", None)
    if deadline is None or isinstance(deadline, Declared):  # a step of that name is another fault
        return None
    if not isinstance(deadline, timedelta) or deadline <= timedelta(0):
        found.add(None, "deadline", f"is {deadline!r}; give a positive timedelta or None.", where)
        return None
    if deadline > LONGEST:
        found.add(None, "deadline", f"is {deadline}; give a hundred years at most, or None.", where)
        return None
    return deadline
