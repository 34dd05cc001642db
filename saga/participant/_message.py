"""A message as a consumer's function gets it; whatever is wrong with it shows when it is asked for."""

from __future__ import annotations

import builtins
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from saga.errors import InvalidRequestError, MessageError
from saga.participant._body import codec_of_type

if TYPE_CHECKING:
    from datetime import datetime

    from saga.participant._headers import Headers

__all__ = ("Message", "key_text")

Model = TypeVar("Model")
ID_LENGTH: Final = 300
_MARKS: Final = ("hex:", "at:")


@dataclass(frozen=True, slots=True)
class Message:
    """A message that came.

    Attributes:
        topic: Where from.
        partition: Its partition there.
        offset: Its place in the partition.
        raw_key: The key as it came; None if it has none.
        value: The payload as it came; None is a tombstone.
        headers: Names and values as they came; see `header`.
        sent_at: When it was sent, in UTC, if that is known.

    Example:
        >>> message = Message("exchange", 0, 7, b"EX-1", b'{"qty": 10}', (("ce_type", b"exchange.requested"),))
        >>> message.type, message.key, message.decode(dict[str, int])
        ('exchange.requested', 'EX-1', {'qty': 10})
    """

    topic: str
    partition: int
    offset: int
    raw_key: bytes | None = None
    value: bytes | None = field(default=None, repr=False)
    headers: Headers = field(default=(), repr=False)
    sent_at: datetime | None = None

    @property
    def key(self) -> str:
        """The key as a text that names it: itself, or `hex:...`, or `at:...` of a message without a key."""
        return key_text(self.raw_key) or f"at:{self.place}"

    @property
    def place(self) -> str:
        """Topic, partition and offset."""
        return f"{self.topic}/{self.partition}/{self.offset}"

    @property
    def type(self) -> str:
        """What happened, such as `order.filled`: the header `ce_type`, or empty without one.

        Raises:
            MessageError: if it is no UTF-8.
        """
        return self.header("ce_type") or ""

    @property
    def id(self) -> str:
        """By which the message is known when it comes twice.

        Source and id of a CloudEvent, or the header `id` of Debezium's event router, or else its place, by
        which a message that was sent twice is not known again.
        """
        found = dict(self.headers)
        id, source = found.get("ce_id") or found.get("id"), found.get("ce_source", b"")
        if not id:
            return self.place
        text = f"{_printable(source)}#{_printable(id)}"
        return text if len(text) <= ID_LENGTH else f"sha256:{hashlib.sha256(source + b'#' + id).hexdigest()}"

    def header(self, name: str) -> str | None:
        """Return the last header of that name as a text, or None.

        Raises:
            MessageError: if it is no UTF-8.
        """
        value = dict(self.headers).get(name)
        try:
            return None if value is None else value.decode()
        except UnicodeDecodeError as error:
            raise MessageError(f"the header {name} of the message at {self.place} is no UTF-8") from error

    def decode(self, model: builtins.type[Model]) -> Model:
        """Return the payload as a value of that type.

        Args:
            model: A pydantic model, or anything pydantic can validate.

        Raises:
            MessageError: if it does not fit; the message is held at once then.
        """
        if self.value is None:
            raise MessageError(f"the message at {self.place} is a tombstone: it has no payload")
        try:
            decoded: Model = codec_of_type(model).decode(self.value.decode())
        except UnicodeDecodeError:
            raise MessageError(f"the payload of the message at {self.place} is no UTF-8") from None
        except InvalidRequestError as error:
            raise MessageError(f"the message at {self.place}, {_printable(self._said_type)}: {error}") from None
        return decoded

    @property
    def _said_type(self) -> bytes:
        return dict(self.headers).get("ce_type") or b"of no type"


def key_text(key: bytes | None) -> str | None:
    """Return a text that stands for a key and for no other; None for no key."""
    if not key:
        return None
    try:
        text = key.decode()
    except UnicodeDecodeError:
        text = ""
    plain = text and text.isprintable() and not text.startswith(_MARKS)
    return text if plain else f"hex:{key.hex()}"


def _printable(value: bytes) -> str:
    text = value.decode(errors="backslashreplace")
    return text if text.isprintable() else ascii(text)[1:-1]
