"""The facts with which instances begin: of one that starts, and of a child that never will."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from saga import Compensatable, Effect, Saga
from saga.kernel import Instance, Reason, SagaState, definition_of, facts, first_fact, never_started

AT = datetime(2026, 3, 4, tzinfo=UTC)
DEADLINE = timedelta(minutes=5)


def hold(seats: int) -> str:
    return str(seats)


def free(effect: Effect[int, str]) -> None: ...


class Hold(Saga):
    """Holds seats for five minutes at most."""

    deadline = DEADLINE
    hold = Compensatable(hold).compensated_by(free)

    async def run(self, seats: int) -> str:
        return await self.hold(seats)


def test_a_first_fact_says_what_it_is_that_begins() -> None:
    """The class, the id, the request, and the deadline that the class declares."""
    definition = definition_of(Hold)
    fact = first_fact(definition, "trip-1", "2", at=AT)
    assert (fact.saga, fact.id, fact.payload, fact.at) == ("Hold", "trip-1", "2", AT)
    assert (fact.fingerprint, fact.deadline) == (definition.fingerprint, AT + DEADLINE)
    assert (fact.parent, fact.handed_over) == (None, None)


def test_a_child_names_its_parent() -> None:
    """And whether that takes over what can be compensated."""
    fact = first_fact(definition_of(Hold), "trip-1~hold.1", "2", at=AT, parent="trip-1", handed_over=True)
    assert (fact.parent, fact.handed_over) == ("trip-1", True)


def test_a_child_that_never_starts_has_ended_compensated() -> None:
    """Its journal is that of a saga which its parent cancelled before it did anything."""
    written = never_started(first_fact(definition_of(Hold), "trip-1~hold.1", "2", at=AT, parent="trip-1"))
    assert [fact.fact for fact in written] == ["SagaStarted", "CancelRequested", "RecoveryStarted", "SagaCompensated"]
    instance = Instance().fold_all(written)
    assert (instance.state, instance.ended, instance.calls) == (SagaState.COMPENSATED, True, {})
    _, cancelled, recovery, _ = written
    assert isinstance(cancelled, facts.CancelRequested)
    assert cancelled.by == "trip-1"
    assert isinstance(recovery, facts.RecoveryStarted)
    assert recovery.reason is Reason.CANCELLED
    assert "before it started" in cancelled.why


def test_a_long_name_of_a_parent_is_cut() -> None:
    """A fact keeps 200 characters of whoever asks, an id may be longer."""
    parent = "p" * 250
    written = never_started(first_fact(definition_of(Hold), f"{parent}~hold.1", "2", at=AT, parent=parent))
    cancelled = written[1]
    assert isinstance(cancelled, facts.CancelRequested)
    assert cancelled.by == "p" * 200
