"""Tells a run as a story that a person can read: what was injected, what happened, which rule was broken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from saga.kernel import facts as f
from saga.testing._trace import EventKind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from saga.kernel import Fact
    from saga.testing._rules import Violation
    from saga.testing._run import Run
    from saga.testing._trace import Event

__all__ = ("fact_line", "story")


def story(run: Run, violations: list[Violation]) -> str:
    """Tell a run that broke a rule."""
    lines = [f"{run.plan.definition.saga} broke a rule."]
    lines += ["", "Injected:", *(f"  {fault}" for fault in run.scenario.faults)]
    if not run.scenario.faults:
        lines.append("  nothing; this is how it always runs")
    if run.scenario.patient:
        lines.append("  the operator waits for what may still act, and does by hand what failed")
    lines += ["", "Broken:", *(_indented(str(one)) for one in violations[:_MOST])]
    if len(violations) > _MOST:
        lines.append(f"  and {len(violations) - _MOST} more")
    lines += ["", "What happened:", *(f"  {line}" for line in _shortened(list(_told(run))))]
    return "\n".join(lines)


_MOST: Final = 5
"""Violations that are told."""
_LINES: Final = 100
"""Lines that are told of the beginning, and of the end."""


def _shortened(lines: list[str]) -> list[str]:
    if len(lines) <= 2 * _LINES:
        return lines
    return [*lines[:_LINES], f"... {len(lines) - 2 * _LINES} lines ...", *lines[-_LINES:]]


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _told(run: Run) -> Iterator[str]:
    for event in run.trace.events:
        clock = _clock(event.at, run.world.started_at)
        if event.kind is EventKind.DURABLE:
            for fact in run.world.journals[event.instance].facts[event.number - 1 : event.durable]:
                whose = "" if event.instance == run.world.root else f"{event.instance}: "
                yield f"{clock}  {'journal':<12} {whose}{fact_line(fact)}"
        else:
            yield f"{clock}  {_line(event)}"


def _clock(at: datetime, start: datetime) -> str:
    seconds = (at - start).total_seconds()
    return f"{int(seconds) // 60:>4}:{seconds % 60:06.3f}"


def _line(event: Event) -> str:
    whose = event.target or event.instance
    number = f" #{event.number}" if event.number and event.target else ""
    came_to = f": {event.state}" if event.state is not None else ""
    text = f" ({event.text})" if event.text else ""
    return f"{event.kind.value:<12} {f'{whose}{number}{came_to}{text}'.strip()}".rstrip()


def fact_line(fact: Fact) -> str:
    """Tell a fact in one line, without its payload."""
    words: list[str] = [fact.fact]
    for name in ("call", "timer", "reason", "finding", "by"):
        value = getattr(fact, name, None)
        if value:
            words.append(f"by {value}" if name == "by" else str(value))
    if isinstance(fact, f.SagaStuck):
        words.append(", ".join(f"{one.call or 'its code'}: {one.reason}" for one in fact.reasons))
    failure = getattr(fact, "failure", None)
    if failure is not None:
        words.append(f"({failure})")
    return " ".join(words)
