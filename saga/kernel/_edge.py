"""The edge of a journal: what fits its type and the limit is let in, all else is refused by name (S13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saga.errors import InvalidRequestError, PayloadTooLargeError
from saga.kernel._names import check_id
from saga.kernel._payloads import size_of

if TYPE_CHECKING:
    from saga.kernel._codec import Codec
    from saga.kernel._definition import Definition
    from saga.kernel._instance import Instance

__all__ = ("PAYLOAD_LIMIT", "Edge", "check_start")

PAYLOAD_LIMIT = 2 * 1024 * 1024
"""Largest payload that a journal takes, in bytes of JSON; the limit of Temporal's server too."""


def check_start(definition: Definition, request: object, id: str, *, assured: str, limit: int = PAYLOAD_LIMIT) -> str:
    """Return the request of an instance that shall start as a payload, once it may start so.

    Args:
        definition: The saga.
        request: What `run` is given.
        id: Id of the instance.
        assured: What a refusal assures of, such as "nothing was written".
        limit: Largest payload, in bytes of JSON.

    Raises:
        InvalidIdError: if the id cannot name an instance.
        InvalidRequestError: if the request does not fit its type.
        PayloadTooLargeError: if it is larger than a journal takes.
    """
    check_id(id)
    what = f"{definition.saga} {id}: the request"
    try:
        payload = definition.request.encode(request)
    except InvalidRequestError as error:
        raise InvalidRequestError(f"{what} was refused and {assured}; {error}") from None
    if (size := size_of(payload)) > limit:
        msg = f"{what} has {size} bytes of JSON, the limit is {limit}, and {assured}; pass a reference instead"
        raise PayloadTooLargeError(msg)
    return payload


class Edge:
    """Lets payloads into the journal of one instance.

    Args:
        saga: Name of the saga.
        instance: The instance, whose id a refusal names.
        limit: Largest payload, in bytes of JSON.
    """

    __slots__ = ("_instance", "_limit", "_saga")

    def __init__(self, saga: str, instance: Instance, limit: int) -> None:
        self._saga = saga
        self._instance = instance
        self._limit = limit

    def encode(self, codec: Codec, value: object, what: str) -> str:
        """Return a value that `run` made as a payload.

        Raises:
            InvalidRequestError: if it does not fit its type.
            PayloadTooLargeError: if it is larger than the journal takes.
        """
        try:
            payload = codec.encode(value)
        except InvalidRequestError as error:
            raise self._does_not_fit(what, error) from None
        self.check_size(payload, what)
        return payload

    def check(self, codec: Codec, payload: str, what: str) -> None:
        """Refuse a payload from outside as `encode` would.

        Raises:
            InvalidRequestError: if it does not fit its type.
            PayloadTooLargeError: if it is larger than the journal takes.
        """
        self.check_size(payload, what)
        try:
            codec.decode(payload)
            codec.check_depth(payload.encode())
        except InvalidRequestError as error:
            raise self._does_not_fit(what, error) from None

    def check_size(self, payload: str, what: str) -> None:
        """Refuse a payload that is too large.

        Raises:
            PayloadTooLargeError: if it is.
        """
        if (size := size_of(payload)) > self._limit:
            where = f"{self._saga} {self._instance.id} {what}"
            msg = f"{where}: {size} bytes of JSON, the limit is {self._limit}; pass a reference instead"
            raise PayloadTooLargeError(msg)

    def _does_not_fit(self, what: str, error: InvalidRequestError) -> InvalidRequestError:
        return InvalidRequestError(f"{self._saga} {self._instance.id} {what}: {error}")
