"""Mermaid diagrams: of a saga class, of an instance with the path it took, and of the table of states."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saga.kernel._states import SAGA_TRANSITIONS
from saga.kernel._values import CallState, Kind, Role

if TYPE_CHECKING:
    from saga.kernel._definition import Definition, StepDefinition
    from saga.kernel._view import CallView, SagaView

__all__ = ("class_diagram", "instance_diagram", "states_diagram")


def class_diagram(definition: Definition) -> str:
    """Return the steps of a saga class as a Mermaid flowchart: the plan, and what compensates it.

    Steps stand in the order of declaration, which is the order that their kinds allow; `run` decides which of
    them it calls.
    """
    lines = ["flowchart LR", f"  start([{_text(definition.saga)}])"]
    last = "start"
    for step in definition.steps.values():
        node = _node(step.name)
        lines += [f"  {node}{_shape(step)}", f"  {last} --> {node}"]
        lines += [
            f"  {node} {_ARROWS[role]} {step.name}_{role.value}[{_label(step, role)}]"
            for role in _ROLES
            if role in step.roles
        ]
        last = node
    for decision in definition.decisions:
        lines += [f"  {_node(decision)}{{{{{decision}?}}}}", f"  start -.- {_node(decision)}"]
    lines.append(f"  {last} --> completed([COMPLETED])")
    return "\n".join(lines) + "\n"


_WORDS = frozenset(
    {"call", "class", "click", "default", "direction", "end", "flowchart", "graph", "href", "style", "subgraph"}
)
_NODES = frozenset({"completed", "saga", "start"})


def _node(name: str) -> str:
    """Return the name of a node that Mermaid does not take for something else."""
    return f"{name}_" if name.lower() in _WORDS | _NODES else name


def _text(text: str) -> str:
    """Return text that Mermaid shows as it is."""
    return "".join(f"#{ord(one)};" if one in '#;<>"' else one for one in text)


_ROLES = (Role.PROBE, Role.CONFIRMATION, Role.COMPENSATION, Role.FORGET)
_ARROWS = {
    Role.PROBE: "-. in doubt .->",
    Role.CONFIRMATION: "-. confirmed by .->",
    Role.COMPENSATION: "-. compensated by .->",
    Role.FORGET: "-. forgotten by .->",
}


def _shape(step: StepDefinition) -> str:
    text = f'"{step.name}<br/><small>{step.kind.value}</small>"'
    if step.kind is Kind.PIVOT:
        return f"{{{text}}}"
    return f"[[{text}]]" if step.kind is Kind.NESTED else f"[{text}]"


def _label(step: StepDefinition, role: Role) -> str:
    activity = step.roles[role].activity
    return f'"{activity.name if activity else step.name}"'


def instance_diagram(view: SagaView) -> str:
    """Return the path that an instance took as a Mermaid sequence: every call in order, with its outcome."""
    lines = ["sequenceDiagram", f"  participant saga as {_text(view.saga)} {_text(view.id)}"]
    lines += [f"  participant {name}" for name in dict.fromkeys(_who(call) for call in view.calls)]
    for call in view.calls:
        lines.append(f"  saga->>{_who(call)}: {call.name}")
        if call.state is not CallState.IN_FLIGHT:
            arrow = "-->>" if call.state in {CallState.DONE, CallState.SKIPPED} else "--x"
            lines.append(f"  {_who(call)}{arrow}saga: {call.state.value}")
    lines.append(f"  Note over saga: {view.state.value}")
    return "\n".join(lines) + "\n"


def _who(call: CallView) -> str:
    return _node(call.call.rpartition(".")[0].replace("/", "_"))


def states_diagram() -> str:
    """Return the table of the states of an instance as a Mermaid state diagram."""
    lines = ["stateDiagram-v2"]
    for (state, fact), after in SAGA_TRANSITIONS.items():
        lines.append(f"  {state.value if state else '[*]'} --> {after.value}: {fact}")
    lines += ["  COMPLETED --> [*]", "  COMPENSATED --> [*]"]
    return "\n".join(lines) + "\n"
