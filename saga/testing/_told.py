"""What a story drives: the rules of one instance, with facts that the story makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saga.errors import ActRefusedError, InvalidRequestError, UnknownSagaError
from saga.kernel import Decider, Role, admit, call_name, first_fact, resume
from saga.kernel import facts as f
from saga.testing._telling import fact_line
from saga.testing._time import START

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

    from saga.kernel import (
        CallRecord,
        Codec,
        Decision,
        DecisionDefinition,
        Definition,
        Fact,
        Instance,
        Request,
        Step,
        StepDefinition,
    )

__all__ = ("StoryError", "Told", "described")


class StoryError(AssertionError):
    """A saga did something else than its story tells; the message shows both."""


class Told:
    """One instance without an engine: facts go in, the rules conclude, time stands still unless it is moved.

    Attributes:
        definition: The saga class.
        facts: The journal so far.
        now: The time.
    """

    def __init__(self, definition: Definition, request: str, id: str) -> None:
        self.definition = definition
        self.facts: list[Fact] = []
        self.now = START
        self._decider = Decider(definition)
        self.take(first_fact(definition, id, request, at=START))

    def __del__(self) -> None:
        # A story may end in the middle: its `run` is closed in order, not by the garbage collector.
        decider: Decider | None = getattr(self, "_decider", None)
        if decider is not None:
            decider.drop()

    @property
    def instance(self) -> Instance:
        """The instance as it is now."""
        return self._decider.instance

    # -- facts ---------------------------------------------------------------------------

    def take(self, fact: Fact) -> None:
        """Let something happen, and everything that follows from it."""
        self._decider.apply(fact)
        self._keep()
        if self._decider.stale:
            self.resume()

    def _keep(self) -> None:
        self.facts += self._decider.out
        self._decider.out = []

    def resume(self) -> None:
        """Go on as another owner does, who has the journal alone."""
        self._decider.drop()
        self._decider = resume(self.definition, self.facts)
        self._keep()

    def ask(self, request: Request) -> None:
        """Let somebody ask for something.

        Raises:
            StoryError: if it makes no sense now.
        """
        try:
            fact = admit(self._decider, request, self.now)
        except ActRefusedError as error:
            raise self.error(f"{request.request} to be taken", str(error)) from None
        self.take(fact)

    def crash(self) -> None:
        """Let the owner crash and another one take over."""
        self.resume()
        self.take(f.Resumed(at=self.now, epoch=self.instance.epoch + 1, crashed=True))

    def wait(self, duration: timedelta) -> None:
        """Let time pass; what is due meanwhile happens at its time."""
        until = self.now + duration
        while (due := self._decider.next_due()) is not None and due[1] <= until:
            self.now = max(self.now, due[1])
            self.take(f.TimerFired(at=self.now, timer=due[0]))
        self.now = until

    # -- what a story names and gives ----------------------------------------------------

    def step(self, step: Step[Any, Any] | str) -> StepDefinition:
        """Return a step by itself or by its name.

        Raises:
            StoryError: if the saga has none of this name.
        """
        name = step if isinstance(step, str) else step.name
        try:
            return self.definition.step(name)
        except UnknownSagaError:
            raise self.error(f"a step, one of {_listed(self.definition.steps)}", f"{name!r} is none") from None

    def call(self, step: Step[Any, Any] | str, number: int) -> str:
        """Return the name of the `number`-th call of a step.

        Raises:
            StoryError: if the saga has none of this name.
        """
        self.step(step)
        return call_name(step if isinstance(step, str) else step.name, number)

    def decision(self, decision: Decision[Any] | str) -> DecisionDefinition:
        """Return a decision by itself or by its name.

        Raises:
            StoryError: if the saga declares none of this name.
        """
        name = decision if isinstance(decision, str) else decision.name
        if name not in self.definition.decisions:
            declared = _listed(self.definition.decisions)
            raise self.error(f"a decision, one of {declared}", f"{name!r} is none")
        return self.definition.decisions[name]

    def encode(self, codec: Codec, value: object, what: str) -> str:
        """Return a value that the story gives as JSON text.

        Raises:
            StoryError: if it does not fit its type.
        """
        try:
            return codec.encode(value)
        except InvalidRequestError as error:
            raise self.error(what, str(error)) from None

    # -- what a story looks at -----------------------------------------------------------

    def input_of(self, record: CallRecord) -> str:
        """Return the input of an activity, JSON text."""
        return self._decider.input_of(record)

    def check_replay(self) -> None:
        """Replay the journal.

        Raises:
            StoryError: if it comes to something else than what happened.
        """
        again = resume(self.definition, self.facts)
        again.drop()
        if again.out:
            raise self.error("the same decisions on replay", f"{fact_line(again.out[0])} beyond them")

    def error(self, expected: str, found: str) -> StoryError:
        """Return the error that shows what was expected, what happened, and the journal."""
        waiting = ", ".join(self.instance.in_flight) or "nothing"
        lines = [
            f"{self.definition.saga} {self.instance.id}: the story is another one.",
            f"  expected    {_indented(expected)}",
            f"  happened    {_indented(found)}",
            f"  state       {self.instance.state}",
            f"  in flight   {waiting}",
            "  journal",
        ]
        lines += [f"    {fact_line(fact)}" for fact in self.facts]
        return StoryError("\n".join(lines))


def _indented(text: str) -> str:
    return text.replace("\n", "\n              ")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none at all"


def described(step: str, role: Role) -> str:
    """Return how a story calls an activity of a step."""
    return f"the action of {step}" if role is Role.ACTION else f"the {role.value} of {step}"
