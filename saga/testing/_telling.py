"""Tells a run as a story that a person can read: what was injected, what happened, which rule was broken."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from saga.kernel import facts as f
from saga.testing._trace import EventKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
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
    lines += ["", "What happened:", *(f"  {line}" for line in _shortened(list(_folded(list(_told(run))))))]
    return "\n".join(lines)


_MOST: Final = 5
"""Violations that are told."""
_LINES: Final = 100
"""Lines that are told of the beginning, and of the end."""
_LONGEST_REPEAT: Final = 6
"""Most lines that are told once where they happen again and again, such as the two of an attempt that fails."""


def _shortened(lines: list[str]) -> list[str]:
    if len(lines) <= 2 * _LINES:
        return lines
    return [*lines[:_LINES], f"... {len(lines) - 2 * _LINES} lines ...", *lines[-_LINES:]]


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


class _Line(NamedTuple):
    """One thing that is told.

    Attributes:
        clock: When it happened.
        text: What happened.
        again: The same without the number of the attempt, so that a repeat is known.
    """

    clock: str
    text: str
    again: str


def _folded(lines: Sequence[_Line]) -> Iterator[str]:
    """Tell once what happens several times on end, and how often."""
    at = 0
    while at < len(lines):
        length, times = _repeat(lines, at)
        for line in lines[at : at + length]:
            yield f"{line.clock}  {line.text}" if times == 1 else f"{line.clock}  {line.again}, {times} times"
        at += length * times


def _repeat(lines: Sequence[_Line], at: int) -> tuple[int, int]:
    """Return how many lines from `at` on are told together, and how often they stand there on end."""
    length, times = _longest_repeat(lines, at)
    later, more = _longest_repeat(lines, at + 1)
    # An answer and the beginning of the next attempt are no pair, but that beginning and its answer are.
    return (1, 1) if 1 < length * times <= later * more else (length, times)


def _longest_repeat(lines: Sequence[_Line], at: int) -> tuple[int, int]:
    best = (1, 1)
    for length in range(1, _LONGEST_REPEAT + 1):
        end = at
        while end + length < len(lines) and lines[end].again == lines[end + length].again:
            end += 1
        times = 1 + (end - at) // length
        if times > 1 and length * times > best[0] * best[1]:
            best = (length, times)
    return best


def _told(run: Run) -> Iterator[_Line]:
    for event in run.trace.events:
        clock = _clock(event.at, run.world.started_at)
        if event.kind is EventKind.DURABLE:
            for fact in run.world.journals[event.instance].facts[event.number - 1 : event.durable]:
                whose = "" if event.instance == run.world.root else f"{event.instance}: "
                text = f"{'journal':<12} {whose}{fact_line(fact)}"
                yield _Line(clock, text, text)
        else:
            yield _Line(clock, _line(event), _line(replace(event, number=0)))


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
