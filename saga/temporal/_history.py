"""The journal of an instance, read from the events of its history alone: without its class, without a worker."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from temporalio.api.enums.v1 import EventType

from saga.errors import JournalCorruptError, SagaError, UnknownSagaError
from saga.kernel import Fact, Instance, SagaStarted, decode_fact, taken_over
from saga.kernel import facts as f

from ._asking import asked
from ._carried import carried_by
from ._definitions import remembered_in
from ._events import answer_in, decrypted, notes_in, raw_in, raws_in, scheduled_in, time_of, update_in
from ._following import decision_in, outcome, request
from ._nested import cancellation, start_of
from ._payloads import note_of, text_of
from ._telling import CANCEL, DECIDE, REFUSED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from temporalio.api.history.v1 import HistoryEvent
    from temporalio.client import Client
    from temporalio.common import RawValue

    from ._events import Scheduled
    from ._following import Follows

__all__ = ("history_of", "journal_of", "started_in")


async def history_of(client: Client, id: str, *, run_id: str | None = None) -> list[Fact]:
    """Return the journal of an instance as its history on the server tells it.

    It needs neither the saga class nor a worker, and works for an instance that runs, has ended, was terminated or
    timed out, or whose workflow tasks fail. Where a history went on in a new run, that run starts with the journal of
    the runs before it.

    It is what the workflow itself tells as its journal, except that

    - what the last workflow task concluded is missing where that task asked for nothing: that recovery has begun
      while it only waits for an activity to stop, say, or a timer that fired and led to nothing,
    - the input is missing of a call that was registered and never scheduled,
    - what has happened since the last workflow task is in it, each with the time of its event; an answer to a
      decision that came as a signal is among that taken as one that fits.

    Args:
        client: A connected client.
        id: Id of the instance.
        run_id: A run of the workflow; the last one if None.

    Raises:
        UnknownSagaError: if the server has no such instance.
        ServerError: if the server or its namespace cannot be reached.
        JournalCorruptError: if facts are missing between others.
        JournalVersionError: if a newer version of the library wrote the history.
    """
    history = await asked(client.get_workflow_handle(id, run_id=run_id).fetch_history(), id)
    return journal_of(await decrypted(history.events, client.data_converter.payload_codec))


def journal_of(events: Sequence[HistoryEvent]) -> list[Fact]:
    """Return the facts that the events of one run tell, in order; payloads are as they were before any codec.

    Raises:
        UnknownSagaError: if these are not the events of a workflow from its first on.
        JournalCorruptError: if facts are missing between others.
        JournalVersionError: if a newer version of the library wrote them.
    """
    if not events or not events[0].HasField("workflow_execution_started_event_attributes"):
        msg = "these are not the events of a workflow from its start on; fetch its whole history"
        raise UnknownSagaError(msg)
    return _Journal(_Reading(events)).facts


def started_in(event: HistoryEvent) -> SagaStarted:
    """Return the first fact of a journal, from the first event of a run."""
    first = journal_of([event])[0]
    assert isinstance(first, SagaStarted)  # noqa: S101 - the fold takes no other
    return first


@dataclass(slots=True)
class _Outside:
    """Something from outside, told by an event.

    Attributes:
        at: When a workflow task took it in; until one has, when it happened.
        follows: Makes the fact that follows from it.
        placed: Whether it is in the journal, or nothing follows from it.
    """

    at: datetime
    follows: Follows
    placed: bool = False


class _Reading:
    """What the events of one run say, before it is put in order.

    Attributes:
        notes: What rode along with what the workflow asked for.
        inputs: Input of each activity, by call.
        outside: Everything from outside, in order.
        by_key: The same, by what notes refer to it with.
        updates: Payload of the request in each update that has one, by the update's id.
    """

    def __init__(self, events: Sequence[HistoryEvent]) -> None:
        self.first, self.last = events[0], events[-1]
        self.start = self.first.workflow_execution_started_event_attributes
        self.notes: list[list[Any]] = []
        self.inputs: dict[str, str] = {}
        self.outside: list[_Outside] = []
        self.by_key: defaultdict[str, deque[_Outside]] = defaultdict(deque)
        self.updates: dict[str, str] = {}
        self._scheduled: dict[int, Scheduled] = {}
        self._arrived: list[_Outside] = []  # since the last workflow task that was completed
        self._taken: tuple[int, datetime] = (0, time_of(self.first))
        for event in events:
            self._read(event)
        self.notes.sort(key=lambda note: note[0])

    def _read(self, event: HistoryEvent) -> None:
        self._mark_time(event)
        scheduled = scheduled_in(event, self.start)
        if scheduled is not None:
            self._scheduled[event.event_id] = scheduled
            self.inputs.setdefault(scheduled.call.name, scheduled.call.input)
        self.notes += notes_in(event)
        update = update_in(event)
        if update is not None and update[1] is not None:
            self.updates[update[0]] = update[1]
        answer = answer_in(event, self._scheduled)
        if answer is not None:
            self._arrive(answer[0].name, event, outcome(*answer))
        elif event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED:
            why = event.workflow_execution_cancel_requested_event_attributes.cause
            self._arrive(CANCEL, event, request(lambda instance: cancellation(why, instance.parent)))
        elif event.workflow_execution_signaled_event_attributes.signal_name == "decide":
            raws = raws_in(event.workflow_execution_signaled_event_attributes.input)
            self._arrive(DECIDE, event, request(lambda _: decision_in(raws)))

    def _arrive(self, key: str, event: HistoryEvent, follows: Follows) -> None:
        one = _Outside(time_of(event), follows)
        self.outside.append(one)
        self.by_key[key].append(one)
        self._arrived.append(one)

    def _mark_time(self, event: HistoryEvent) -> None:
        """Give what arrived the time of the workflow task that took it in, as the workflow does."""
        if event.HasField("workflow_task_started_event_attributes"):
            self._taken = len(self._arrived), time_of(event)
        elif event.HasField("workflow_task_completed_event_attributes"):
            count, at = self._taken
            for one in self._arrived[:count]:
                one.at = at
            del self._arrived[:count]


class _Journal:
    """The facts, in order.

    Attributes:
        facts: All of them.
    """

    def __init__(self, reading: _Reading) -> None:
        self.facts: list[Fact] = []
        self._instance = Instance()
        self._reading = reading
        self._begin()
        count = 0
        for number, *entries in reading.notes:
            if number > count:
                raise self._damaged(f"{number - count} facts are missing after the first {count} of this run")
            count = number + len(entries)
            for entry in entries:
                self._put(entry)
        self._finish()

    def _begin(self) -> None:
        """Take over the journal that the run started with, or what the start says where nothing else tells it."""
        start = self._reading.start
        note, text = start_of(raws_in(start.input))
        if note.carried:
            for fact in carried_by(raws_in(start.input)[0]):
                self._add(fact)
        elif not self._reading.notes:
            known = remembered_in(start.memo.fields)
            self._add(
                SagaStarted(
                    at=time_of(self._reading.first),
                    saga=start.workflow_type.name,
                    id=start.workflow_id,
                    fingerprint="" if known is None else known.fingerprint,
                    parent=note.parent,
                    handed_over=note.handed_over or None,
                    payload=text,
                )
            )

    def _put(self, entry: Any) -> None:  # of a note
        if isinstance(entry, str):
            self._refer(entry)
        elif isinstance(entry, dict):
            fact = decode_fact(json.dumps(entry))
            self._add(_with(fact, self._beside(fact)))
        elif len(entry) == 1:
            fact = decode_fact(json.dumps(entry[0]))
            self._add(_with(fact, self._reading.inputs.get(getattr(fact, "call", ""))))
        else:
            self._add(decode_fact(json.dumps(entry[0]), self._payload(entry[1])))

    def _payload(self, told: str | dict[str, str]) -> str:
        if isinstance(told, str):
            return told
        known = self._reading.updates.get(told["update"])
        if known is None:
            raise self._damaged(f"no event holds the update {told['update']}")
        return known

    def _damaged(self, text: str) -> JournalCorruptError:
        start = self._reading.start
        msg = f"{start.workflow_type.name} {start.workflow_id}: its history does not tell the whole journal, {text}"
        return JournalCorruptError(f"{msg}. See what `temporal workflow show` has, and compensate by hand")

    def _refer(self, entry: str) -> None:
        waiting = self._reading.by_key[DECIDE if entry == REFUSED else entry]
        if waiting:
            one = waiting.popleft()
            one.placed = True
            if entry != REFUSED:
                self._follow(one)

    def _beside(self, fact: Fact) -> str | None:
        """Return the payload that the first event, or the last, holds of a fact."""
        if isinstance(fact, SagaStarted):
            return start_of(raws_in(self._reading.start.input))[1]
        if not isinstance(fact, f.SagaCompleted):
            return None
        raw = raw_in(self._reading.last.workflow_execution_completed_event_attributes.result)
        text = _text(raw)
        return taken_over(text)[0] if raw is not None and note_of(raw).get("adopted") else text

    def _finish(self) -> None:
        """Add what no note refers to: what came last."""
        for one in self._reading.outside:
            if not one.placed:
                self._follow(one)
        if self._reading.last.HasField("workflow_execution_completed_event_attributes") and not self._instance.ended:
            fact = f.SagaCompleted(at=self._instance.last_at)
            self._add(_with(fact, self._beside(fact)))

    def _follow(self, one: _Outside) -> None:
        fact = None if self._instance.ended else one.follows(self._instance, max(one.at, self._instance.last_at))
        if fact is not None:
            self._add(fact)

    def _add(self, fact: Fact) -> None:
        self._instance.fold(fact)
        self.facts.append(fact)


def _text(raw: RawValue | None) -> str:
    try:
        return "null" if raw is None else text_of(raw)
    except SagaError:
        return ""  # as the workflow takes what is no JSON


def _with(fact: Fact, payload: str | None) -> Fact:
    return fact if payload is None else fact.model_copy(update={"payload": payload})
