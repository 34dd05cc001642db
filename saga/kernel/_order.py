"""Where a step may be called, by its kind. The rule S8."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saga.kernel._values import Kind

if TYPE_CHECKING:
    from saga.kernel._definition import Definition, StepDefinition
    from saga.kernel._instance import Instance

__all__ = ("order_fault",)


def order_fault(definition: Definition, instance: Instance, step: StepDefinition) -> str | None:
    """Say why a step may not be called now, or None if it may."""
    if instance.committed and step.kind not in _FORWARD:
        commit = instance.commit.call if instance.commit else "the end of run"
        when = f"after the point of no return, {commit}; call it before, or make it a retriable step"
    elif step.kind is Kind.RETRIABLE and not instance.committed and definition.has_pivot:
        when = "before the pivot was done; call it after, or make it a compensatable step"
    else:
        return None
    return f"{definition.saga} {instance.id}: {step.name} is {step.kind.value} and was called {when}"


_FORWARD = frozenset({Kind.RETRIABLE, Kind.READ_ONLY})
