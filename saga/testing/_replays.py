"""Replays of every beginning of a journal: each must come to the decisions that were recorded (S15, S18)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saga.errors import SagaError
from saga.kernel import Instance, Reason, SagaState, replay, resume
from saga.kernel import facts as f
from saga.testing._rules import Violation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from saga.kernel import Definition, Fact
    from saga.testing._run import Run

__all__ = ("Replays",)


class Replays:
    """Checks journals, each beginning once, however many runs share it.

    Attributes:
        count: How many beginnings were replayed.
    """

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self.count = 0

    def check(self, run: Run) -> Iterator[Violation]:
        """Replay every beginning of every journal of a run that was not replayed before."""
        for id, journal in run.world.journals.items():
            if not journal.suspended:  # what never began has nothing to replay
                yield from self._check(id, journal.definition, journal.facts)

    def _check(self, id: str, definition: Definition, facts: Sequence[Fact]) -> Iterator[Violation]:
        seen = 0
        for length, fact in enumerate(facts, 1):
            rest = _concluded(facts[length:])
            seen = hash((seen, fact.model_dump_json(), fact.payload))
            if hash((seen, len(rest))) in self._seen:
                continue
            self._seen.add(hash((seen, len(rest))))
            self.count += 1
            if not _pending(facts[:length]):
                yield from _same(id, definition, facts[:length], rest)
        yield from _whole(id, definition, facts)


def _concluded(facts: Sequence[Fact]) -> list[Fact]:
    """Return what the journal says was concluded before the next input."""
    found: list[Fact] = []
    for fact in facts:
        if fact.role_in_replay is not f.FactKind.CONSEQUENCE:
            break
        found.append(fact)
    # Poison is concluded from crashes, by whoever resumes; no replay concludes it.
    return [fact for fact in found if not _poison(fact)]


def _pending(facts: Sequence[Fact]) -> bool:
    """Tell whether an act on a STUCK instance was recorded, and what follows from it waits for a replay."""
    if not isinstance(facts[-1], (f.Act, f.CancelRequested)) or not any(
        isinstance(fact, f.SagaStuck) for fact in facts
    ):
        return False
    instance = Instance().fold_all(facts)
    return instance.state is SagaState.STUCK and instance.act_pending


def _poison(fact: Fact) -> bool:
    return isinstance(fact, f.SagaStuck) and any(one.reason is Reason.POISON for one in fact.reasons)


def _same(id: str, definition: Definition, facts: Sequence[Fact], rest: list[Fact]) -> Iterator[Violation]:
    decider = resume(definition, facts)
    decider.drop()
    concluded = decider.out
    if concluded != rest:
        yield Violation(
            "S15",
            f"the first {len(facts)} facts of {id}, resumed, come to {_names(concluded)}, "
            f"but the journal holds {_names(rest)}",
        )


def _whole(id: str, definition: Definition, facts: Sequence[Fact]) -> Iterator[Violation]:
    try:
        decider = replay(definition, facts)
        decider.drop()
        left = decider.out
    except SagaError as error:
        yield Violation("S15", f"{id} does not replay: {error}")
    else:
        if left:
            yield Violation("S15", f"{id}, replayed, comes to {_names(left)} beyond its journal")


def _names(facts: Sequence[Fact]) -> str:
    names = [f"{fact.fact} {getattr(fact, 'call', None) or ''}".strip() for fact in facts]
    return ", ".join(names) or "nothing"
