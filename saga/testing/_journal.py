"""A journal in memory: what is queued, what is durable, and what a crash leaves of both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saga.kernel import Instance, decode_fact, encode_fact, first_fact

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from saga.kernel import Definition, Fact, SagaStarted
    from saga.testing._simulated import SimulatedRuntime

__all__ = ("MemoryJournal",)


class MemoryJournal:
    """The journal of one simulated instance. Facts live in it as the text that a database would hold.

    Attributes:
        id: Id of the instance.
        definition: The saga class.
        request: What it was started with, JSON text.
        handed_over: Whether the parent takes over what can be compensated.
        facts: The durable facts, in order.
        epoch: Number of the owner that may append.
        driver: Who may append: what drives the instance for that owner.
        starter: What drives the parent that starts this instance, or None.
        suspended: Whether it was ended before it began, so that it never will (S16).
    """

    def __init__(
        self,
        id: str,
        definition: Definition,
        request: str,
        *,
        starter: SimulatedRuntime | None = None,
        handed_over: bool = False,
    ) -> None:
        self.id = id
        self.definition = definition
        self.request = request
        self.starter = starter
        self.handed_over = handed_over
        self.facts: list[Fact] = []
        self.epoch = 1
        self.driver: SimulatedRuntime | None = None
        self.suspended = False
        self._queue: list[Sequence[Fact]] = []
        self._instance = Instance()
        self._folded = 0

    @property
    def parent(self) -> str | None:
        """Id of the instance it is nested in, or None."""
        return None if self.starter is None else self.starter.id

    @property
    def instance(self) -> Instance:
        """What the durable facts come to; it changes with them."""
        for fact in self.facts[self._folded :]:
            self._instance.fold(fact)
            self._folded += 1
        return self._instance

    @property
    def queued(self) -> int:
        """How many batches wait to become durable."""
        return len(self._queue)

    @property
    def recorded(self) -> int:
        """How many facts are durable or wait to become so."""
        return len(self.facts) + sum(map(len, self._queue))

    def beginning(self, at: datetime) -> SagaStarted:
        """Return the first fact."""
        parent, handed_over = self.parent, self.handed_over
        return first_fact(self.definition, self.id, self.request, at=at, parent=parent, handed_over=handed_over)

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

    def admits(self, runtime: SimulatedRuntime, stored: MemoryJournal | None) -> bool:
        """Tell whether the condition of an append holds: who appends still owns the instance.

        A start is conditional too: its id is free, and whoever starts a child still owns its parent, which is open.

        Args:
            runtime: Who appends.
            stored: The journal that has this id, if there is one.
        """
        if stored is not None and stored.facts:
            return stored is self and self.driver is runtime
        return self.starter is None or self.starter.may_start_children

    def lose_queue(self) -> None:
        """Forget what is not durable, as a crash does."""
        self._queue.clear()


def _read_back(fact: Fact) -> Fact:
    return decode_fact(encode_fact(fact), fact.payload)
