"""Every error of `saga`, one tree under `SagaError`, grouped by who has to act.

SagaError
├── author       SagaDefinitionError, StepOrderError, NotDeterministicError, ReplayMismatchError
├── business     StepRejected, StepInDoubt, SuspendedError, SagaAborted, DecisionTimedOut
├── outcome      SagaCompensatedError, SagaStuckError
├── caller       InvalidIdError, InvalidRequestError, IdReusedError, UnknownSagaError,
│                PayloadTooLargeError, ParticipantError, KeyReusedError, OutsideSagaError
├── operator     ActRefusedError
└── platform     JournalError (JournalWriteError, ForeignJournalError, JournalVersionError,
                 JournalReadOnlyError, JournalLockedError, JournalCorruptError,
                 JournalOrderError),
                 EngineClosedError, OwnershipLostError, MissingExtraError
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = (
    "ActRefusedError",
    "DecisionTimedOut",
    "EngineClosedError",
    "Fault",
    "ForeignJournalError",
    "IdReusedError",
    "InvalidIdError",
    "InvalidRequestError",
    "JournalCorruptError",
    "JournalError",
    "JournalLockedError",
    "JournalOrderError",
    "JournalReadOnlyError",
    "JournalVersionError",
    "JournalWriteError",
    "KeyReusedError",
    "MissingExtraError",
    "NotDeterministicError",
    "NotDeterministicWarning",
    "OutsideSagaError",
    "OwnershipLostError",
    "ParticipantError",
    "PayloadTooLargeError",
    "ReplayMismatchError",
    "SagaAborted",
    "SagaCompensatedError",
    "SagaDefinitionError",
    "SagaError",
    "SagaStuckError",
    "StepInDoubt",
    "StepOrderError",
    "StepRejected",
    "SuspendedError",
    "UnknownSagaError",
)


class SagaError(Exception):
    """Root of every error that this library raises on purpose."""


def _joined(*parts: str) -> str:
    return ": ".join(part for part in parts if part)


# -- the author of a saga class acts ---------------------------------------------------


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
    """`run` did I/O, used threads, or waits for something that no fact can bring.

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


# -- the business said something -------------------------------------------------------


class StepRejected(SagaError):
    """The participant said no, and nothing happened.

    An activity raises it to refuse; `run` receives it where it awaited the step and may catch it.

    Attributes:
        message: Why, in the participant's words.
        details: Data about the refusal that pydantic can put into JSON, or None.
        step: The call that was rejected, such as `credit.1`; empty inside the activity.
        type: Name of the exception type that the activity raised.

    Example:
        >>> raise StepRejected("account is frozen", details={"since": "2026-01-01"})
        Traceback (most recent call last):
        saga.errors.StepRejected: account is frozen
    """

    def __init__(
        self,
        message: str = "",
        *,
        details: Any = None,  # any JSON value, as the participant likes
        step: str = "",
        type: str = "",
    ) -> None:
        self.message = message
        self.details = details
        self.step = step
        self.type = type or self.__class__.__name__
        super().__init__(_joined(f"{step} was rejected", self.type, message) if step else message)


class SuspendedError(StepRejected):
    """An action arrived after its own compensation, and its barrier refused it."""


class StepInDoubt(SagaError):
    """Nobody knows whether a call happened; it will be compensated.

    Attributes:
        message: The last failure that was seen.
        step: The call, such as `credit.1`.
        type: Name of the exception type of the last failure.
    """

    def __init__(self, message: str = "", *, step: str = "", type: str = "") -> None:
        self.message = message
        self.step = step
        self.type = type
        super().__init__(_joined(f"{step or 'a call'} is in doubt", type, message))


class SagaAborted(SagaError):
    """`run` raises it, before the pivot, to give up and compensate."""


class DecisionTimedOut(SagaError):
    """Nobody answered a decision within its time.

    Attributes:
        decision: The call of the decision, such as `review.1`.
    """

    def __init__(self, decision: str) -> None:
        self.decision = decision
        super().__init__(f"{decision} was not answered in time")


