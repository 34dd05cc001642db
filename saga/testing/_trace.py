"""What happened in one simulated run, in order: attempts, effects, crashes, requests, and what became durable."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from saga.kernel import CallState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

__all__ = ("ACTS", "LATE", "Event", "EventKind", "Trace")


class EventKind(StrEnum):
    """Kinds of events. The journal's facts are events too, once they are durable."""

    DURABLE = "durable"
    BEGAN = "began"
    ACTED = "acted"
    ACTED_LATE = "acted late"
    ACTED_BY_HAND = "acted by hand"
    ACTED_BY_FORMER = "acted by the former owner"
    ANSWERED = "answered"
    GIVEN_UP = "given up"
    STOPPED = "stopped"
    ASKED = "asked"
    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    CRASHED = "crashed"
    LEFT = "left"
    PAUSED = "paused"
    WOKE = "woke"
    FLUSH_FAILED = "flush failed"
    TAKEN_OVER = "taken over"
    PREVENTED = "prevented"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes:
        kind: What kind of thing.
        at: When, in virtual time.
        instance: Id of the instance it happened to; empty for the whole process.
        target: Whose activity it is, such as `debit.1/compensation`; a child's call is `pay.1/debit.1`.
        name: The same as the instance itself calls it.
        number: Of the attempt, from 1; for DURABLE the number of the first fact.
        durable: How many facts of the instance were durable then; for DURABLE afterwards.
        state: What an attempt came to; IN_DOUBT where it gave no answer.
        text: Anything else, for the reader.
        key: The idempotency key that the activity saw.
        output: What the activity returned, JSON text.
        recorded: Whether a barrier recorded the rejection.
    """

    kind: EventKind
    at: datetime
    instance: str = ""
    target: str = ""
    name: str = ""
    number: int = 0
    durable: int = 0
    state: CallState | None = None
    text: str = ""
    key: str = ""
    output: str | None = None
    recorded: bool = False


LATE: Final = frozenset({EventKind.ACTED_LATE, EventKind.ACTED_BY_FORMER})
"""Acts that nobody waits for any more."""
ACTS: Final = LATE | {EventKind.ACTED, EventKind.ACTED_BY_HAND}
"""Everything by which an activity may change the world."""


@dataclass(slots=True)
class Trace:
    """The events of one run."""

    events: list[Event] = field(default_factory=list[Event])

    def add(self, event: Event) -> None:
        """Take note of an event."""
        self.events.append(event)

    def of(self, *kinds: EventKind) -> Iterator[Event]:
        """Yield the events of some kinds."""
        return (event for event in self.events if event.kind in kinds)

    def effects(self, target: str) -> list[Event]:
        """Return when an activity really did what it does, in order."""
        return [
            event
            for event in self.events
            if event.target == target and event.kind in ACTS and event.state is CallState.DONE
        ]
