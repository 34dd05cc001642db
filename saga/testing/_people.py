"""Those who answer the decisions of a simulated run."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from saga.kernel import Decide
from saga.kernel import facts as f
from saga.testing._faults import FaultKind
from saga.testing._script import target_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from saga.kernel import Fact
    from saga.testing._world import World

__all__ = ("People",)

_THINKING: Final = timedelta(minutes=1)


class People:
    """Answer decisions a minute after they are asked, or before half of their time has passed.

    Args:
        world: The run.
        answers: Answers by name of the decision, JSON text; the first one is given unless a fault says otherwise.
    """

    def __init__(self, world: World, answers: Mapping[str, Sequence[str]]) -> None:
        self._world = world
        self._answers = answers

    def begin(self) -> None:
        """Answer what is answered before it is asked."""
        for target in self._world.script.early_decisions():
            answers = self._answers.get(target.rpartition(".")[0])
            if answers:
                self._world.script.inject(target)
                self._answer(self._world.root, target, answers[0])

    def read(self, instance: str, facts: Sequence[Fact]) -> None:
        """Take note of facts that became durable; the questions among them will be answered."""
        for fact in facts:
            if isinstance(fact, f.DecisionAwaited):
                self._asked(instance, fact)

    def _asked(self, instance: str, fact: f.DecisionAwaited) -> None:
        answers = self._answers.get(fact.call.rpartition(".")[0])
        target = target_of(self._world.root, instance, fact.call)
        fault = self._world.script.for_decision(target)
        kind = None if fault is None else fault.kind
        if not answers or kind is FaultKind.ANSWERED_EARLY:
            return
        if kind is FaultKind.UNANSWERED:
            self._world.script.inject(target)
            return
        chosen = int(fault.offset) if fault is not None and kind is FaultKind.OTHER_ANSWER else 0
        due = fact.at + min(_THINKING, (fact.due - fact.at) / 2)
        self._answer_at(due, instance, fact.call, answers[chosen], planned=fault is not None)
        if kind is FaultKind.ANSWERED_TWICE:
            self._answer_at(due, instance, fact.call, answers[-1], planned=True)

    def _answer_at(self, due: datetime, instance: str, call: str, payload: str, *, planned: bool) -> None:
        def answer() -> None:
            if planned and not self._world.instance(instance).ended:
                self._world.script.inject(target_of(self._world.root, instance, call))
            self._answer(instance, call, payload)

        self._world.time.at(due, answer)

    def _answer(self, instance: str, call: str, payload: str) -> None:
        self._world.ask(instance, Decide(call=call, payload=payload, by="somebody"))
