"""The knobs of a run: how long, how often, how large."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True, slots=True)
class Settings:
    """How a run measures; every unit stands in the name.

    Attributes:
        rounds: interleaved rounds; each ratio is the median over them.
        round_seconds: the window that one cell is counted in, per round.
        beside_seconds: the same for a cell that is only shown beside the others.
        warm_up_seconds: load that runs before the window opens.
        payload_bytes: compact JSON of a request, of a step's input and output,
            and of a result; at least 80.
        counted_sagas: sagas that a counting cell runs one at a time.
        jittered_sagas: sagas that a counting cell runs at 64 in flight.
        cold_starts: alternating pairs of fresh interpreters.
        open_sagas: sagas that recovery finds open.
        completed_sagas: sagas that recovery must not read.
        idle_sagas: open sagas whose memory is weighed.
        replay_rounds: how often all histories are replayed, each way in turn.
        reopen: True opens a cell anew for every round, so that nothing idles beside the
            one that is measured; False keeps all cells open, which is faster.
        share: True lets one child serve the cells that differ only in how many are in flight.
        every_cell: False leaves out the peer's cells that were never its best.
        budget_seconds: wall time after which nothing more is measured; what is missing then says so.
    """

    rounds: int
    round_seconds: float
    beside_seconds: float
    warm_up_seconds: float
    payload_bytes: int
    counted_sagas: int
    jittered_sagas: int
    cold_starts: int
    open_sagas: int
    completed_sagas: int
    idle_sagas: int
    replay_rounds: int
    reopen: bool
    share: bool
    every_cell: bool
    budget_seconds: float


QUICK: Final = Settings(
    rounds=3,
    round_seconds=0.4,
    beside_seconds=0.4,
    warm_up_seconds=0.1,
    payload_bytes=256,
    counted_sagas=200,
    jittered_sagas=2_000,
    cold_starts=3,
    open_sagas=1_000,
    completed_sagas=20_000,
    idle_sagas=1_000,
    replay_rounds=0,
    reopen=False,
    share=False,
    every_cell=False,
    budget_seconds=43.0,
)

FULL: Final = Settings(
    rounds=5,
    round_seconds=1.5,
    beside_seconds=1.5,
    warm_up_seconds=0.3,
    payload_bytes=256,
    counted_sagas=1_000,
    jittered_sagas=10_000,
    cold_starts=5,
    open_sagas=10_000,
    completed_sagas=200_000,
    idle_sagas=10_000,
    replay_rounds=0,
    reopen=True,
    share=False,
    every_cell=True,
    budget_seconds=1_500.0,
)

TEMPORAL_QUICK: Final = replace(
    QUICK,
    rounds=5,
    round_seconds=0.3,
    beside_seconds=0.4,
    warm_up_seconds=0.0,
    counted_sagas=20,
    idle_sagas=30,
    replay_rounds=5,
    share=True,
    budget_seconds=55.0,
)

TEMPORAL_FULL: Final = replace(
    FULL,
    rounds=15,
    round_seconds=1.0,
    beside_seconds=1.0,
    warm_up_seconds=0.0,
    counted_sagas=100,
    idle_sagas=400,
    replay_rounds=9,
    reopen=False,
    share=True,
    budget_seconds=600.0,
)
