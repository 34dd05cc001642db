"""Payloads on the wire: the kernel's JSON text as Temporal's `json/plain`, so that every other SDK can read it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue

from saga.errors import InvalidRequestError
from saga.kernel import decode_fact, encode_fact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from saga.kernel import Fact

__all__ = ("facts_in", "facts_out", "note_of", "text_of", "to_raw")

_NOTE = "saga"


def to_raw(text: str, note: Mapping[str, object] | None = None) -> RawValue:
    """Return JSON text as a payload, with a note that rides in its metadata."""
    metadata = {"encoding": b"json/plain"}
    if note:
        metadata[_NOTE] = json.dumps(note).encode()
    return RawValue(Payload(metadata=metadata, data=text.encode()))


def text_of(raw: RawValue) -> str:
    """Return the JSON text of a payload, whoever wrote it.

    Raises:
        InvalidRequestError: if it holds something else than JSON.
    """
    encoding = raw.payload.metadata.get("encoding", b"").decode(errors="replace")
    if encoding == "binary/null":
        return "null"
    if encoding not in {"json/plain", "json/protobuf"}:
        msg = f"a payload is encoded as {encoding or 'nothing known'}; sagas take JSON (json/plain)"
        raise InvalidRequestError(msg)
    try:
        return raw.payload.data.decode()
    except UnicodeDecodeError:
        msg = "a payload holds bytes that are no JSON in UTF-8"
        raise InvalidRequestError(msg) from None


def note_of(raw: RawValue) -> dict[str, Any]:
    """Return the note that rides with a payload; empty where there is none."""
    note = raw.payload.metadata.get(_NOTE)
    return json.loads(note) if note else {}


def facts_out(facts: Iterable[Fact]) -> list[tuple[str, str | None]]:
    """Return facts as JSON values: body and payload of each."""
    return [(encode_fact(fact), fact.payload) for fact in facts]


def facts_in(told: Iterable[Any]) -> list[Fact]:
    """Return the facts that `facts_out` told."""
    return [decode_fact(body, payload) for body, payload in told]
