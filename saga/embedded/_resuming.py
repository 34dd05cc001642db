"""From the rows of an instance to the decider that goes on with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saga.kernel import CODE_FAULTS, RESUME_LIMIT, Decider, Instance, decode_fact, resume
from saga.kernel import facts as f

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from saga.kernel import Definition, Fact

    from ._ownership import Claim
    from ._store import StoredFact

__all__ = ("decider_of", "facts_of", "replayed")


def facts_of(rows: Iterable[StoredFact]) -> list[Fact]:
    """Return the facts that rows of the journal hold."""
    return [decode_fact(body, payload) for _, body, payload in rows]


def decider_of(
    definition: Definition, claim: Claim, rows: Sequence[StoredFact], *, at: datetime, payload_limit: int
) -> Decider:
    """Return a decider that goes on where the journal of a claimed instance ends.

    If today's code does not fit, its `out` says that the instance was taken over, and then that it is STUCK.

    Raises:
        JournalError: if this version of the library cannot read it.
    """
    facts = facts_of(rows)
    if claim.crashed and claim.epoch > RESUME_LIMIT and _is_poison(facts, claim):
        # It will be STUCK once the resume is counted. Not before `run` is entered again: a `run` that blocks the
        # process would never let it be counted.
        decider = Decider(definition, payload_limit=payload_limit)
        decider.instance.fold_all(facts)
        return decider
    decider = resume(definition, facts, payload_limit=payload_limit)
    stuck = _found_stuck(decider)
    if stuck is None:
        return decider
    at = max(at, decider.now())
    resumed = f.Resumed(at=at, epoch=claim.epoch, crashed=claim.crashed or None)
    return _rewritten(decider, facts, [resumed, stuck.model_copy(update={"at": at})], payload_limit)


def replayed(definition: Definition, rows: Sequence[StoredFact], *, at: datetime, payload_limit: int) -> Decider:
    """Return a decider that goes on with today's code where the journal ends, after somebody acted."""
    facts = facts_of(rows)
    decider = resume(definition, facts, payload_limit=payload_limit)
    stuck = _found_stuck(decider)
    if stuck is None:
        return decider
    return _rewritten(decider, facts, [stuck.model_copy(update={"at": max(at, decider.now())})], payload_limit)


def _is_poison(facts: Sequence[Fact], claim: Claim) -> bool:
    """Tell whether this resume is one too many, by the rule of `Instance` (S20)."""
    instance = Instance().fold_all(facts)
    if instance.recovering or not instance.in_flight:
        return False
    return instance.resumes + claim.epoch - instance.epoch >= RESUME_LIMIT


def _found_stuck(decider: Decider) -> f.SagaStuck | None:
    """Return the fact that says that today's code made the instance STUCK, if it did: then it ends what is new."""
    last = decider.out[-1] if decider.out else None
    if isinstance(last, f.SagaStuck) and any(one.reason in CODE_FAULTS for one in last.reasons):
        return last
    return None


def _rewritten(decider: Decider, facts: Sequence[Fact], ending: Sequence[Fact], payload_limit: int) -> Decider:
    """Return a decider whose news end otherwise.

    A replay draws every conclusion at the time of the fact that it follows from. But that the code does not fit
    follows from the code, and was found now. Whatever moves it on replays the journal first, so `run` is let go of.
    """
    decider.drop()
    again = Decider(decider.definition, payload_limit=payload_limit)
    again.instance.fold_all(facts)
    for fact in (*decider.out[:-1], *ending):
        again.emit(fact)
    return again
