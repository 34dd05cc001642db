"""One simulated run of one scenario, from the start of the saga until nothing happens any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from saga.errors import JournalOrderError
from saga.kernel import CODE_FAULTS, Reason, SagaState
from saga.testing._faults import Scenario
from saga.testing._participants import Participants
from saga.testing._script import Script
from saga.testing._world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from saga.kernel import Definition, Instance
    from saga.testing._trace import Trace

__all__ = ("EXPLORED", "Plan", "Run", "simulate")

EXPLORED: Final = "explored"
"""Id of the instance that is explored."""
_ENOUGH: Final = 2_000
"""After how many moves of the clock a run counts as endless."""
_TAKEOVERS: Final = 60
"""After how many owners a run counts as endless."""
_ACTS: Final = 30
"""After how many acts of the operator a run counts as endless."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What every run of an exploration has in common.

    Attributes:
        definition: The saga class.
        request: The request, JSON text.
        participants: Makes fresh participants for each run.
        answers: Answers to decisions by name, JSON text.
        id: Id of the instance.
    """

    definition: Definition
    request: str
    participants: Callable[[], Mapping[str, object]]
    answers: Mapping[str, list[str]]
    id: str = EXPLORED


@dataclass(frozen=True, slots=True)
class Run:
    """A run that has ended.

    Attributes:
        plan: What was run.
        scenario: What was really done to it, in the order in which it happened; what was planned may be more.
        world: What is left of it: journals, trace, participants.
        participants: The participants, as they are now.
        fault: Why it did not come to a proper end, or the empty text.
    """

    plan: Plan
    scenario: Scenario
    world: World
    participants: Mapping[str, object]
    fault: str = ""

    @property
    def trace(self) -> Trace:
        """What happened."""
        return self.world.trace

    @property
    def instance(self) -> Instance:
        """The root instance at its end."""
        return self.world.instance(self.world.root)


async def simulate(plan: Plan, scenario: Scenario) -> Run:
    """Run one scenario to its end."""
    participants = plan.participants()
    world = World(
        plan.id,
        participants=Participants(plan.definition, participants),
        script=Script(scenario),
        answers=plan.answers,
    )
    world.start(plan.definition, plan.request)
    try:
        fault = await _to_the_end(world)
    except JournalOrderError as error:
        fault = str(error)
    for owner in (*world.formers, world.owner):
        owner.bury()
    injected = Scenario(tuple(world.script.injected), patient=scenario.patient and world.operator.needed)
    return Run(plan, injected, world, participants, fault)


async def _to_the_end(world: World) -> str:
    await world.settle()
    for _ in range(_ENOUGH):
        if world.failures:
            return f"a conductor raised {world.failures[0]!r}"
        if _code_fault(world):
            return ""
        if world.script.failed_enough:
            return _still_trying(world)
        if world.takeovers > _TAKEOVERS:
            break
        if not _ended(world) and await world.operator.act():
            await world.settle()
            if world.operator.acts > _ACTS:
                return "it is STUCK again and again, whatever the operator does"
        elif world.time.next_due is None:
            return "" if _ended(world) else "nothing will ever happen any more, and it has not ended"
        else:
            await world.advance()
    return "it goes on for ever"


def _still_trying(world: World) -> str:
    """Say what is wrong if an activity that is tried without limit did not keep its saga as it was (S9)."""
    state = world.instance(world.root).state
    if state in {SagaState.RUNNING, SagaState.COMPENSATING}:
        return ""
    return f"{world.script.failed_enough} is tried without limit, and the saga is {state} all the same"


def _ended(world: World) -> bool:
    journal = world.journals[world.root]
    return bool(journal.facts) and world.instance(world.root).ended


def _code_fault(world: World) -> bool:
    """Tell whether code is at fault, so that nobody but its author can go on."""
    return any(
        one.reason in CODE_FAULTS and one.reason is not Reason.POISON
        for id, journal in world.journals.items()
        if journal.facts
        for one in world.instance(id).stuck
    )
