"""Rules about attempts: when they may begin, what has to be settled before, and how their outcome is recorded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from saga.kernel import NEVER, CallState, Kind, Role, action_key, role_name, split_role
from saga.kernel import facts as f
from saga.testing._ledger import Ledger
from saga.testing._rules import Violation
from saga.testing._script import target_of
from saga.testing._trace import ACTS, EventKind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from saga.kernel import Fact
    from saga.testing._run import Run
    from saga.testing._trace import Event

__all__ = ("attempts_rules",)

_EFFECTS: Final = ACTS | {EventKind.BEGAN}
_ENDS_ATTEMPTS: Final = frozenset({EventKind.CRASHED, EventKind.LEFT, EventKind.PAUSED, EventKind.FLUSH_FAILED})
_SETTLED_FIRST: Final = frozenset({Role.COMPENSATION, Role.PROBE})


@dataclass(slots=True)
class _Tried:
    """What is known about the attempts of one activity.

    Attributes:
        open: Whether an attempt is being made.
        last: What the last attempt that answered said.
        recorded: Whether a barrier recorded that.
        unanswered: How many attempts ended without an answer.
        given_up: When an attempt was last given up, so that it may act after that.
        taken_over: Whether an owner found it in flight, and cannot know whether it was attempted.
        instance: Id of the instance that makes them.
        backward: How many attempts began after backward recovery had begun.
    """

    open: bool = False
    taken_over: bool = False
    backward: int = 0
    instance: str = ""
    last: CallState | None = None
    recorded: bool = False
    unanswered: int = 0
    given_up: datetime | None = None

    def begin(self, instance: str) -> None:
        self.open, self.instance = True, instance

    def give_up(self, at: datetime) -> None:
        self.open = False
        self.last = CallState.IN_DOUBT
        self.unanswered += 1
        self.given_up = at


@dataclass(slots=True)
class _Reading:
    """Walks through the events of a run, with the journals as they were at each event."""

    run: Run
    ledgers: dict[str, Ledger] = field(default_factory=dict[str, Ledger])
    tried: dict[str, _Tried] = field(default_factory=dict[str, _Tried])
    keys: dict[str, str] = field(default_factory=dict[str, str])

    def ledger(self, instance: str) -> Ledger:
        if instance not in self.ledgers:
            self.ledgers[instance] = Ledger(self.run.world.journals[instance].definition)
        return self.ledgers[instance]

    def of(self, target: str) -> _Tried:
        return self.tried.setdefault(target, _Tried())


def attempts_rules(run: Run) -> Iterator[Violation]:
    """Check every attempt of a run against what was durable when it was made."""
    reading = _Reading(run)
    for event in run.trace.events:
        if event.kind is EventKind.DURABLE:
            yield from _read(reading, event)
        elif event.kind in _EFFECTS:
            yield from _check_key(reading, event)
            if event.kind is EventKind.BEGAN:
                yield from _check_beginning(reading, event)
                reading.of(event.target).begin(event.instance)
        elif event.kind is EventKind.ACKNOWLEDGED and event.durable < event.number:
            yield Violation("S20", f"a request to {event.instance} was acknowledged before it was durable")
        else:
            _note(reading, event)


def _note(reading: _Reading, event: Event) -> None:
    tried = reading.of(event.target) if event.target else None
    if event.kind is EventKind.ANSWERED and tried is not None:
        tried.open, tried.last, tried.recorded = False, event.state, event.recorded
        tried.unanswered += event.state is CallState.IN_DOUBT
    elif event.kind in {EventKind.GIVEN_UP, EventKind.STOPPED} and tried is not None:
        tried.give_up(event.at)
    elif event.kind is EventKind.TAKEN_OVER:
        for entry in reading.ledger(event.instance).in_flight():
            reading.of(target_of(reading.run.world.root, event.instance, entry.name)).taken_over = True
    elif event.kind in _ENDS_ATTEMPTS:
        for one in reading.tried.values():
            if one.open and event.instance in {"", one.instance}:
                one.give_up(event.at)


# -- what became durable ---------------------------------------------------------------


def _read(reading: _Reading, event: Event) -> Iterator[Violation]:
    ledger = reading.ledger(event.instance)
    facts = reading.run.world.journals[event.instance].facts
    if event.number != ledger.position + 1:
        yield Violation("S13", f"fact {event.number} of {event.instance} follows fact {ledger.position}")
    for fact in facts[ledger.position : event.durable]:
        yield from _check_outcome(reading, event.instance, fact)
        ledger.take(fact)


def _check_outcome(reading: _Reading, instance: str, fact: Fact) -> Iterator[Violation]:
    if not isinstance(fact, (f.CallDone, f.CallRejected, f.CallInDoubt)):
        return
    entry = reading.ledger(instance).entries.get(fact.call)
    if entry is None or entry.role is not Role.ACTION or entry.kind is Kind.NESTED:
        return
    tried = reading.of(target_of(reading.run.world.root, instance, fact.call))
    if isinstance(fact, f.CallDone):
        if tried.last is not CallState.DONE:
            yield Violation("S2", f"{fact.call} was recorded as done, but its last attempt was {tried.last}")
    elif isinstance(fact, f.CallInDoubt):
        if not (tried.unanswered or tried.taken_over):
            yield Violation("S2", f"{fact.call} was recorded as in doubt, but every attempt was answered")
    elif tried.unanswered and not tried.recorded:
        yield Violation("S2", f"{fact.call} was recorded as rejected, but an earlier attempt may have acted")


# -- what an attempt needs -------------------------------------------------------------


def _check_key(reading: _Reading, event: Event) -> Iterator[Violation]:
    call, role = split_role(event.name)
    expected = role_name(action_key(event.instance, call), role)
    if event.key != expected:
        yield Violation("S12", f"{event.name} was given the key {event.key}, not {expected}")
    former = reading.keys.setdefault(event.key, event.target)
    if former != event.target:
        yield Violation("S12", f"{event.target} and {former} were given the same key")


def _check_beginning(reading: _Reading, event: Event) -> Iterator[Violation]:
    ledger = reading.ledger(event.instance)
    entry = ledger.entries.get(event.name)
    if entry is None:
        yield Violation("S1", f"an attempt of {event.target} began before its registration was durable")
        return
    if entry.state is not CallState.IN_FLIGHT:
        yield Violation("S20", f"an attempt of {event.target} began although the journal says {entry.state}")
    if reading.of(event.target).open:
        yield Violation("S20", f"an attempt of {event.target} began while another one was being made")
    if entry.role is Role.ACTION and ledger.recovering and entry.kind is not Kind.NESTED:
        yield from _check_last_attempt(reading, event, ledger)
    if entry.role in _SETTLED_FIRST:
        yield from _check_settled(reading, event, ledger)


def _check_last_attempt(reading: _Reading, event: Event, ledger: Ledger) -> Iterator[Violation]:
    """Allow one more attempt of an action that is not asked to stop, because nothing could settle it then (S5)."""
    tried = reading.of(event.target)
    tried.backward += 1
    stoppable = ledger.definition.step(event.name.rpartition(".")[0]).action.policy.settles_after is not NEVER
    if stoppable or tried.backward > 1:
        yield Violation("S6", f"an attempt of {event.target} began although the saga goes backward")


def _check_settled(reading: _Reading, event: Event, ledger: Ledger) -> Iterator[Violation]:
    call, _ = split_role(event.name)
    action = target_of(reading.run.world.root, event.instance, call)
    tried, what = reading.of(action), f"an attempt of {event.target} began"
    if tried.open:
        yield Violation("S5", f"{what} while one of {action} was being made")
    if tried.given_up is None or ledger.entries[call].resolved or _resolved_by_child(reading, action):
        return
    after = ledger.definition.step(call.rpartition(".")[0]).action.policy.settles_after
    if event.at - tried.given_up < after:
        yield Violation("S5", f"{what} although an attempt of {action} may still be acting")


def _resolved_by_child(reading: _Reading, action: str) -> bool:
    """Tell whether an operator said what became of a call while it was still a child's."""
    root = reading.run.world.root
    return any(
        entry.resolved and target_of(root, instance, entry.name) == action
        for instance, ledger in reading.ledgers.items()
        for entry in ledger.entries.values()
    )
