"""The port between the rules and an engine: what the conductor asks, and what it hands out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from saga.kernel._names import action_key, role_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from saga.kernel._definition import RoleDefinition, StepDefinition
    from saga.kernel._facts import Adopted, Fact
    from saga.kernel._values import CallState, Failure, Role

__all__ = ("Call", "Outcome", "Runtime")


@dataclass(frozen=True, slots=True)
class Call:
    """One activity to perform.

    Attributes:
        id: Id of the saga instance.
        saga: Name of the saga.
        call: The call, such as `debit.1`.
        role: What the activity does in the step.
        step: The step's definition.
        input: The activity's input, JSON text.
        attempts: Attempts that were made before, resumes among them.
    """

    id: str
    saga: str
    call: str
    role: Role
    step: StepDefinition
    input: str
    attempts: int = 0

    @property
    def name(self) -> str:
        """Call and role, such as `debit.1/compensation`."""
        return role_name(self.call, self.role)

    @property
    def action_key(self) -> str:
        """Idempotency key of the call's action."""
        return action_key(self.id, self.call)

    @property
    def key(self) -> str:
        """Idempotency key of this activity, the same for every attempt."""
        return role_name(self.action_key, self.role)

    @property
    def activity(self) -> RoleDefinition:
        """The activity with its types and policy."""
        return self.step.roles[self.role]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended, once no attempt is running any more and no other follows.

    Attributes:
        state: `CallState.DONE`, `REJECTED` or `IN_DOUBT`, as the last attempt alone would say.
        at: When it ended.
        output: What the activity returned, JSON text.
        failure: What it raised.
        attempts: How many attempts were made by this engine now.
        unanswered: Whether an attempt before the last ended without an answer.
        recorded: Whether a barrier durably recorded the rejection under the key.
        overdue_at: When an attempt was last given up at its time limit, or asked to stop and did not answer.
        adopted: What a finished child hands over to be compensated here.
    """

    state: CallState
    at: datetime
    output: str | None = None
    failure: Failure | None = None
    attempts: int = 1
    unanswered: bool = False
    recorded: bool = False
    overdue_at: datetime | None = None
    adopted: tuple[Adopted, ...] | None = None


class Runtime(Protocol):
    """What an engine does for one instance. Five methods; everything else is the kernel's."""

    def now(self) -> datetime:
        """Return the time, UTC."""
        ...

    def record(self, facts: Sequence[Fact]) -> None:
        """Queue facts, in order; those of one call become durable together or not at all."""
        ...

    def flush(self) -> Awaitable[None]:
        """Be done once everything recorded so far is durable, whatever follows.

        It precedes every activity and every acknowledgement.

        Raises:
            SagaError: if that failed or is unknown. The conductor stops then; the journal decides what was.
        """
        ...

    async def perform(self, call: Call, failed: Callable[[Failure, bool], None]) -> Outcome:
        """Perform one activity under its policy and return its settled outcome.

        Cancelling it asks the activity to stop; it still returns the outcome.

        Args:
            call: What to perform.
            failed: Is told of each attempt that another one follows, and whether its time limit passed.
        """
        ...

    def wake_at(self, due: datetime | None) -> None:
        """Call the conductor's `tick` at `due`, instead of any time given before; None for never."""
        ...