# -- how an instance ended -------------------------------------------------------------


class SagaCompensatedError(SagaError):
    """The saga ended COMPENSATED: everything it did was compensated.

    Attributes:
        id: Id of the instance.
        reason: What started backward recovery, such as `rejected`, `cancelled` or `deadline`.
        step: The call that started it, or None.
        type: Name of the exception type behind it, or an empty string.
        message: Message of that exception.
        details: Data that the participant attached to a rejection, or None.
    """

    def __init__(
        self,
        *,
        saga: str,
        id: str,
        reason: str,
        step: str | None = None,
        type: str = "",
        message: str = "",
        details: Any = None,  # any JSON value
    ) -> None:
        self.saga = saga
        self.id = id
        self.reason = reason
        self.step = step
        self.type = type
        self.message = message
        self.details = details
        super().__init__(_joined(f"{saga} {id} was compensated ({reason})", step or "", type, message))


class SagaStuckError(SagaError):
    """The saga is STUCK: nothing else runs until an operator acts.

    The message is the page of the instance, with the commands that would move it on.

    Attributes:
        id: Id of the instance.
    """

    def __init__(self, *, saga: str, id: str, page: str) -> None:
        self.saga = saga
        self.id = id
        super().__init__(page)


# -- the caller acts -------------------------------------------------------------------


class InvalidIdError(SagaError):
    """The id of an instance is empty, too long, or holds a character that ids may not hold."""


class InvalidRequestError(SagaError):
    """A request, answer or output does not fit its model; pydantic's paths say where."""


class IdReusedError(SagaError):
    """An instance with this id exists and was started with another saga or another request."""


class UnknownSagaError(SagaError):
    """No instance has this id, or no saga class has this name on this engine."""


class PayloadTooLargeError(SagaError):
    """A request, input, output or result is larger than the journal takes.

    Store the data elsewhere and pass a reference to it.
    """


class ParticipantError(SagaError):
    """A participant is missing when an engine starts, or lacks a method that a saga needs."""


class KeyReusedError(SagaError):
    """A barrier has seen this idempotency key with another input."""


class OutsideSagaError(SagaError):
    """Something that only works inside a running step or saga was called outside of one."""


# -- the operator acts -----------------------------------------------------------------


class ActRefusedError(SagaError):
    """An operator's act makes no sense in the state that the instance is in; the message says what does.

    Attributes:
        saga: Name of the saga class; empty where the refusal comes from another process.
        id: Id of the instance, or empty likewise.
        state: State that the instance is in, or empty likewise.
        act: The act that was refused, such as `skip debit.1`, or empty likewise.
    """

    saga = ""
    id = ""
    state = ""
    act = ""

    def __init__(self, message: str = "", *, saga: str = "", id: str = "", state: str = "", act: str = "") -> None:
        self.saga = saga
        self.id = id
        self.state = state
        self.act = act
        super().__init__(message)


# -- the platform failed ---------------------------------------------------------------


class JournalError(SagaError):
    """Something is wrong with the journal's database."""


class JournalWriteError(JournalError):
    """A flush failed or its outcome is unknown; what it held was not acknowledged."""


class ForeignJournalError(JournalError):
    """The database holds tables, but not those of a journal."""


class JournalVersionError(JournalError):
    """The journal's tables, or the facts in it, are of another version than this library."""


class JournalReadOnlyError(JournalError):
    """The journal's database cannot be written."""


class JournalLockedError(JournalError):
    """Another process holds the journal's database and did not let go in time."""


class JournalCorruptError(JournalError):
    """The journal's database is damaged, or is no database at all."""


class JournalOrderError(JournalError):
    """A fact cannot follow the facts before it; the journal was changed by hand, or by a faulty version."""


class EngineClosedError(SagaError):
    """The engine is closed, or was never entered with `async with`, or refuses new work."""


class OwnershipLostError(SagaError):
    """Another process took the instance over; this one stopped driving it."""


class MissingExtraError(SagaError):
    """An optional dependency is not installed; the message holds the line that installs it."""
