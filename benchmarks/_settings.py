"""The knobs of a run: how long, how often, how large."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Settings:
    """How a run measures; every unit stands in the name.

    Attributes:
        rounds: interleaved rounds; each ratio is the median over them.
        round_seconds: the window that one cell is counted in, per round.
        warm_up_seconds: load that runs before the window opens.
        payload_bytes: compact JSON of a request, of a step's input and output,
            and of a result; at least 80.
        counted_sagas: sagas that a counting cell runs one at a time.
        jittered_sagas: sagas that a counting cell runs at 64 in flight.
        cold_starts: alternating pairs of fresh interpreters.
        open_sagas: sagas that recovery finds open.
        completed_sagas: sagas that recovery must not read.
        idle_sagas: open sagas whose memory is weighed.
        reopen: True opens a cell anew for every round, so that nothing idles beside the
            one that is measured; False keeps all cells open, which is faster.
        every_cell: False leaves out the peer's cells that were never its best.
        budget_seconds: wall time after which nothing more is measured; what is missing then says so.
    """

    rounds: int
    round_seconds: float
    warm_up_seconds: float
    payload_bytes: int
    counted_sagas: int
    jittered_sagas: int
    cold_starts: int
    open_sagas: int
    completed_sagas: int
    idle_sagas: int
    reopen: bool
    every_cell: bool
    budget_seconds: float


QUICK: Final = Settings(
    rounds=3,
    round_seconds=0.4,
    warm_up_seconds=0.1,
    payload_bytes=256,
    counted_sagas=200,
    jittered_sagas=2_000,
    cold_starts=3,
    open_sagas=1_000,
    completed_sagas=20_000,
    idle_sagas=1_000,
    reopen=False,
    every_cell=False,
    budget_seconds=43.0,
)

FULL: Final = Settings(
    rounds=5,
    round_seconds=1.5,
    warm_up_seconds=0.3,
    payload_bytes=256,
    counted_sagas=1_000,
    jittered_sagas=10_000,
    cold_starts=5,
    open_sagas=10_000,
    completed_sagas=200_000,
    idle_sagas=10_000,
    reopen=True,
    every_cell=True,
    budget_seconds=1_500.0,
)
