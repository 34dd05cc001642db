"""What rides along with a workflow's commands, so that its history alone tells the whole journal.

Events tell what was asked from outside and how activities ended. They do not tell what the rules concluded from it:
which call is the pivot, what `run` waits for, why recovery started. So every command that carries a payload carries,
in the payload's metadata, the facts that were recorded since the one before it. No event more is written for it, a
codec that encrypts payloads encrypts it too, and a replay, which compares commands, never looks at it.

What an event tells by itself is only referred to there, so that the journal keeps its order and no payload is stored
twice. What was set and taken back in one workflow task leaves no event, so its note rides again with what comes next.
A note is a JSON list: how many entries came before it in this run, and its entries:

    "debit.1"               the outcome of this call, as the event of its activity tells it
    "!cancel", "!decide"    the cancellation of the workflow; a decision that came as a signal
    "!refused"              a signal that was refused, from which no fact follows
    {...}                   a fact without a payload, or with one that the first or last event holds
    [{...}]                 a registration; its payload is the input of its activity
    [{...}, "..."]          a fact and its payload
    [{...}, {"update": id}] a fact whose payload is that of the request in an update
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.worker import Interceptor, WorkflowInboundInterceptor, WorkflowOutboundInterceptor

from saga.kernel import Role, encode_fact, role_name
from saga.kernel import facts as f

from ._definitions import KEY
from ._nested import BUDGET
from ._payloads import to_raw

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from temporalio.worker import (
        StartActivityInput,
        StartChildWorkflowInput,
        WorkflowInterceptorClassInput,
    )

    from saga.kernel import Fact

__all__ = ("CANCEL", "DECIDE", "REFUSED", "Telling", "TellingInterceptor", "notes_by", "told_by")

CANCEL: Final = "!cancel"
DECIDE: Final = "!decide"
REFUSED: Final = "!refused"

_NOTE: Final = "saga-facts"
_AGAIN: Final = "saga-facts-again"
_OUTCOMES = (f.CallDone, f.CallRejected, f.CallInDoubt)
_REQUESTS = (f.CancelRequested, f.DecisionAnswered, f.DecisionIgnored)
_BESIDE = (f.SagaStarted, f.SagaCompleted)


class Telling:
    """Keeps what the history of one run does not tell yet."""

    def __init__(self) -> None:
        self._untold: list[str] = []
        self._again: list[Any] = []  # notes
        self._told = 0
        self._scheduled: set[str] = set()
        self._event: str | None = None
        self._update: tuple[str, str | None] | None = None

    def take(self, facts: Sequence[Fact]) -> None:
        """Take note of facts that were recorded."""
        self._untold += [self._entry(fact) for fact in facts]

    def scheduled(self, call: str) -> None:
        """Take note that events will tell the outcome of a call."""
        self._scheduled.add(call)

    @contextmanager
    def by(self, event: str | None) -> Generator[None]:
        """Let the fact of a request that is an event of its own only be referred to."""
        self._event = event
        try:
            yield
        finally:
            self._event = None

    @contextmanager
    def asked_by(self, update: str, payload: str | None) -> Generator[None]:
        """Let the payload of a request, which the event of an update holds, only be referred to."""
        self._update = update, payload
        try:
            yield
        finally:
            self._update = None

    def refused(self) -> None:
        """Take note that no fact follows from a signal."""
        self._untold.append(json.dumps(REFUSED))

    def tell_at_the_end(self, raw: RawValue) -> RawValue:
        """Return a result, as plain as any workflow's if events tell everything that was not told yet.

        Many a tool shows a payload with more in its metadata than an encoding as raw bytes.
        """
        before_the_end = self._untold[:-1]
        return self.tell(raw) if self._again or any(not one.startswith('"') for one in before_the_end) else raw

    def tell(self, raw: RawValue) -> RawValue:
        """Return a payload with everything that was not told yet."""
        notes: dict[str, bytes] = {}
        if self._untold:
            notes[_NOTE] = f"[{self._told},{','.join(self._untold)}]".encode()
        if self._again:
            notes[_AGAIN] = json.dumps(self._again, ensure_ascii=False).encode()
        self._told += len(self._untold)
        self._untold.clear()
        self._again.clear()
        if not notes:
            return raw
        return RawValue(Payload(metadata={**raw.payload.metadata, **notes}, data=raw.payload.data))

    def taken_back(self, raw: RawValue, since: int, call: str = "") -> None:
        """Tell again what was told by something that was asked for and taken back, if no event came of it.

        Args:
            raw: The payload that told it.
            since: Length of the history when it was asked for: a workflow task that goes on has the same.
            call: The call that was to be performed, if it was one.
        """
        if workflow.info().get_current_history_length() == since:
            self._scheduled.discard(call)
            notes = notes_by(raw.payload)
            for entry in (entry for note in notes for entry in note[1:]):
                if isinstance(entry, list) and len(entry) == 1 and entry[0]["call"] == call:  # pyright: ignore[reportUnknownArgumentType]
                    entry.append(raw.payload.data.decode())  # pyright: ignore[reportUnknownMemberType]  # no event has it
            self._again += notes

    def _entry(self, fact: Fact) -> str:
        reference = self._reference(fact)
        if reference is not None:
            return json.dumps(reference)
        body = encode_fact(fact)
        if fact.payload is None or isinstance(fact, _BESIDE):
            return body
        if isinstance(fact, f.CallRegistered):
            return f"[{body}]"
        if self._update is not None and self._update[1] == fact.payload:
            return f"[{body},{json.dumps({'update': self._update[0]})}]"
        return f"[{body},{json.dumps(fact.payload, ensure_ascii=False)}]"

    def _reference(self, fact: Fact) -> str | None:
        """Return the event that tells a fact; None where none does, as of a call that was never scheduled."""
        if isinstance(fact, f.CallProbed):
            return role_name(fact.call, Role.PROBE)
        if isinstance(fact, _OUTCOMES) and fact.call in self._scheduled:
            self._scheduled.discard(fact.call)
            return fact.call
        if self._event is not None and isinstance(fact, _REQUESTS):
            event, self._event = self._event, None
            return event
        return None


def told_by(payload: Payload) -> list[Any]:
    """Return the note that rides with a payload: the number before it, and its entries; empty where there is none."""
    note = payload.metadata.get(_NOTE)
    return json.loads(note) if note else []


def notes_by(payload: Payload) -> list[list[Any]]:
    """Return all notes that ride with a payload, those that ride again among them."""
    again, note = payload.metadata.get(_AGAIN), told_by(payload)
    return [*(json.loads(again) if again else []), *([note] if note else [])]


class TellingInterceptor(Interceptor):
    """Lets activities and children of sagas carry what the history does not tell; other workflows stay as they are."""

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:
        """Return the class of which every workflow gets one."""
        _ = input
        return _Inbound


class _Inbound(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_Outbound(outbound))


class _Outbound(WorkflowOutboundInterceptor):
    def start_activity(self, input: StartActivityInput) -> workflow.ActivityHandle[Any]:
        call = input.activity_id or ""
        telling = _tell(input, call)
        handle = super().start_activity(input)
        if telling is not None:
            taken_back = partial(telling.taken_back, input.args[0], workflow.info().get_current_history_length(), call)
            handle.add_done_callback(lambda _: taken_back())
        return handle

    async def start_child_workflow(self, input: StartChildWorkflowInput) -> workflow.ChildWorkflowHandle[Any, Any]:
        _tell(input, input.id.removeprefix(f"{workflow.info().workflow_id}~"))
        known = getattr(workflow.instance(), "remembers", {}).get(input.workflow)
        if known is not None:
            budget: int | None = getattr(workflow.instance(), "budget", None)
            input.memo = {**(input.memo or {}), KEY: {**known.model_dump(mode="json"), BUDGET: budget}}
        return await super().start_child_workflow(input)


def _tell(input: StartActivityInput | StartChildWorkflowInput, call: str) -> Telling | None:
    telling = getattr(workflow.instance(), "telling", None)
    if not isinstance(telling, Telling):
        return None
    telling.scheduled(call)
    first, *others = input.args
    raw = first if isinstance(first, RawValue) else to_raw(json.dumps(first))
    input.args = [telling.tell(raw), *others]
    return telling
