"""A second, simpler reading of a journal, to check the kernel's own reading by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from saga.kernel import CallState, Kind, Role, split_role
from saga.kernel import facts as f

if TYPE_CHECKING:
    from collections.abc import Iterator

    from saga.kernel import Definition, Fact

__all__ = ("Entry", "Ledger")

_ENDED: Final = frozenset({CallState.DONE, CallState.SKIPPED})
_HOLDS: Final = frozenset({CallState.DONE, CallState.IN_DOUBT})


@dataclass(slots=True)
class Entry:
    """One activity of one call, as far as the facts go.

    Attributes:
        name: Call and role.
        call: The call alone.
        role: The role.
        kind: Kind of the step, for an action.
        order: Place in the order of registration.
        state: Its state.
        late: Whether it was registered at or after the point of no return.
        resolved: Whether an operator or a probe said what became of it.
        adopted: Whether a child handed it over.
        doubted: Whether `run` was told that it is in doubt, and may have gone another way.
    """

    name: str
    call: str
    role: Role
    kind: Kind | None
    order: tuple[int, ...]
    state: CallState = CallState.IN_FLIGHT
    late: bool = False
    resolved: bool = False
    adopted: bool = False
    doubted: bool = False

    @property
    def step(self) -> str:
        """The step that it is a call of."""
        return self.call.rpartition(".")[0]


@dataclass(slots=True)
class Ledger:
    """What a number of facts come to.

    Attributes:
        definition: The saga class.
        entries: Every activity that was registered, by name.
        commit: The call that is the point of no return, or may become it.
        recovering: Whether backward recovery has begun.
        interrupted: Whether a cancel, an abort or the deadline holds, so that `run` matters no more.
        waiting: The same, while a pivot is being decided.
        finishing: Whether a confirmation or a forgetting was registered.
        handed_over: Whether the parent takes over what can be compensated.
        answered: Decisions that were answered, or timed out.
        position: Number of the last fact.
    """

    definition: Definition
    entries: dict[str, Entry] = field(default_factory=dict[str, Entry])
    commit: Entry | None = None
    recovering: bool = False
    interrupted: bool = False
    waiting: bool = False
    finishing: bool = False
    handed_over: bool = False
    answered: set[str] = field(default_factory=set[str])
    position: int = 0

    @property
    def committed(self) -> bool:
        """Whether the point of no return has passed."""
        commit = self.commit
        done = commit is not None and (commit.kind is Kind.RETRIABLE or commit.state is CallState.DONE)
        return done or self.finishing

    @property
    def deciding(self) -> bool:
        """Whether the point of no return is registered and not settled."""
        return self.commit is not None and self.commit.state is not CallState.DONE

    def in_flight(self, *roles: Role) -> list[Entry]:
        """Return what has no outcome, of some roles or of all."""
        return [
            one
            for one in self.entries.values()
            if one.state is CallState.IN_FLIGHT and (not roles or one.role in roles)
        ]

    def actions(self) -> Iterator[Entry]:
        """Yield the actions."""
        return (one for one in self.entries.values() if one.role is Role.ACTION)

    def has(self, entry: Entry, role: Role) -> bool:
        """Tell whether the step of a call has an activity of a role."""
        return role in self.definition.step(entry.step).roles

    def of(self, entry: Entry, role: Role) -> Entry | None:
        """Return the activity of another role of the same call, if it was registered."""
        return self.entries.get(f"{entry.call}/{role.value}")

    def owed(self) -> list[Entry]:
        """Return the actions that backward recovery has to compensate, and has not yet."""
        return [
            one
            for one in self.actions()
            if one.state in _HOLDS
            and not one.late
            and self.has(one, Role.COMPENSATION)
            and not self.ended(one, Role.COMPENSATION)
        ]

    def ended(self, entry: Entry, role: Role) -> bool:
        """Tell whether the activity of another role of the same call is done."""
        other = self.of(entry, role)
        return other is not None and other.state in _ENDED

    # -- taking facts in -----------------------------------------------------------------

    def take(self, fact: Fact) -> None:
        """Take one fact in."""
        if isinstance(fact, f.CallRegistered):
            self._register(fact)
        elif isinstance(fact, f.CallDone):
            self._move(fact.call, CallState.DONE)
            self._adopt(fact)
        elif isinstance(fact, f.CallRejected):
            self._move(fact.call, CallState.REJECTED)
        elif isinstance(fact, f.CallInDoubt):
            self._move(fact.call, CallState.IN_DOUBT)
        elif isinstance(fact, (f.CallProbed, f.CallResolved)):
            self._found(fact)
        elif isinstance(fact, f.CallSkipped):
            self._move(fact.call, CallState.SKIPPED)
        elif isinstance(fact, f.Retried):
            self._retry()
        else:
            self._take_other(fact)
        self.position += 1

    def _take_other(self, fact: Fact) -> None:
        if isinstance(fact, f.SagaStarted):
            self.handed_over = bool(fact.handed_over)
        elif isinstance(fact, f.RecoveryStarted):
            self.recovering = True
        elif isinstance(fact, f.DecisionAnswered):
            self.answered.add(fact.call)
        elif isinstance(fact, (f.CancelRequested, f.SagaAbortOrdered)) or (
            isinstance(fact, f.TimerFired) and fact.timer == "deadline"
        ):
            self._interrupt()

    def _interrupt(self) -> None:
        if self.commit is not None and self.commit.kind is Kind.PIVOT and self.deciding:
            self.waiting = True
        elif not self.committed:
            self.interrupted = True

    def entry(self, fact: f.CallRegistered) -> Entry:
        """Return what a registration would add."""
        call, role = split_role(fact.call)
        action = self.entries.get(call)
        order = (self.position + 1,) if action is None else action.order
        late = self.committed or (bool(fact.commits) and fact.kind is Kind.RETRIABLE)
        return Entry(fact.call, call, role, fact.kind, order, late=late)

    def _register(self, fact: f.CallRegistered) -> None:
        entry = self.entry(fact)
        self.entries[fact.call] = entry
        if fact.commits:
            self.commit = entry
        self.finishing = self.finishing or entry.role in {Role.CONFIRMATION, Role.FORGET}

    def _move(self, name: str, state: CallState) -> None:
        entry = self.entries[name]
        entry.state = state
        entry.doubted = entry.doubted or (state is CallState.IN_DOUBT and not self.recovering)
        if entry is self.commit and state is CallState.REJECTED and entry.kind is Kind.PIVOT:
            self.commit = None
            self.interrupted = self.interrupted or self.waiting

    def _adopt(self, fact: f.CallDone) -> None:
        parent = self.entries[fact.call]
        for number, one in enumerate(fact.adopted or ()):
            name = f"{fact.call}/{one.call}"
            state = CallState.IN_DOUBT if one.in_doubt else CallState.DONE
            self.entries[name] = Entry(
                name, name, Role.ACTION, Kind.COMPENSATABLE, (*parent.order, number), state, adopted=True
            )

    def _found(self, fact: f.CallProbed | f.CallResolved) -> None:
        self.entries[fact.call].resolved = True
        probe = self.entries.get(f"{fact.call}/probe")
        if probe is not None and probe.state is CallState.IN_FLIGHT:
            probe.state = CallState.DONE
        self._move(fact.call, CallState.DONE if fact.finding == "happened" else CallState.REJECTED)

    def _retry(self) -> None:
        for one in self.entries.values():
            if one.state not in {CallState.REJECTED, CallState.IN_DOUBT} or one.role is Role.PROBE:
                continue
            unprobed = one is self.commit and one.kind is Kind.PIVOT and self.of(one, Role.PROBE) is None
            if one.role is not Role.ACTION or unprobed or (one.late and not self.recovering):
                one.state = CallState.IN_FLIGHT
