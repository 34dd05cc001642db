"""Rules about what was really done in the world when a saga has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saga.kernel import CODE_FAULTS, CallState, Kind, Reason, Role, SagaState
from saga.kernel import facts as f
from saga.testing._ledger import Ledger
from saga.testing._rules import Violation
from saga.testing._script import target_of
from saga.testing._trace import LATE, EventKind

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
        yield from _outlived(run, id, journal.parent)
        if journal.parent is not None and journal.handed_over and instance.state is SagaState.COMPLETED:
            yield from _handed_over(run, id, journal.parent, ledger)


def _outlived(run: Run, child: str, parent: str | None) -> Iterator[Violation]:
    """A child starts before its parent ends, and its end is awaited."""
    if parent is None or not run.world.instance(parent).ended:
        return
    durable = [event.instance for event in run.trace.of(EventKind.DURABLE)]
    end = len(durable) - durable[::-1].index(parent)
    if durable.index(child) >= end:
        yield Violation("S16", f"{child} started although {parent} had ended")
    elif not run.world.instance(child).ended or child in durable[end:]:
        yield Violation("S16", f"{parent} ended before {child} had")


def _handed_over(run: Run, child: str, parent: str, ledger: Ledger) -> Iterator[Violation]:
    facts = run.world.journals[parent].facts
    call = child.removeprefix(f"{parent}~")
    done = next((fact for fact in facts if isinstance(fact, f.CallDone) and fact.call == call), None)
    adopted = {one.call for one in (done.adopted or ())} if done is not None else set[str]()
    for entry in ledger.owed() if done is not None else ():
        if entry.name not in adopted:
            yield Violation("S16", f"{child} completed, and {parent} was not handed {entry.name} to compensate")


def _compensated(run: Run, id: str, ledger: Ledger, entry: Entry) -> Iterator[Violation]:
    target = target_of(run.world.root, id, entry.name)
    policy = ledger.definition.step(entry.step).action.policy
    overtaken = policy.barrier or policy.safe_to_overtake
    effects = [event for event in run.trace.effects(target) if not (event.kind in LATE and overtaken)]
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
