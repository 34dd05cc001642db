"""From measurements to figures."""

from __future__ import annotations

import json
from dataclasses import replace

from benchmarks._cells import (
    BARE_64,
    DBOS_1,
    DBOS_AS_SHIPPED_1,
    OURS_1,
    OURS_8,
    OURS_64,
    Cell,
    Database,
    Style,
    dbos,
)
from benchmarks._durability import Durability
from benchmarks._figures import GOALS, Figure
from benchmarks._load import Round
from benchmarks._measure import Measurements
from benchmarks._plan import jittered, one_at_a_time, recovery
from benchmarks._report import report
from benchmarks._settings import QUICK
from benchmarks._verdicts import Verdicts

DBOS_8 = dbos(Database.SQLITE, Style.THREADS, 8)
FULL = Durability("wal", "2")
NORMAL = Durability("wal", "1")


def rounds(*rates: int, p50_ms: float = 1.0, p99_ms: float = 2.0) -> list[Round]:
    """Return a round of one second per rate."""
    return [Round(rate, 1.0, p50_ms, p99_ms, 0.1) for rate in rates]


def timed(cells: dict[Cell, list[Round]], durability: Durability = FULL) -> Measurements:
    """Return measurements of those cells, all equally durable."""
    return Measurements(rounds=cells, durability=dict.fromkeys(cells, durability))


def figure(results: Measurements, figure_id: str) -> Figure:
    """Return one figure of a quick run."""
    return next(f for f in Verdicts(results, QUICK).figures(GOALS) if f.goal.id == figure_id)


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    """A peer with one bad round does not lend us its bad luck."""
    results = timed({OURS_1: rounds(400, 400, 400), DBOS_1: rounds(100, 200, 10)})
    assert (figure(results, "P6").value, figure(results, "P6").rounds) == (4.0, (4.0, 2.0, 40.0))


def test_the_peer_is_taken_at_its_best_cell_of_each_round() -> None:
    """At 64 in flight we are compared with whatever number of threads served it best."""
    cells = {OURS_64: rounds(1000, 1000), DBOS_1: rounds(100, 50), DBOS_8: rounds(50, 200)}
    assert figure(timed(cells), "P7").rounds == (10.0, 5.0)


def test_the_peer_as_shipped_does_not_compete_at_64_in_flight() -> None:
    """Its rollback journal is another setting, and its own figure."""
    cells = {OURS_64: rounds(1000), DBOS_1: rounds(100), DBOS_AS_SHIPPED_1: rounds(1)}
    assert figure(timed(cells), "P7").value == 10.0


def test_a_contender_that_failed_is_named() -> None:
    """A reader has to know that the best was chosen from fewer cells."""
    results = timed({OURS_64: rounds(1000), DBOS_1: rounds(100)})
    results.failures[DBOS_8] = "it ended without an answer"
    assert "threads 8" in (figure(results, "P7").reason or "")


def test_a_weaker_journal_is_not_compared() -> None:
    """Fewer flushes by promising less is no speed."""
    results = timed({OURS_1: rounds(400), DBOS_1: rounds(100)})
    results.durability[OURS_1] = NORMAL
    measured = figure(results, "P6")
    assert measured.value is None
    assert "not comparable" in (measured.reason or "")


def test_two_equally_weak_journals_are_not_compared_either() -> None:
    """The claim is about durable sagas."""
    assert figure(timed({OURS_1: rounds(400), DBOS_1: rounds(100)}, NORMAL), "P6").value is None


def test_a_cell_that_failed_gives_its_reason() -> None:
    """What went wrong stands where the value would stand."""
    results = timed({DBOS_1: rounds(100)})
    results.failures[OURS_1] = "disk full"
    assert figure(results, "P6").reason == f"{OURS_1.name}: disk full"


