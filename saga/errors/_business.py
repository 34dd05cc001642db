"""What the business said, and how an instance ended."""

from __future__ import annotations

from typing import Any

from saga.errors._root import SagaError, joined

__all__ = (
    "DecisionTimedOut",
    "SagaAborted",
    "SagaCompensatedError",
    "SagaStuckError",
    "StepInDoubt",
    "StepRejected",
    "SuspendedError",
)


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
        super().__init__(joined(f"{step} was rejected", self.type, message) if step else message)


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
        super().__init__(joined(f"{step or 'a call'} is in doubt", type, message))


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
        super().__init__(joined(f"{saga} {id} was compensated ({reason})", step or "", type, message))


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
