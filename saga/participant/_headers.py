"""Headers of a message: CloudEvents in binary mode, W3C trace context, and how they are kept in a row."""

from __future__ import annotations

import base64
import json
import re
import sys
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

__all__ = ("Headers", "Trace", "current_trace", "from_json", "handling", "to_json", "to_pairs")

Headers = tuple[tuple[str, bytes], ...]
"""Headers as a broker carries them: names may repeat, values are bytes."""

Trace = tuple[str | None, str | None]
"""What goes into the headers `traceparent` and `tracestate`."""

_NO_TRACE: Final[Trace] = (None, None)
_PARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")  # W3C Trace Context, 3.2.2
_handled: ContextVar[Trace] = ContextVar("saga_message_trace", default=_NO_TRACE)


@contextmanager
def handling(headers: Headers) -> Generator[None]:
    """Let what is published in this block belong to the trace of the message that is handled."""
    found = dict(headers)
    token = _handled.set(_checked(_text(found.get("traceparent")), _text(found.get("tracestate"))))
    try:
        yield
    finally:
        _handled.reset(token)


def current_trace() -> Trace:
    """Return the trace of the running OpenTelemetry span, else that of the message that is handled."""
    carrier: dict[str, str] = {}
    propagate: Any = sys.modules.get("opentelemetry.propagate")  # whoever has spans has imported it
    if propagate is not None:
        propagate.inject(carrier)
    parent, state = _checked(carrier.get("traceparent"), carrier.get("tracestate"))
    return (parent, state) if parent else _handled.get()


def _checked(parent: str | None, state: str | None) -> Trace:
    if parent is None or not _PARENT.fullmatch(parent):
        return _NO_TRACE  # W3C: whoever cannot parse it starts anew, and state without a parent means nothing
    return parent, state


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")


def to_pairs(headers: Mapping[str, str | bytes]) -> Headers:
    """Return what a caller gave as a broker carries it."""
    return tuple((name, value.encode() if isinstance(value, str) else value) for name, value in headers.items())


def to_json(headers: Iterable[tuple[str, bytes]]) -> str:
    """Return headers as a text that people can read where the values are text."""
    return json.dumps([[name, _readable(value)] for name, value in headers], ensure_ascii=False)


def from_json(text: str | None) -> Headers:
    """Return what `to_json` was given."""
    pairs: list[tuple[str, Any]] = json.loads(text) if text else []
    return tuple((name, _bytes(value)) for name, value in pairs)


def _readable(value: bytes) -> str | dict[str, str]:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}
    # PostgreSQL keeps no NUL in a text.
    return {"base64": base64.b64encode(value).decode()} if "\0" in text else text


def _bytes(value: str | dict[str, str]) -> bytes:
    return value.encode() if isinstance(value, str) else base64.b64decode(value["base64"])
