"""Writes the reference pages that follow from the code: `python docs/generate.py`; a test compares them."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import saga
from saga import errors, testing
from saga.kernel import _facts as facts
from saga.kernel import participant as stand_in
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


_API = {
    "Writing a saga": (
        "Saga", "participant", "Compensatable", "Pivot", "Retriable", "ReadOnly", "Nested", "Decision", "Retry",
    ),
    "Inside an activity": ("current_step", "Effect", "Happened", "DidNotHappen", "AskAgain"),
    "Running sagas": ("EmbeddedEngine", "SagaHandle", "SagaView", "SagaState"),
}  # fmt: skip


def python_page() -> str:
    """Return the page of what application code imports, made of signatures and docstrings."""
    lines = ["# Python", "", "What application code imports. Errors have [a page of their own](errors.md).", ""]
    for title, names in _API.items():
        lines += [f"## {title}", "", f"From `saga`: {', '.join(f'`{name}`' for name in names)}.", ""]
        for name in names:
            lines += _described(name, stand_in if name == "participant" else getattr(saga, name))
    for title, room in (("Testing", testing), ("Inside a participant", participant_room())):
        names = [name for name in room.__all__ if not name.endswith("Error")]
        lines += [f"## {title}", "", f"From `{room.__name__}`: {', '.join(f'`{name}`' for name in names)}.", ""]
        for name in names:
            lines += _described(name, getattr(room, name))
    return "\n".join(lines).rstrip() + "\n"


def _described(name: str, thing: Any) -> Iterator[str]:
    yield from (f"### {name}", "", *_body(name, thing))
    if inspect.isclass(thing):
        for member in dict.fromkeys(one for cls in thing.__mro__ if _ours(cls) for one in vars(cls)):
            found: Any = inspect.getattr_static(thing, member)
            value: Any = getattr(found, "__func__", found)
            if not member.startswith("_") and inspect.isfunction(value) and value.__doc__:
                yield from (f"#### {name}.{member}", "", *_body(member, value))


def _ours(cls: type) -> bool:
    return cls.__module__.startswith("saga.")


def _body(name: str, thing: Any) -> Iterator[str]:
    if callable(thing) and not (inspect.isclass(thing) and issubclass(thing, str)):
        with suppress(TypeError, ValueError):  # what pydantic made may have none
            yield from ("```text", _signature(name, thing), "```", "")
    yield from _text(inspect.getdoc(thing) or "")


def _signature(name: str, thing: Callable[..., object]) -> str:
    whole = re.sub(r"\((?:self|cls)(?:: \w+)?(?:, )?", "(", f"{name}{inspect.signature(thing)}")
    whole = re.sub(r"<object object at \w+>", "...", whole)
    whole = whole.replace("= ''", '= ""').replace("'", "").replace("datetime.timedelta", "timedelta")
    return "\n".join(textwrap.wrap(whole, 116, subsequent_indent="    ", break_long_words=False))


def _text(doc: str) -> Iterator[str]:
    """Turn a docstring into Markdown; its example stays where tests run it."""
    for part in doc.split("\n\n"):
        title, _, rest = part.partition("\n")
        if title in {"Args:", "Attributes:", "Raises:", "Returns:", "Yields:"}:
            yield from (f"*{title.removesuffix(':')}*", "")
            yield from (f"- {line}" for line in _items(rest))
            yield ""
        elif not title.startswith("Example") and ">>>" not in part:
            yield from (" ".join(part.split("\n")), "")


def _items(text: str) -> list[str]:
    items: list[str] = []
    for line in textwrap.dedent(text).splitlines():
        if line.startswith(" ") and items:
            items[-1] += " " + line.strip()
        else:
            items.append(re.sub(r"^([\w.]+): ", r"`\1`: ", line))
    return items


def participant_room() -> ModuleType:
    """Return the room `saga.participant`, whose name at the front door is the function."""
    return import_module("saga.participant")


def _summary(thing: object) -> str:
    return (inspect.getdoc(thing) or "").split("\n\n")[0].replace("\n", " ")


PAGES = {"errors.md": errors_page, "facts.md": facts_page, "python.md": python_page}


def main() -> None:
    """Write every page."""
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page(), encoding="utf8")


if __name__ == "__main__":
    main()
