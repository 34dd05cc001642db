"""Exhaustive exploration: every fault at every point of a saga, found by running it, each run checked."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from saga.kernel import view_of
from saga.testing._arguments import check_limit, plan_of
from saga.testing._plainer import plainer
from saga.testing._replays import Replays
from saga.testing._rules import Violation, broken
from saga.testing._run import simulate
from saga.testing._scenarios import Scenarios
from saga.testing._sightings import sightings
from saga.testing._telling import story

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from saga.kernel import Decision, Runs, SagaView
    from saga.testing._faults import Scenario
    from saga.testing._run import Plan, Run

__all__ = ("Exploration", "ExplorationError", "explore")

Request = TypeVar("Request")

LIMIT = 1_000
"""How many scenarios are run unless the caller says otherwise."""


class ExplorationError(AssertionError):
    """A saga, or the kernel, broke a rule in a simulated run; the message is the plainest story of it.

    Attributes:
        rule: The rule that was broken, such as `S5`, or `invariant`.
        scenario: What was really injected.
    """

    def __init__(self, run: Run, violations: list[Violation]) -> None:
        self.rule = violations[0].rule
        self.scenario = run.scenario
        super().__init__(story(run, violations))


@dataclass(slots=True)
class Exploration:
    """What an exploration saw.

    Attributes:
        saga: Name of the saga.
        scenarios: How many scenarios were run; one whose run ended before it met all its faults counts as what it met.
        possible: How many were found; more than `scenarios` where the limit was reached.
        replays: How many beginnings of journals were replayed.
        faults: In how many scenarios each kind of fault was really injected.
        endings: How the runs ended.
        seen: In how many runs each rare thing happened, such as a crash between effect and record.
    """

    saga: str
    scenarios: int = 0
    possible: int = 0
    replays: int = 0
    faults: Counter[str] = field(default_factory=Counter[str])
    endings: Counter[str] = field(default_factory=Counter[str])
    seen: Counter[str] = field(default_factory=Counter[str])

    def add(self, run: Run) -> None:
        """Count a run."""
        self.scenarios += 1
        self.faults.update(fault.kind.value for fault in run.scenario.faults)
        self.endings[str(run.instance.state)] += 1
        self.seen.update(sightings(run))

    def __str__(self) -> str:
        of = "" if self.possible == self.scenarios else f" of {self.possible} found"
        lines = [f"{self.saga}: {self.scenarios} scenarios{of}, {self.replays} beginnings of journals replayed"]
        for title, counted in (("ended", self.endings), ("injected", self.faults), ("seen", self.seen)):
            lines.append(f"  {title}")
            lines += [f"    {count:>6}  {name}" for name, count in sorted(counted.items(), key=_most_first)]
        return "\n".join(lines)


def _most_first(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


async def explore(
    saga: type[Runs[Request, Any]],
    request: Request,
    *,
    participants: Callable[[], Mapping[str, object]] = dict,
    decisions: Mapping[Decision[Any], Sequence[Any]] | None = None,
    invariant: Callable[[Any, SagaView], object] | None = None,
    limit: int | None = LIMIT,
    seed: int = 0,
) -> Exploration:
    """Run a saga under every fault at every point, in virtual time, and check the rules on each run.

    A first run without faults shows the calls. Then every call is rejected, left in doubt, late, cancelled, cut off
    by the deadline; the process crashes before and after every effect and at every flush of the journal, or pauses
    there until another one has taken over; every compensation, probe and confirmation that shows up meanwhile fails
    too, once or always. After each run the rules of the kernel
    are checked, every beginning of the journal is replayed, and the test's own invariant is asked.

    Activities are really performed, with fresh participants for each run. Plain in-memory fakes will do. A step
    whose attempts may have acted, and that has neither a barrier nor a settling time, makes the saga STUCK; a
    simulated operator then looks what really happened and resolves it, once at once and once after waiting.

    Args:
        saga: The saga class.
        request: What `run` is given.
        participants: Makes the participants, by the names that the saga class gives them, for each run.
        decisions: Answers to decisions, such as `{MoneyTransfer.review: [approved, refused]}`. The first one is
            given in most runs. A decision without answers times out.
        invariant: Is called with the participants and the view when a run has ended, and raises AssertionError
            or returns False if something is wrong; it may be a coroutine function. Participants that are not
            idempotent behind their keys will not keep an invariant about effects: see `behind_barrier`.
        limit: Most scenarios to run, None for all; beyond it they are drawn at random.
        seed: Chooses which scenarios are drawn.

    Raises:
        ExplorationError: if a rule is broken; it tells the shortest and plainest story that breaks it.
        ParticipantError: if a participant is missing, lacks a method, or is behind `behind_barrier` although its step
            does not say `barrier=True`.
        InvalidRequestError: if the request or an answer does not fit its type.
        PayloadTooLargeError: if the request is larger than a journal takes.
        SagaError: if an argument is of another kind; the message says of which it should be.
    """
    plan = plan_of(saga, request, participants, decisions, invariant)
    check_limit(plan.definition.saga, limit)
    return await _Exploring(plan, invariant, Scenarios(limit=limit, seed=seed)).explore()


class _Exploring:
    """One exploration."""

    def __init__(self, plan: Plan, invariant: Callable[[Any, SagaView], object] | None, scenarios: Scenarios) -> None:
        self._plan = plan
        self._invariant = invariant
        self._scenarios = scenarios
        self._replays = Replays()
        self._report = Exploration(plan.definition.saga)

    async def explore(self) -> Exploration:
        for scenario in self._scenarios.rounds():
            await self._take(scenario)
        self._report.possible = self._scenarios.possible
        self._report.replays = self._replays.count
        return self._report

    async def _take(self, scenario: Scenario) -> None:
        run = await simulate(self._plan, scenario)
        violations = await self._check(run)
        if violations:
            raise await self._plainest(run, violations)
        if self._scenarios.is_new(scenario, run):
            self._report.add(run)
            for more in self._scenarios.showed(run):
                await self._take(more)

    async def _check(self, run: Run) -> list[Violation]:
        # In a callback: replaying pumps an event loop, which a task may not do.
        done: asyncio.Future[list[Violation]] = asyncio.get_running_loop().create_future()

        def check() -> None:
            try:
                done.set_result(broken(run) or list(self._replays.check(run)))
            except BaseException as error:  # noqa: BLE001 - belongs to whoever awaits
                done.set_exception(error)

        asyncio.get_running_loop().call_soon(check)
        return await done or await self._ask_invariant(run)

    async def _ask_invariant(self, run: Run) -> list[Violation]:
        if self._invariant is None or not run.instance.ended:
            return []
        try:
            verdict = self._invariant(run.participants, view_of(run.instance))
            if inspect.isawaitable(verdict):
                verdict = await verdict
        except AssertionError as error:
            return [Violation("invariant", f"with {run.instance.state}: {error}")]
        except Exception as error:  # noqa: BLE001 - it fell over what the run left behind, so that story is told
            text = f"with {run.instance.state} it raised {type(error).__name__}: {error}"
            return [Violation("invariant", text)]
        return [Violation("invariant", f"it returned False with {run.instance.state}")] if verdict is False else []

    async def _plainest(self, run: Run, violations: list[Violation]) -> ExplorationError:
        """Leave out every fault, and take the plainest in place of every fault, as long as the same rule is broken."""
        tried = {run.scenario}
        waiting = plainer(run)
        while (scenario := next(waiting, None)) is not None:
            if scenario in tried:
                continue
            tried.add(scenario)
            other = await simulate(self._plan, scenario)
            found = await self._check(other)
            if any(one.rule == violations[0].rule for one in found):
                run, violations, waiting = other, found, plainer(other)
        return ExplorationError(run, violations)
