"""Errors that whoever calls acts on: an application, a participant, an operator."""

from __future__ import annotations

from saga.errors._root import SagaError

__all__ = (
    "ActRefusedError",
    "BarrierError",
    "IdReusedError",
    "InvalidIdError",
    "InvalidRequestError",
    "KeyReusedError",
    "OutsideSagaError",
    "ParticipantError",
    "PayloadTooLargeError",
    "UnknownSagaError",
)


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


class BarrierError(SagaError):
    """The barrier cannot guard this use: the transaction, the body or the database does not allow it."""


class OutsideSagaError(SagaError):
    """Something that only works inside a running step or saga was called outside of one."""


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
