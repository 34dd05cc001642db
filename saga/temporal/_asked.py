"""What a workflow asks for in one of its tasks: as its history holds it, and as a replay does it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from temporalio.common import RawValue

from saga.errors import SagaError
from saga.kernel import Role, split_role, step_of

from ._activities import CHILD_RESULT
from ._events import told_in
from ._payloads import text_of
from ._telling import told_by

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from temporalio.api.common.v1 import Payload
    from temporalio.api.history.v1 import HistoryEvent
    from temporalio.api.sdk.v1 import UserMetadata
    from temporalio.bridge.proto.workflow_commands import WorkflowCommand
    from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion

    from saga.kernel import Definition

__all__ = ("Asked", "Kinds", "Tasks", "asked_by", "kinds_by", "kinds_in", "misfit", "tasks_in")


@dataclass(frozen=True, slots=True)
class Asked:
    """Something that a workflow asks for.

    Attributes:
        kind: `call`, `wait for` or `end`.
        name: The call; what a timer is for; how the workflow ends.
        event: Its event in the history, or 0.
        input: What a call is given, as JSON text; None where it is not to be read.
    """

    kind: str
    name: str
    event: int = 0
    input: str | None = None

    def fits(self, other: Asked) -> bool:
        """Tell whether a replay that asks for the other goes on; for what a timer is, nobody compares."""
        return self.kind == other.kind and (self.kind == "wait for" or self.name == other.name)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


Tasks: TypeAlias = dict[int, list[Asked]]
"""What each workflow task asked for, by the event that started it."""
Kinds: TypeAlias = dict[str, str]
"""The kind that each call was registered with."""


def misfit(old: Asked | None, new: Asked | None, definition: Definition, kinds: tuple[Kinds, Kinds]) -> Misfit | None:
    """Return what is recorded and what a replay does, in a few words and without payloads; None where they fit.

    Args:
        old: What is recorded; None for nothing more.
        new: What the replay asks for; None for nothing more.
        definition: Today's code.
        kinds: Kinds of calls: as they were recorded, and as they are now.
    """
    if old is None or new is None or not old.fits(new):
        return str(old or _NO_MORE), str(new or _NO_MORE)
    was, now = (known.get(new.name) for known in kinds)
    if was is not None and now is not None and was != now:
        return f"{old} ({was})", f"{new} ({now})"
    return None if _same_input(old, new, definition) else (str(old), f"{new} with another input")


Misfit: TypeAlias = tuple[str, str]
_NO_MORE: Final = "nothing more in this workflow task"
_COMPARED: Final = frozenset({Role.ACTION, Role.PROBE})
"""Roles whose inputs `run` gives. What others are given follows from these, and recovery keeps what was recorded."""


def _same_input(old: Asked, new: Asked, definition: Definition) -> bool:
    if old.kind != "call" or old.input is None or new.input is None or old.input == new.input:
        return True
    call, role = split_role(new.name)
    return role not in _COMPARED or definition.step(step_of(call)).roles[role].takes.same(old.input, new.input)


def kinds_in(events: Iterable[HistoryEvent]) -> Kinds:
    """Return with which kinds the calls of a history were registered."""
    return _kinds(told_in(event) for event in events)


def kinds_by(completion: WorkflowActivationCompletion) -> Kinds:
    """Return with which kinds a replayed task registers calls."""
    return _kinds(told_by(one) for command in completion.successful.commands for one in _notable(command))


def _kinds(notes: Iterable[Sequence[Any]]) -> Kinds:
    kinds: Kinds = {}
    for note in notes:
        for entry in note[1:]:
            fact: Mapping[str, Any] = {} if isinstance(entry, (str, dict)) else entry[0]
            if fact.get("kind"):
                kinds[fact["call"]] = fact["kind"] + (", the point of no return" if fact.get("commits") else "")
    return kinds


def _notable(command: WorkflowCommand) -> Iterator[Payload]:
    yield command.user_metadata.summary
    yield from command.schedule_activity.arguments
    yield from command.start_child_workflow_execution.input
    yield from command.modify_workflow_properties.upserted_memo.fields.values()
    yield command.update_response.completed


def tasks_in(events: Iterable[HistoryEvent], id: str) -> Tasks:
    """Return what every completed workflow task of a history asked for."""
    tasks: Tasks = {}
    completed: dict[int, list[Asked]] = {}
    for event in events:
        if event.HasField("workflow_task_completed_event_attributes"):
            started = event.workflow_task_completed_event_attributes.started_event_id
            completed[event.event_id] = tasks.setdefault(started, [])
        name = event.WhichOneof("attributes") or ""
        if name in _EVENTS:
            attributes: Any = getattr(event, name)
            asked = _asked(_EVENTS[name], attributes, event.user_metadata, id, event.event_id)
            completed.get(attributes.workflow_task_completed_event_id, []).append(asked)
    return tasks


def asked_by(completion: WorkflowActivationCompletion, id: str) -> list[Asked] | None:
    """Return what a replayed task asks for; None where it took a call back at once, and more may come of that."""
    found: dict[object, Asked] = {}
    for number, command in enumerate(completion.successful.commands):
        name = command.WhichOneof("variant") or ""
        attributes: Any = getattr(command, name, None)
        if name == "cancel_timer":
            found.pop(("start_timer", attributes.seq), None)
        elif name == "request_cancel_activity" and ("schedule_activity", attributes.seq) in found:
            return None
        elif name in _COMMANDS:
            key = (name, getattr(attributes, "seq", number))
            found[key] = _asked(_COMMANDS[name], attributes, command.user_metadata, id)
    return list(found.values())


_EVENTS: Final[Mapping[str, str]] = {
    "activity_task_scheduled_event_attributes": "activity",
    "start_child_workflow_execution_initiated_event_attributes": "child",
    "timer_started_event_attributes": "timer",
    "workflow_execution_completed_event_attributes": "completed",
    "workflow_execution_failed_event_attributes": "not completed",
    "workflow_execution_continued_as_new_event_attributes": "continued in a new run",
}
_COMMANDS: Final[Mapping[str, str]] = {
    "schedule_activity": "activity",
    "start_child_workflow_execution": "child",
    "start_timer": "timer",
    "complete_workflow_execution": "completed",
    "fail_workflow_execution": "not completed",
    "continue_as_new_workflow_execution": "continued in a new run",
}


def _asked(kind: str, attributes: Any, beside: UserMetadata, id: str, event: int = 0) -> Asked:
    if kind == "activity":
        name = getattr(attributes.activity_type, "name", attributes.activity_type)  # of an event, or of a command
        first = None if name == CHILD_RESULT else _input(attributes)  # which is given the id of the child
        return Asked("call", attributes.activity_id, event, first)
    if kind == "child":
        return Asked("call", attributes.workflow_id.removeprefix(f"{id}~"), event, _input(attributes))
    if kind == "timer":
        return Asked("wait for", _plain(beside), event)
    return Asked("end:", kind, event)


def _plain(beside: UserMetadata) -> str:
    try:
        return str(json.loads(beside.summary.data))
    except ValueError:  # a codec's
        return "a timer"


def _input(attributes: Any) -> str | None:  # of an event or of a command
    given = attributes.arguments if hasattr(attributes, "arguments") else attributes.input
    try:
        return text_of(RawValue(next(iter(getattr(given, "payloads", given)))))
    except (SagaError, StopIteration):
        return None
