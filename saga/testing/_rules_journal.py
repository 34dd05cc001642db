"""Rules that a journal alone can show to be broken, fact by fact."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Final

from saga.errors import JournalOrderError
from saga.kernel import CODE_FAULTS, CallState, Instance, Kind, Reason, Role
from saga.kernel import facts as f
from saga.testing._ledger import Ledger
from saga.testing._rules import Violation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from saga.kernel import Fact
    from saga.testing._ledger import Entry
    from saga.testing._run import Run

__all__ = ("disorder", "journal_rules")

_FROM_OUTSIDE: Final = frozenset({Reason.CANCELLED, Reason.DEADLINE})
_AFTER_COMMIT: Final = frozenset({Kind.RETRIABLE, Kind.READ_ONLY})
_FAILED: Final = frozenset({CallState.REJECTED, CallState.IN_DOUBT})


def journal_rules(run: Run) -> Iterator[Violation]:
    """Check every journal of a run."""
    for journal in run.world.journals.values():
        ledger, last = Ledger(journal.definition), None
        for fact in journal.facts:
            yield from _order(fact, last)
            yield from _check(ledger, fact)
            ledger.take(fact)
            last = fact


def disorder(run: Run) -> Iterator[Violation]:
    """Look for journals that the kernel itself could not read; nothing else can be said about those."""
    for journal in run.world.journals.values():
        try:
            Instance().fold_all(journal.facts)
        except JournalOrderError as error:
            yield Violation("S13", str(error))


def _order(fact: Fact, last: Fact | None) -> Iterator[Violation]:
    if last is None:
        if not isinstance(fact, f.SagaStarted):
            yield Violation("S13", f"a journal begins with {fact.fact}")
    elif fact.at < last.at:
        yield Violation("S13", f"{fact.fact} is dated before the {last.fact} that precedes it")
    if isinstance(last, (f.SagaCompleted, f.SagaCompensated)):
        yield Violation("S20", f"{fact.fact} follows the end of the saga")
    if isinstance(fact, f.Act) and not (fact.by and fact.why):
        yield Violation("S10", f"{fact.fact} does not say by whom and why")


def _check(ledger: Ledger, fact: Fact) -> Iterator[Violation]:
    if isinstance(fact, f.CallRegistered):
        yield from _check_registration(ledger, fact)
    elif isinstance(fact, f.RecoveryStarted):
        yield from _check_recovery(ledger, fact)
    elif isinstance(fact, f.DecisionAnswered):
        if fact.call in ledger.answered:
            yield Violation("S19", f"{fact.call} was answered a second time")
    elif isinstance(fact, f.SagaCompleted):
        yield from _check_completed(ledger)
    elif isinstance(fact, f.SagaCompensated):
        yield from _check_compensated(ledger)
    elif isinstance(fact, f.SagaStuck):
        yield from _check_stuck(ledger, fact)


def _check_recovery(ledger: Ledger, fact: f.RecoveryStarted) -> Iterator[Violation]:
    if ledger.committed or ledger.deciding:
        yield Violation("S7", "backward recovery began after the point of no return was registered")
    if fact.reason in _FROM_OUTSIDE and not ledger.interrupted:
        yield Violation("S6", f"backward recovery began ({fact.reason}), and nobody had asked for it")
    raised = getattr(builtins, fact.failure.type, None) if fact.failure is not None and fact.call is None else None
    if isinstance(raised, type) and issubclass(raised, Exception) and not issubclass(raised, TimeoutError):
        yield Violation("S3", f"backward recovery began ({fact.reason}) by {raised.__name__}, which is a bug")


# -- registrations ---------------------------------------------------------------------


def _check_registration(ledger: Ledger, fact: f.CallRegistered) -> Iterator[Violation]:
    if fact.call in ledger.entries:
        yield Violation("S12", f"{fact.call} was registered twice")
    entry = ledger.entry(fact)
    if entry.role is Role.ACTION:
        yield from _check_action(ledger, entry, commits=bool(fact.commits))
    elif entry.role is Role.COMPENSATION:
        yield from _check_compensation(ledger, entry)
    elif entry.role is Role.PROBE:
        pivot = ledger.entries[entry.call]
        if pivot.kind is not Kind.PIVOT or pivot.state is not CallState.IN_DOUBT:
            yield Violation("S7", f"{entry.name} was asked although {pivot.call} is {pivot.state}")
    else:
        yield from _check_finishing(ledger, entry)


def _check_action(ledger: Ledger, entry: Entry, *, commits: bool) -> Iterator[Violation]:
    if ledger.recovering or ledger.interrupted:
        yield Violation("S6", f"{entry.name} was registered although the saga has to go backward")
    if ledger.deciding:
        yield Violation("S7", f"{entry.name} was registered while {_commit(ledger)} was being decided")
    if ledger.committed and entry.kind not in _AFTER_COMMIT:
        yield Violation("S8", f"{entry.name} is {entry.kind} and was registered after the point of no return")
    if entry.kind is Kind.RETRIABLE and ledger.definition.has_pivot and not ledger.committed:
        yield Violation("S8", f"{entry.name} is retriable and was registered before the pivot was done")
    if commits:
        yield from (
            Violation("S7", f"{entry.name} was registered while {one.name} was in flight") for one in ledger.in_flight()
        )
        yield from _in_doubt_left(ledger, f"{entry.name} was registered")
    number = int(entry.name.rpartition(".")[2])
    if number != 1 and f"{entry.step}.{number - 1}" not in ledger.entries:
        yield Violation("S12", f"{entry.name} was registered without the call before it")


def _commit(ledger: Ledger) -> str:
    return ledger.commit.name if ledger.commit is not None else "nothing"


def _in_doubt_left(ledger: Ledger, when: str) -> Iterator[Violation]:
    for one in ledger.owed():
        if one.state is CallState.IN_DOUBT or one.doubted:
            yield Violation("S4", f"{when} although {one.name} is or was in doubt and is not compensated")


def _check_compensation(ledger: Ledger, entry: Entry) -> Iterator[Violation]:
    action = ledger.entries[entry.call]
    if ledger.committed or ledger.deciding:
        yield Violation("S7", f"{entry.name} was registered after the point of no return")
    if action.state is CallState.REJECTED:
        yield Violation("S2", f"{entry.name} was registered although {action.name} was rejected")
    elif action.state is CallState.IN_FLIGHT:
        yield Violation("S5", f"{entry.name} was registered while {action.name} was in flight")
    for one in ledger.in_flight(Role.COMPENSATION):
        yield Violation("S1", f"{entry.name} was registered while {one.name} was in flight")
    if ledger.recovering:
        for one in ledger.in_flight(Role.ACTION):
            yield Violation("S5", f"{entry.name} was registered while {one.name} was in flight")
    for one in ledger.owed():
        first = ledger.recovering or one.state is CallState.IN_DOUBT
        if (
            first
            and one.order > action.order
            and ledger.of(one, Role.COMPENSATION) is None
            and not _may_wait(ledger, one)
        ):
            yield Violation("S1", f"{entry.name} was registered before that of {one.name}, which came later")


def _may_wait(ledger: Ledger, entry: Entry) -> bool:
    """Tell whether nothing but an operator settles an action, so that others are compensated before it."""
    policy = ledger.definition.step(entry.step).action.policy
    return not (policy.barrier or policy.safe_to_overtake or policy.settle_time is not None or entry.resolved)


def _check_finishing(ledger: Ledger, entry: Entry) -> Iterator[Violation]:
    action = ledger.entries[entry.call]
    if ledger.recovering:
        yield Violation("S17", f"{entry.name} was registered although the saga goes backward")
    if action.state is not CallState.DONE or ledger.of(action, Role.COMPENSATION) is not None:
        yield Violation("S17", f"{entry.name} was registered although {action.name} does not stay")
    if ledger.deciding and entry.role is Role.CONFIRMATION:
        yield Violation("S17", f"{entry.name} was registered before {_commit(ledger)} was done")
    if entry.role is Role.FORGET and ledger.in_flight(Role.ACTION, Role.COMPENSATION, Role.CONFIRMATION):
        yield Violation("S17", f"{entry.name} was registered before the saga's end")


# -- ends ------------------------------------------------------------------------------


def _check_completed(ledger: Ledger) -> Iterator[Violation]:
    if ledger.interrupted:
        yield Violation("S6", "the saga completed although it had to go backward")
    for one in ledger.in_flight():
        yield Violation("S4", f"the saga completed while {one.name} was in flight")
    yield from _in_doubt_left(ledger, "the saga completed")
    if ledger.handed_over:
        return
    for one in ledger.actions():
        stays = one.state is CallState.DONE and ledger.of(one, Role.COMPENSATION) is None
        for role in (Role.CONFIRMATION, Role.FORGET):
            if stays and ledger.has(one, role) and not ledger.ended(one, role):
                yield Violation("S17", f"the saga completed without the {role} of {one.name}")


def _check_compensated(ledger: Ledger) -> Iterator[Violation]:
    for one in ledger.in_flight():
        yield Violation("S5", f"the saga was compensated while {one.name} was in flight")
    for one in ledger.owed():
        yield Violation("S1", f"the saga was compensated without the compensation of {one.name}")


def _check_stuck(ledger: Ledger, fact: f.SagaStuck) -> Iterator[Violation]:
    if any(one.reason in CODE_FAULTS for one in fact.reasons):
        return
    named = {one.call for one in fact.reasons}
    for one in ledger.in_flight():
        yield Violation("S9", f"the saga became STUCK while {one.name} was in flight")
    for name in named:
        if name is not None and name not in ledger.entries:
            yield Violation("S9", f"the saga became STUCK by {name}, which was never registered")
    for one in ledger.owed() if ledger.recovering else ():
        other = ledger.of(one, Role.COMPENSATION)
        explained = one.name in named if other is None else other.state in _FAILED and other.name in named
        if not explained:
            yield Violation("S9", f"the saga became STUCK although {one.name} could still be compensated")
    if not fact.reasons:
        yield Violation("S9", "the saga became STUCK and does not say why")
