"""Errors around messages and locks of a participant."""

from __future__ import annotations

from saga.errors._root import SagaError

__all__ = (
    "BrokerError",
    "InboxError",
    "KeyLockedError",
    "KeyReleasedError",
    "MessageError",
    "OutboxError",
)


class OutboxError(SagaError):
    """The outbox cannot take this message: the transaction, the database or the message does not allow it."""


class InboxError(SagaError):
    """The inbox cannot be used this way: the transaction, the database or the consumer does not allow it."""


class MessageError(SagaError):
    """A message cannot be read, or nobody knows its type; trying again would not help, so its key is held."""


class BrokerError(SagaError):
    """A message broker cannot be reached, or refuses this client; nothing is lost meanwhile.

    Attributes:
        lasting: Whether trying again without a change of the configuration is pointless.
    """

    def __init__(self, message: str = "", *, lasting: bool = False) -> None:
        self.lasting = lasting
        super().__init__(message)


class KeyLockedError(SagaError):
    """Another saga holds the semantic lock of this key; try again when it has ended.

    Attributes:
        key: What is locked.
        owner: Id of the saga that holds it.
        position: How many sagas hold it or wait for it before this one.
    """

    def __init__(self, message: str = "", *, key: str = "", owner: str = "", position: int = 0) -> None:
        self.key = key
        self.owner = owner
        self.position = position
        super().__init__(message)


class KeyReleasedError(SagaError):
    """A saga asks for a semantic lock that it has released; a late attempt must not take it again."""
