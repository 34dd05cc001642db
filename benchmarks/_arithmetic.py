"""The few numbers the harness computes: medians, quantiles, ratios per round."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence


def median(values: Sequence[float]) -> float:
    """Return the median of `values`.

    Raises:
        ValueError: if `values` is empty.

    >>> median([3.0, 1.0, 2.0])
    2.0
    """
    if not values:
        raise ValueError("the median of nothing is not defined")
    return float(statistics.median(values))


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that `share` of `values` do not exceed.

    Nearest rank, no interpolation: the answer is always a value that was measured.

    Args:
        values: the measurements, in any order.
        share: from 0 (the smallest value) to 1 (the largest).

    Raises:
        ValueError: if `values` is empty or `share` lies outside 0 to 1.

    >>> quantile([10.0, 30.0, 20.0, 40.0], 0.5)
    20.0
    """
    if not values or not 0 <= share <= 1:
        raise ValueError(f"a quantile needs values and a share from 0 to 1, not {share}")
    rank = max(1, math.ceil(share * len(values)))
    return float(sorted(values)[rank - 1])


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, ...]:
    """Divide round by round, because rounds share the weather of the machine.

    Raises:
        ValueError: if the lengths differ or a divisor is not positive.

    >>> ratios([4.0, 9.0], [2.0, 3.0])
    (2.0, 3.0)
    """
    if any(value <= 0 for value in theirs):
        raise ValueError("a ratio needs positive divisors")
    return tuple(a / b for a, b in zip(ours, theirs, strict=True))


def best_per_round(cells: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Return the highest value of each round: the peer's best cell, chosen anew.

    Choosing in every round favours the peer, which errs on the safe side.

    Raises:
        ValueError: if there are no cells or they ran different numbers of rounds.

    >>> best_per_round([[1.0, 5.0], [2.0, 3.0]])
    (2.0, 5.0)
    """
    if not cells:
        raise ValueError("the best of no cells is not defined")
    return tuple(max(row) for row in zip(*cells, strict=True))
