"""The harness' arithmetic: medians, quantiles, ratios per round."""

from __future__ import annotations

import pytest

from benchmarks._arithmetic import best_per_round, median, quantile, ratios


def test_a_quantile_is_a_measured_value_never_between_two() -> None:
    """Of a hundred values the 99th percentile is the 99th, and the median the 50th."""
    values = [float(value) for value in range(100, 0, -1)]
    assert [quantile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 50.0, 99.0, 100.0]


def test_one_value_is_every_quantile() -> None:
    """A window with a single saga has a p99 too."""
    assert [quantile([7.0], share) for share in (0.0, 0.5, 0.99, 1.0)] == [7.0] * 4


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], 1.5), ([1.0], -0.1)])
def test_a_quantile_of_nothing_or_beyond_the_whole_is_refused(values: list[float], share: float) -> None:
    """There is no sensible number to return."""
    with pytest.raises(ValueError, match="quantile"):
        quantile(values, share)


def test_the_median_of_an_even_number_lies_between_the_middle_two() -> None:
    """Rounds may be even in number when the budget ends them early."""
    assert median([4.0, 1.0, 3.0, 2.0]) == 2.5


def test_the_median_of_nothing_is_refused() -> None:
    """A figure without rounds must not become zero."""
    with pytest.raises(ValueError, match="median of nothing"):
        median([])


def test_ratios_pair_rounds_not_medians() -> None:
    """Round two was slow for both, so its ratio is as good as the others."""
    assert ratios([100.0, 10.0, 90.0], [50.0, 5.0, 30.0]) == (2.0, 2.0, 3.0)


def test_ratios_refuse_unequal_rounds() -> None:
    """A peer that ran fewer rounds cannot be compared with all of ours."""
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


def test_ratios_refuse_a_peer_that_did_nothing() -> None:
    """An infinite ratio is a broken measurement."""
    with pytest.raises(ValueError, match="positive"):
        ratios([1.0], [0.0])


def test_the_best_cell_is_chosen_anew_in_every_round() -> None:
    """The peer gets its best of each round, even if that is another cell each time."""
    assert best_per_round([[1.0, 9.0, 3.0], [2.0, 4.0, 8.0]]) == (2.0, 9.0, 8.0)


def test_the_best_of_no_cells_is_refused() -> None:
    """Without a peer there is no comparison."""
    with pytest.raises(ValueError, match="no cells"):
        best_per_round([])
