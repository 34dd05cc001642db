"""What every run is checked against: the rules S1 to S20, each check small enough to be read on its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from saga.testing._run import Run

__all__ = ("RULES", "Violation", "broken")

RULES: Final = {
    "S1": "register before call; compensate in reverse order of registration",
    "S2": "an outcome is recorded as what it was",
    "S3": "a bug never moves money",
    "S4": "what is in doubt or abandoned is compensated before the pivot, or before the end",
    "S5": "settle before compensating",
    "S6": "after a cancel, an abort or the deadline nothing that run does matters",
    "S7": "the pivot decides alone, and nothing is compensated after it",
    "S8": "a step runs where its kind is allowed",
    "S9": "a compensation that fails never stops the others",
    "S10": "an operator's act is a fact, with by and why",
    "S12": "keys come from id, step and call, and never change",
    "S13": "the journal is data",
    "S15": "a journal replays to the same decisions",
    "S16": "what a child did is compensated by its parent",
    "S17": "what is tentative is confirmed or compensated",
    "S19": "a decision is answered once for each call",
    "S20": "durable before said; what is recorded is never done again",
    "end": "every saga comes to an end, or waits for somebody who can act",
    "invariant": "the test's own invariant",
}
"""The rules that are checked, in a line each."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that a run broke.

    Attributes:
        rule: Which rule.
        text: What happened instead.
    """

    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule} ({RULES[self.rule]}): {self.text}"


def broken(run: Run) -> list[Violation]:
    """Return every rule that a run broke, the most telling first."""
    from saga.testing._rules_attempts import attempts_rules  # noqa: PLC0415 - the rules need Violation
    from saga.testing._rules_effects import effects_rules  # noqa: PLC0415 - as above
    from saga.testing._rules_journal import disorder, journal_rules  # noqa: PLC0415 - as above

    unreadable = list(disorder(run))
    if unreadable:
        return unreadable
    found = [*journal_rules(run), *attempts_rules(run), *effects_rules(run)]
    if run.fault:
        found.append(Violation("end", run.fault))
    return found
