"""The journal that a new run starts with: compressed, because one payload has to hold all of it."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Final

from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue

from saga.errors import JournalCorruptError
from saga.kernel import PAYLOAD_LIMIT

from ._payloads import facts_in, facts_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from saga.kernel import Fact

    from ._nested import Start

__all__ = ("LARGEST", "LARGEST_PART", "carried_by", "carrying", "fits")

_ENCODING: Final = b"binary/saga-journal"
LARGEST: Final = PAYLOAD_LIMIT - 64 * 1024
"""Largest payload, in bytes: the server's limit holds for what a codec and the message around it make of it, too."""
LARGEST_PART: Final = LARGEST // 2
"""Largest input and largest output of a call: both together are the effect that its compensation takes."""
_UNPACKED: Final = 512 * 1024 * 1024
"""Bytes that a journal may have at most; a payload that holds more is no journal."""


def carrying(facts: Sequence[Fact], start: Start) -> RawValue:
    """Return the payload that a run starts with which goes on where a journal ends."""
    note = start.model_copy(update={"carried": True}).model_dump(exclude_defaults=True)
    metadata = {"encoding": _ENCODING, "saga": json.dumps(note).encode()}
    return RawValue(Payload(metadata=metadata, data=zlib.compress(json.dumps(facts_out(facts)).encode())))


def carried_by(raw: RawValue) -> list[Fact]:
    """Return the facts that `carrying` packed.

    Raises:
        JournalCorruptError: if the payload holds no journal.
        JournalVersionError: if a newer version of the library wrote it.
    """
    unpacking = zlib.decompressobj()
    try:
        text = unpacking.decompress(raw.payload.data, _UNPACKED)
    except zlib.error:
        text = b""
    if not unpacking.eof:
        msg = "the journal that this run starts with is damaged; the run before it still has it in its history"
        raise JournalCorruptError(msg)
    return facts_in(json.loads(text))


def fits(raw: RawValue) -> bool:
    """Tell whether the server takes it."""
    return raw.payload.ByteSize() <= LARGEST
