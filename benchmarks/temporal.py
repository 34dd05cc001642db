"""Measures the Temporal engine beside hand-written workflows on one real server.

Run it with `uv run --group bench python -m benchmarks.temporal [--quick] [--json FILE]`.
Exit codes: 0, every figure asked for was measured and meets its floor; 1, one does not;
2, the command line was wrong; 130, it was interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from ._figures import TEMPORAL_GOALS
from ._plan import temporal_plan
from ._run import Benchmark, run
from ._settings import TEMPORAL_FULL, TEMPORAL_QUICK
from ._temporal_verdicts import TemporalVerdicts

BENCHMARK: Final = Benchmark(
    "benchmarks.temporal", __doc__, TEMPORAL_GOALS, temporal_plan, TemporalVerdicts, TEMPORAL_QUICK, TEMPORAL_FULL
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and return its exit code."""
    return run(BENCHMARK, arguments)


if __name__ == "__main__":
    sys.exit(main())
