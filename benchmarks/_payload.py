"""The one payload that every engine carries, of an exact size in JSON."""

from __future__ import annotations

import json
from typing import Final, TypedDict

PAYLOADS_PER_SAGA: Final = 8
"""A request, three inputs, three outputs and a result."""


class Fields(TypedDict):
    """The payload's fields, as a peer that takes dictionaries sees them."""

    account: str
    amount_cents: int
    note: str


def payload(size_bytes: int) -> Fields:
    """Return fields whose compact JSON is `size_bytes` long.

    Raises:
        ValueError: if the size leaves no room for the fields' names.

    >>> len(encode(payload(256)))
    256
    """
    fields = Fields(account="NL00BANK0123456789", amount_cents=12_345, note="")
    room = size_bytes - len(encode(fields))
    if room < 0:
        raise ValueError(f"a payload takes at least {len(encode(fields))} bytes, not {size_bytes}")
    fields["note"] = "n" * room
    return fields


def encode(fields: Fields) -> str:
    """Return the compact JSON of `fields`."""
    return json.dumps(fields, separators=(",", ":"))
