"""Measures the embedded engine beside DBOS and a bare group-commit journal.

Run it with `uv run --group bench python -m benchmarks.embedded [--quick] [--json FILE]`.
Exit codes: 0, every figure asked for was measured and meets its floor; 1, one does not;
2, the command line was wrong; 130, it was interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from ._figures import GOALS
from ._plan import plan
from ._run import Benchmark, run
from ._settings import FULL, QUICK
from ._verdicts import Verdicts

BENCHMARK: Final = Benchmark("benchmarks.embedded", __doc__, GOALS, plan, Verdicts, QUICK, FULL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and return its exit code."""
    return run(BENCHMARK, arguments)


if __name__ == "__main__":
    sys.exit(main())
