"""What happened to one instance, as lines in the order in which it happened."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from saga.kernel import CallState, Kind, positional

from ._words import happening

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from saga.kernel import CallView, Fact, SagaView

__all__ = ("Row", "timeline")

_SHOWN_FAILURES = 5


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a timeline.

    Attributes:
        at: When.
        what: A call with its role, or what else happened.
        outcome: State of the call; empty for what is no call.
        text: Attempts and duration of a call, or the reason of what else happened.
        notes: Lines beneath it.
    """

    at: datetime
    what: str
    outcome: str = ""
    text: str = ""
    notes: tuple[str, ...] = ()


def timeline(view: SagaView, facts: Sequence[Fact], *, payloads: bool, options: str = "") -> Iterator[Row]:
    """Yield what happened; a call stands where it was registered, with all that became of it.

    Args:
        view: The instance.
        facts: Its facts.
        payloads: Whether payloads are shown.
        options: What a command needs to find instances in the same place.
    """
    calls = {call.name: call for call in view.calls}
    failures: dict[str, list[str]] = defaultdict(list)
    for fact in facts:
        if fact.fact == "AttemptFailed":
            failures[fact.call].append(f"attempt {fact.attempt}: {fact.failure}")
        elif fact.fact == "CallInDoubt" and calls[fact.call].state is CallState.DONE:
            failures[fact.call].append(f"then in doubt: {fact.failure}")  # until somebody let it be tried again
        elif fact.fact == "CallRejected" and calls[fact.call].state is CallState.DONE:
            failures[fact.call].append(f"then rejected: {fact.failure}")
    for fact in facts:
        if fact.fact == "CallRegistered":
            yield _call_row(view.id, calls[fact.call], failures[fact.call], payloads=payloads, options=options)
        elif fact.fact == "CallDone" and fact.adopted:
            for one in fact.adopted:
                yield Row(fact.at, f"{fact.call}/{one.call}", calls[f"{fact.call}/{one.call}"].state.value)
        elif (found := happening(fact)) is not None:
            answered = payloads and fact.fact in {"DecisionAnswered", "DecisionIgnored"}
            yield Row(fact.at, *found, notes=(f"answer   {fact.payload}",) if answered else ())


def _call_row(id: str, call: CallView, failures: list[str], *, payloads: bool, options: str) -> Row:
    attempts = f"{call.attempts} attempt{'' if call.attempts == 1 else 's'}"
    took = "" if call.ended_at is None else f", {(call.ended_at - call.registered_at).total_seconds():.3f} s"
    notes = [f"and {len(failures) - _SHOWN_FAILURES} attempts before"] if len(failures) > _SHOWN_FAILURES else []
    notes += failures[-_SHOWN_FAILURES:]
    if call.failure is not None and call.state is not CallState.DONE and not _says(notes, str(call.failure)):
        notes.append(str(call.failure))
    if call.kind is Kind.NESTED:
        notes.append(" ".join(filter(None, ("nested: saga show", options, positional(f"{id}~{call.call}")))))
    if payloads:
        shown = (("input", call.input), ("output", call.output))
        notes += [f"{name:<8} {payload}" for name, payload in shown if payload is not None]
    return Row(call.registered_at, call.name, call.state.value, attempts + took, tuple(notes))


def _says(notes: list[str], failure: str) -> bool:
    return bool(notes) and notes[-1].endswith(failure)
