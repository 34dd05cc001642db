"""Floors, targets and verdicts of the figures."""

from __future__ import annotations

import pytest

from benchmarks._figures import GOALS, Better, Figure, Goal, goals, unmeasured

LIMITS = {
    "P1": (4.0, 4.0),
    "P2": (0.25, 0.15),
    "P3": (15.0, 8.0),
    "P5": (2.5, 1.6),
    "P6": (2.0, 3.0),
    "P7": (10.0, 25.0),
    "P9.1": (1.5, 3.0),
    "P9.64": (8.0, 20.0),
    "P10": (0.12, 0.3),
    "P11": (5.0, 3.0),
    "P13": (4.0, 6.0),
    "P14": (0.4, 0.6),
    "P14.replay": (0.2, None),
    "P14.growth": (1.3, 1.1),
    "P20": (0.7, 0.6),
    "M1": (None, None),
}
BY_ID = {goal.id: goal for goal in GOALS}


def test_floors_and_targets_are_those_that_were_agreed() -> None:
    """A floor that is lowered to make a run green changes this test too."""
    assert {goal.id: (goal.floor, goal.target) for goal in GOALS} == LIMITS


@pytest.mark.parametrize(
    ("figure", "value", "ok", "on_target"),
    [
        ("P6", 1.99, False, False),
        ("P6", 2.0, True, False),
        ("P6", 3.0, True, True),
        ("P2", 0.26, False, False),
        ("P2", 0.25, True, False),
        ("P2", 0.15, True, True),
        ("P1", 4.004, True, True),
        ("P1", 5.0, False, False),
        ("P1", 3.0, False, False),
        ("P14.replay", 0.2, True, True),
        ("M1", 1e9, True, True),
    ],
)
def test_a_figure_is_ok_exactly_when_it_meets_its_floor(
    figure: str,
    value: float,
    ok: bool,
    on_target: bool,
) -> None:
    """Ratios of rates must be high, counts low, and P1 exact: fewer flushes would be unsafe."""
    measured = Figure(BY_ID[figure], value)
    assert (measured.ok, measured.on_target) == (ok, on_target)


def test_a_figure_without_a_value_is_never_ok_and_says_why() -> None:
    """Nothing is dropped: even a figure that has no floor fails when it was not measured."""
    shape = unmeasured(BY_ID["M1"], "no such thing here").as_json()
    assert (shape["value"], shape["ok"], shape["reason"]) == (None, False, "no such thing here")


def test_the_json_of_a_figure_has_the_agreed_keys() -> None:
    """Consumers read these six; the others explain."""
    shape = Figure(Goal("P0", "a name", 1.0, 2.0, Better.HIGHER), 1.23456, rounds=(1.0, 1.5)).as_json()
    assert shape == {
        "id": "P0",
        "name": "a name",
        "value": 1.235,
        "floor": 1.0,
        "target": 2.0,
        "ok": True,
        "better": "higher",
        "rounds": [1.0, 1.5],
    }


def test_an_id_names_its_parts_too() -> None:
    """`P9` stands for both of its figures, `P9.64` for one."""
    assert [goal.id for goal in goals(frozenset({"P9", "P6"}))] == ["P6", "P9.1", "P9.64"]
    assert [goal.id for goal in goals(frozenset({"P9.64"}))] == ["P9.64"]
    assert goals(frozenset()) == GOALS


def test_an_unknown_id_is_refused_by_name() -> None:
    """A typo must not run nothing and pass."""
    with pytest.raises(ValueError, match="P99"):
        goals(frozenset({"P6", "P99"}))
