"""A journal in memory: what is queued, what is durable, and what a crash leaves of both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saga.kernel import decode_fact, encode_fact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from saga.kernel import Definition, Fact

__all__ = ("MemoryJournal",)


class MemoryJournal:
    """The journal of one simulated instance. Facts live in it as the text that a database would hold.

    Attributes:
        definition: The saga class.
        request: What it was started with, JSON text.
        parent: Id of the instance it is nested in, or None.
        handed_over: Whether the parent takes over what can be compensated.
        facts: The durable facts, in order.
        epoch: Number of the owner that may append.
    """

    def __init__(
        self, definition: Definition, request: str, *, parent: str | None = None, handed_over: bool = False
    ) -> None:
        self.definition = definition
        self.request = request
        self.parent = parent
        self.handed_over = handed_over
        self.facts: list[Fact] = []
        self.epoch = 1
        self._queue: list[Sequence[Fact]] = []

    @property
    def queued(self) -> int:
        """How many batches wait to become durable."""
        return len(self._queue)

    @property
    def recorded(self) -> int:
        """How many facts are durable or wait to become so."""
        return len(self.facts) + sum(map(len, self._queue))

    def record(self, facts: Sequence[Fact]) -> None:
        """Queue facts that become durable together or not at all."""
        self._queue.append(tuple(facts))

    def commit(self, batches: int | None = None) -> list[Fact]:
        """Make the first batches durable, all of them by default, and return what was written."""
        count = len(self._queue) if batches is None else batches
        written = [_read_back(fact) for batch in self._queue[:count] for fact in batch]
        del self._queue[:count]
        self.facts += written
        return written

    def lose_queue(self) -> None:
        """Forget what is not durable, as a crash does."""
        self._queue.clear()


def _read_back(fact: Fact) -> Fact:
    return decode_fact(encode_fact(fact), fact.payload)
