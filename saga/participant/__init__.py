"""What a participant puts into its own database: the barrier, which makes an activity exactly-once."""

from __future__ import annotations

import sys
from types import ModuleType

from saga.kernel import participant
from saga.participant import barrier
from saga.participant._errors import BarrierError, is_recorded
from saga.participant._table import barrier_metadata, create_barrier_tables

__all__ = (
    "BarrierError",
    "barrier",
    "barrier_metadata",
    "create_barrier_tables",
    "is_recorded",
)


class _Room(ModuleType):
    # Once this room is imported, `saga.participant` is the room and no longer the function of that name. So it
    # does what the function does, and `from saga import participant` works before and after.
    __call__ = staticmethod(participant)


sys.modules[__name__].__class__ = _Room
