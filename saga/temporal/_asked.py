"""What a workflow asks for in one of its tasks: as its history holds it, and as a replay does it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from temporalio.api.history.v1 import HistoryEvent
    from temporalio.api.sdk.v1 import UserMetadata
    from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion

__all__ = ("Asked", "Tasks", "asked_by", "tasks_in")


@dataclass(frozen=True, slots=True)
class Asked:
    """Something that a workflow asks for.

    Attributes:
        kind: `call`, `wait for` or `end`.
        name: The call; what a timer is for; how the workflow ends.
        event: Its event in the history, or 0.
    """

    kind: str
    name: str
    event: int = 0

    def fits(self, other: Asked) -> bool:
        """Tell whether a replay that asks for the other goes on; for what a timer is, nobody compares."""
        return self.kind == other.kind and (self.kind == "wait for" or self.name == other.name)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


Tasks: TypeAlias = dict[int, list[Asked]]
"""What each workflow task asked for, by the event that started it."""


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
        return Asked("call", attributes.activity_id, event)
    if kind == "child":
        return Asked("call", attributes.workflow_id.removeprefix(f"{id}~"), event)
    if kind == "timer":
        return Asked("wait for", _plain(beside), event)
    return Asked("end:", kind, event)


def _plain(beside: UserMetadata) -> str:
    try:
        return str(json.loads(beside.summary.data))
    except ValueError:  # a codec's
        return "a timer"
