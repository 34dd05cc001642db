"""Rules about what was really done in the world when a saga has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saga.kernel import CallState, Kind, Reason, Role, SagaState
from saga.kernel._endings import CODE_FAULTS
from saga.testing._ledger import Ledger
from saga.testing._rules import Violation
from saga.testing._script import target_of
from saga.testing._trace import EventKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from saga.kernel import Instance
    from saga.testing._ledger import Entry
    from saga.testing._run import Run

__all__ = ("effects_rules",)


def effects_rules(run: Run) -> Iterator[Violation]:
    """Check the effects of every instance of a run."""
    for id, journal in run.world.journals.items():
        ledger = Ledger(journal.definition)
        for fact in journal.facts:
            ledger.take(fact)
        instance = run.world.instance(id)
        for entry in ledger.actions():
            if instance.state is SagaState.COMPENSATED and ledger.has(entry, Role.COMPENSATION):
                yield from _compensated(run, id, ledger, entry)
            if instance.ended and entry.state is CallState.DONE and entry.kind is not Kind.NESTED:
                yield from _really_done(run, id, entry)
        yield from _code(instance)


def _compensated(run: Run, id: str, ledger: Ledger, entry: Entry) -> Iterator[Violation]:
    target = target_of(run.world.root, id, entry.name)
    policy = ledger.definition.step(entry.step).action.policy
    overtaken = policy.barrier or policy.safe_to_overtake
    effects = [event for event in run.trace.effects(target) if not (event.kind is EventKind.ACTED_LATE and overtaken)]
    if not effects:
        return
    answers = run.trace.effects(f"{target}/compensation")
    if not answers:
        yield Violation("S1", f"{target} acted, the saga was compensated, and nothing compensated {target}")
    elif run.trace.events.index(effects[-1]) > run.trace.events.index(answers[-1]):
        yield Violation("S5", f"{target} acted after its compensation")


def _really_done(run: Run, id: str, entry: Entry) -> Iterator[Violation]:
    target = target_of(run.world.root, id, entry.name)
    if not run.trace.effects(target):
        yield Violation("S2", f"the journal says that {target} is done, but it never acted")


def _code(instance: Instance) -> Iterator[Violation]:
    for one in instance.stuck:
        if one.reason in CODE_FAULTS and one.reason is not Reason.POISON:
            rule = "S3" if one.reason is Reason.BUG else "S15"
            story = one.failure.traceback or str(one.failure) if one.failure else ""
            yield Violation(rule, f"{instance.id} is STUCK by its code ({one.reason}): {story.strip()}")
