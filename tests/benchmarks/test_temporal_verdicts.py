"""From measurements to the figures of the Temporal engine."""

from __future__ import annotations

import pytest

from benchmarks._cells import (
    HAND_WRITTEN_16,
    IN_FLIGHT,
    OURS_TEMPORAL_16,
    Cell,
    Database,
    hand_written,
    ours,
    temporal_cells,
)
from benchmarks._figures import TEMPORAL_GOALS, Figure, goals
from benchmarks._load import Round
from benchmarks._measure import Measurements
from benchmarks._plan import histories, temporal_plan, traced, weighed
from benchmarks._settings import TEMPORAL_FULL, TEMPORAL_QUICK
from benchmarks._temporal_verdicts import TemporalVerdicts
from benchmarks.temporal import main

LIMITS = {
    "P4": (0.0, 0.0),
    "P4.compensated": (0.0, 0.0),
    "P15": (1.3, 1.1),
    "P15.unsandboxed": (None, None),
    "P16.1": (0.87, 0.95),
    "P16.16": (0.87, 0.95),
    "P16.64": (0.87, 0.95),
    "M2": (1.3, None),
    "P16.embedded.1": (None, None),
    "P16.embedded.16": (None, None),
    "P16.embedded.64": (None, None),
}


def figure(results: Measurements, figure_id: str) -> Figure:
    """Return one figure of a quick run."""
    figures = TemporalVerdicts(results, TEMPORAL_QUICK).figures(TEMPORAL_GOALS)
    return next(one for one in figures if one.goal.id == figure_id)


def answered(**answer: object) -> Measurements:
    """Return measurements of the job of histories alone."""
    return Measurements(answers={histories(TEMPORAL_QUICK): answer})


def rounds(*rates: int) -> list[Round]:
    """Return a round of one second per rate."""
    return [Round(rate, 1.0, 1.0, 2.0, 0.1) for rate in rates]


def test_floors_and_targets_are_those_that_were_agreed() -> None:
    """A floor that is lowered to make a run green changes this test too."""
    assert {goal.id: (goal.floor, goal.target) for goal in TEMPORAL_GOALS} == LIMITS


@pytest.mark.parametrize(("events", "ok"), [(23.0, True), (24.0, False), (22.0, False)])
def test_one_event_more_or_less_is_not_equal(events: float, ok: bool) -> None:
    """P4 is a count: a marker or a timer that nobody asked for shows."""
    told = answered(ours_events=events, hand_written_events=23.0)
    assert (figure(told, "P4").value, figure(told, "P4").ok) == (events - 23.0, ok)


def test_a_compensated_saga_is_compared_by_its_own_count() -> None:
    """The happy path may be equal where recovery is not."""
    told = answered(
        ours_events=23.0, hand_written_events=23.0, ours_events_compensated=26.0, hand_written_events_compensated=23.0
    )
    assert [figure(told, name).ok for name in ("P4", "P4.compensated")] == [True, False]


def test_replays_are_compared_round_by_round() -> None:
    """P15 is the median of ratios, and the sandbox has its own."""
    told = answered(
        ours_replay_ms=[6.0, 12.0, 9.0],
        hand_written_replay_ms=[6.0, 10.0, 5.0],
        ours_replay_ms_unsandboxed=[4.0],
        hand_written_replay_ms_unsandboxed=[2.0],
    )
    assert (figure(told, "P15").value, figure(told, "P15").rounds) == (1.2, (1.0, 1.2, 1.8))
    assert figure(told, "P15.unsandboxed").value == 2.0


@pytest.mark.parametrize("in_flight", IN_FLIGHT)
def test_throughput_is_compared_with_as_many_in_flight(in_flight: int) -> None:
    """And the embedded engine stands beside it, without a floor."""
    embedded = ours(Database.SQLITE, in_flight)
    told: dict[Cell, list[Round]] = {
        ours(Database.TEMPORAL, in_flight): rounds(20, 10),
        hand_written(in_flight): rounds(25, 10),
        embedded: rounds(300, 300),
    }
    results = Measurements(rounds=told)
    assert figure(results, f"P16.{in_flight}").rounds == (0.8, 1.0)
    assert figure(results, f"P16.embedded.{in_flight}").value == 20.0


def test_memory_is_compared_per_cached_saga() -> None:
    """M2 reads what was traced, not the resident memory that a full run shows beside it."""
    told = Measurements()
    for cell, kib in ((OURS_TEMPORAL_16, 50.0), (HAND_WRITTEN_16, 40.0)):
        told.answers[traced(cell, TEMPORAL_QUICK)] = {"kib_per_saga": kib}
        told.answers[weighed(cell, TEMPORAL_QUICK)] = {"kib_per_saga": 1.0}
    assert figure(told, "M2").value == 1.25


def test_every_goal_has_a_figure_even_if_nothing_was_measured() -> None:
    """A server that cannot be had makes every figure missing, and none met."""
    figures = TemporalVerdicts(Measurements(missing="no server"), TEMPORAL_QUICK).figures(TEMPORAL_GOALS)
    assert [one.goal for one in figures] == list(TEMPORAL_GOALS)
    assert not any(one.ok for one in figures)
    assert all("no server" in (one.reason or "") for one in figures)


def test_a_plan_holds_only_what_the_figures_need() -> None:
    """`--only P4` times nothing, and every plan names the server it needs."""
    counted = temporal_plan(goals(frozenset({"P4"}), TEMPORAL_GOALS), TEMPORAL_QUICK)
    assert (counted.cells, counted.jobs) == ((), (histories(TEMPORAL_QUICK),))
    assert counted.databases == {Database.TEMPORAL}
    timed = temporal_plan(goals(frozenset({"P16.16"}), TEMPORAL_GOALS), TEMPORAL_QUICK)
    assert (timed.cells, timed.jobs, timed.beside) == (temporal_cells("P16.16"), (), frozenset())


def test_what_is_shown_beside_is_told_apart() -> None:
    """The embedded engine needs shorter windows than a server."""
    everything = temporal_plan(TEMPORAL_GOALS, TEMPORAL_FULL)
    assert everything.beside == {ours(Database.SQLITE, number) for number in IN_FLIGHT}
    assert len(everything.cells) == 3 * len(IN_FLIGHT)
    assert {job.kind for job in everything.jobs} == {"histories", "traced", "memory"}


def test_an_embedded_figure_is_unknown_here(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and the name that was not understood."""
    with pytest.raises(SystemExit) as ended:
        main(["--only", "P6"])
    assert ended.value.code == 2
    assert "P6" in capsys.readouterr().err