def test_the_spread_of_latencies_is_taken_per_round() -> None:
    """P11 is p99 / p50 inside a round, then the median."""
    results = timed({OURS_8: rounds(1, p50_ms=2.0, p99_ms=8.0) + rounds(1, p99_ms=2.0) * 2})
    assert figure(results, "P11").value == 2.0


def test_counts_become_figures() -> None:
    """Journal bytes are divided by the eight payloads of a saga of three steps."""
    results = Measurements()
    counts = {"flushes_per_saga": 4.0, "statements_per_saga": 9.0, "journal_bytes_per_saga": 4096.0}
    results.counts[one_at_a_time(QUICK)] = counts
    results.counts[jittered(QUICK)] = {**counts, "flushes_per_saga": 0.2}
    values = [figure(results, figure_id).value for figure_id in ("P1", "P2", "P3", "P5")]
    assert values == [4.0, 0.2, 9.0, 2.0]


def test_payload_bytes_follow_the_setting() -> None:
    """Twice the payload, half the ratio."""
    settings = replace(QUICK, payload_bytes=512)
    results = Measurements(counts={one_at_a_time(settings): {"journal_bytes_per_saga": 4096.0}})
    measured = next(f for f in Verdicts(results, settings).figures(GOALS) if f.goal.id == "P5")
    assert measured.value == 1.0


def test_recovery_is_a_rate_against_the_raw_read_and_growth_a_time() -> None:
    """A scan that takes twice as long as the raw read runs at half its rate."""
    seconds = {"raw": 1.0, "scan": 2.0, "replay": 4.0, "opened": 2.0, "opened_beside_completed": 2.5}
    results = Measurements(answers={recovery(QUICK): seconds})
    values = [figure(results, name).value for name in ("P14", "P14.replay", "P14.growth")]
    assert values == [0.5, 0.25, 1.25]


def test_cold_start_is_the_ratio_of_the_medians() -> None:
    """One slow start of either does not decide it."""
    results = Measurements(cold={"ours": [0.5, 0.6, 9.0], "dbos": [1.2, 1.2, 1.3]})
    assert figure(results, "P20").value == 0.5


def test_every_goal_has_a_figure_even_if_nothing_was_measured() -> None:
    """An empty run reports every figure as missing, and none as met."""
    figures = Verdicts(Measurements(), QUICK).figures(GOALS)
    assert [f.goal for f in figures] == list(GOALS)
    assert not any(f.ok for f in figures)
    assert all(f.reason for f in figures)


def test_the_report_is_json_with_figures_and_environment() -> None:
    """Whoever reads it needs no Python."""
    results = timed({OURS_64: rounds(1000), BARE_64: rounds(4000)})
    figures = Verdicts(results, QUICK).figures(GOALS)
    shape = json.loads(json.dumps(report(figures, results, {"cores": 2})))
    assert shape["environment"] == {"cores": 2}
    assert [f["id"] for f in shape["figures"]] == [goal.id for goal in GOALS]
    assert all({"id", "name", "value", "floor", "target", "ok"} <= f.keys() for f in shape["figures"])
    assert {cell["cell"]: cell["sagas_per_second"] for cell in shape["cells"]} == {
        OURS_64.name: 1000.0,
        BARE_64.name: 4000.0,
    }


def test_a_round_that_only_some_had_the_time_for_is_dropped() -> None:
    """Rounds are compared one by one, so all cells keep as many as the one with the fewest."""
    results = timed({OURS_1: rounds(400, 100, 100), DBOS_1: rounds(100, 50), DBOS_8: []})
    results.cold = {"ours": [1.0, 5.0], "dbos": [2.0]}
    results.even_out()
    assert figure(results, "P6").rounds == (4.0, 2.0)
    assert figure(results, "P20").value == 0.5


def test_what_time_was_not_left_for_says_so() -> None:
    """A slow machine is no excuse for a figure that silently disappears."""
    results = Measurements(missing="no time was left")
    assert figure(results, "P14").reason == "no time was left"
    assert figure(results, "P6").reason == f"{OURS_1.name}: no time was left"
