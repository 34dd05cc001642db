"""Errors that the author of a saga class acts on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from saga.errors._root import SagaError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = (
    "Fault",
    "NotDeterministicError",
    "NotDeterministicWarning",
    "ReplayMismatchError",
    "SagaDefinitionError",
    "StepOrderError",
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a saga class, and where.

    Attributes:
        where: File name and line, such as `transfers.py:17`.
        name: The step, decision or method that is at fault.
        text: What is wrong and what to write instead, in one or more lines.
    """

    where: str
    name: str
    text: str


class SagaDefinitionError(SagaError):
    """A saga class cannot run; all its faults are listed at once.

    Attributes:
        saga: Name of the saga class.
        faults: Every fault that was found, in the order of the source.
    """

    def __init__(self, saga: str, where: str, faults: Sequence[Fault]) -> None:
        self.saga = saga
        self.faults = tuple(faults)
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        lines = [f"{saga} cannot run, {count} ({where})"]
        lines += [_aligned(f"  {fault.where}  ", f"{fault.name}: {fault.text}") for fault in faults]
        super().__init__("\n".join(lines))


def _aligned(margin: str, text: str) -> str:
    return margin + text.replace("\n", "\n" + " " * len(margin))


class StepOrderError(SagaError):
    """`run` called a step where its kind is not allowed, such as a compensatable after the pivot."""


class NotDeterministicError(SagaError):
    """`run` did I/O, used threads, left a task behind, or waits for something that no fact can bring.

    Move the work into a step: what a step returns is journaled, what `run` does by itself is not.
    """


class NotDeterministicWarning(UserWarning):
    """`run` reads a clock, randomness or I/O that a replay would not repeat."""


class ReplayMismatchError(SagaError):
    """Changed code does not fit a journal that older code wrote; the first difference is shown.

    Attributes:
        saga: Name of the saga class.
        id: Id of the instance.
        recorded: What the journal holds at the first difference.
        replayed: What today's code does there.
    """

    def __init__(self, *, saga: str, id: str, position: int, recorded: str, replayed: str) -> None:
        self.saga = saga
        self.id = id
        self.recorded = recorded
        self.replayed = replayed
        super().__init__(
            f"{saga} {id}: the code does not fit the journal at fact {position}.\n"
            f"  the journal holds  {recorded}\n"
            f"  the code does      {replayed}\n"
            "Deploy code that still makes the recorded calls in their order, then `saga retry` the instance."
        )
