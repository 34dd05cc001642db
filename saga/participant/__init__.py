"""What a participant puts into its own database: the barrier, which makes an activity exactly-once."""

from __future__ import annotations

from saga.participant import barrier
from saga.participant._errors import RECORDED, BarrierError, is_recorded
from saga.participant._table import barrier_metadata, create_barrier_tables

__all__ = (
    "RECORDED",
    "BarrierError",
    "barrier",
    "barrier_metadata",
    "create_barrier_tables",
    "is_recorded",
)
