"""From the rows of a claimed instance to the decider that goes on with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saga.kernel import RESUME_LIMIT, Decider, Instance, decode_fact, resume

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from saga.kernel import Definition, Fact

    from ._ownership import Claim
    from ._store import StoredFact

__all__ = ("decider_of", "facts_of")


def facts_of(rows: Iterable[StoredFact]) -> list[Fact]:
    """Return the facts that rows of the journal hold."""
    return [decode_fact(body, payload) for _, body, payload in rows]


def decider_of(definition: Definition, claim: Claim, rows: Sequence[StoredFact], *, payload_limit: int) -> Decider:
    """Return a decider that goes on where the journal ends.

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
    return resume(definition, facts, payload_limit=payload_limit)


def _is_poison(facts: Sequence[Fact], claim: Claim) -> bool:
    """Tell whether this resume is one too many, by the rule of `Instance` (S20)."""
    instance = Instance().fold_all(facts)
    if instance.recovering or not instance.in_flight:
        return False
    return instance.resumes + claim.epoch - instance.epoch >= RESUME_LIMIT
