"""Writes the reference pages that follow from the code: `python docs/generate.py`; a test compares them."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import get_args

from saga import errors
from saga.kernel import _facts as facts
from saga.kernel import states_diagram
from saga.kernel._states import CALL_TRANSITIONS

REFERENCE = Path(__file__).parent / "reference"

_GROUPS = {
    "The author of a saga class": (
        "SagaDefinitionError",
        "StepOrderError",
        "NotDeterministicError",
        "ReplayMismatchError",
    ),
    "The business said something": (
        "StepRejected",
        "StepInDoubt",
        "SuspendedError",
        "SagaAborted",
        "DecisionTimedOut",
    ),
    "How an instance ended": ("SagaCompensatedError", "SagaStuckError"),
    "The operator": ("ActRefusedError",),
    "The platform": (
        "JournalError",
        "JournalWriteError",
        "ForeignJournalError",
        "JournalVersionError",
        "JournalReadOnlyError",
        "JournalLockedError",
        "JournalCorruptError",
        "JournalOrderError",
        "EngineClosedError",
        "OwnershipLostError",
        "MissingExtraError",
    ),
}


def errors_page() -> str:
    """Return the page of all errors, grouped by who has to act; whatever has no group is the caller's."""
    named = {name for names in _GROUPS.values() for name in names}
    caller = [name for name in errors.__all__ if name.endswith("Error") and name not in named and name != "SagaError"]
    groups = {**_GROUPS, "The caller": tuple(caller)}
    lines = [
        "# Errors",
        "",
        "Every error of this library is a `SagaError`. They are grouped by who has to act;",
        "a message names saga, step and state, and says what to do next.",
        "",
    ]
    for group, names in groups.items():
        lines += [f"## {group}", "", "| error | when |", "| --- | --- |"]
        lines += [f"| `{name}` | {_summary(getattr(errors, name))} |" for name in names]
        lines.append("")
    return "\n".join(lines)


def facts_page() -> str:
    """Return the page of all facts and of the two tables of states."""
    lines = [
        "# Facts and states",
        "",
        "The journal of an instance is a list of facts. Each is a small JSON object, with its time and a name in the",
        "past tense, and may have a payload: JSON text beside it.",
        "",
        "An *input* comes from outside; a *consequence* is what the rules concluded from it, and a replay must",
        "conclude the same; a *note* is for readers only.",
        "",
    ]
    for kind in facts.FactKind:
        lines += [f"## {kind.value.capitalize()}s", "", "| fact | meaning | fields |", "| --- | --- | --- |"]
        for fact in get_args(facts.Fact):
            if fact.role_in_replay is kind:
                fields = ", ".join(f"`{name}`" for name in fact.model_fields if name not in {"at", "fact", "payload"})
                lines.append(f"| `{fact.__name__}` | {_summary(fact)} | {fields} |")
        lines.append("")
    lines += ["## States of an instance", "", "```mermaid", states_diagram().rstrip(), "```", ""]
    lines += ["## States of a call", "", "| from | event | to |", "| --- | --- | --- |"]
    for (state, event), after in CALL_TRANSITIONS.items():
        lines.append(f"| {state.value if state else '(not registered)'} | {event} | {after.value} |")
    return "\n".join(lines) + "\n"


def _summary(thing: object) -> str:
    return (inspect.getdoc(thing) or "").split("\n\n")[0].replace("\n", " ")


PAGES = {"errors.md": errors_page, "facts.md": facts_page}


def main() -> None:
    """Write every page."""
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page(), encoding="utf8")


if __name__ == "__main__":
    main()
