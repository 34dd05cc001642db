"""What a participant puts into its own database: barrier, outbox with relay, inbox with consumer, semantic lock."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from saga.kernel import participant
from saga.participant import barrier, inbox, outbox, semantic_lock
from saga.participant._errors import BarrierError, is_recorded
from saga.participant._message import Message
from saga.participant._table import barrier_metadata, create_barrier_tables
from saga.participant._tables import create_messaging_tables, messaging_metadata
from saga.participant.consumer import Consumer, ConsumerCounts
from saga.participant.relay import Relay, RelayCounts

if TYPE_CHECKING:
    from saga.participant.kafka import KafkaBroker as KafkaBroker

__all__ = (
    "BarrierError",
    "Consumer",
    "ConsumerCounts",
    "KafkaBroker",
    "Message",
    "Relay",
    "RelayCounts",
    "barrier",
    "barrier_metadata",
    "create_barrier_tables",
    "create_messaging_tables",
    "inbox",
    "is_recorded",
    "messaging_metadata",
    "outbox",
    "semantic_lock",
)


def __getattr__(name: str) -> Any:  # a module's attribute
    if name != "KafkaBroker":
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from saga.participant.kafka import KafkaBroker  # noqa: PLC0415 - it imports the client

    return KafkaBroker


class _Room(ModuleType):
    # Once this room is imported, `saga.participant` is the room and no longer the function of that name. So it
    # does what the function does, and `from saga import participant` works before and after.
    __call__ = staticmethod(participant)


sys.modules[__name__].__class__ = _Room
