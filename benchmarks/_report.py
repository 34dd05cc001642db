"""Shows a run: tables for people, one JSON value for everything else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, cast

from rich.console import Console
from rich.table import Table

from ._arithmetic import median
from ._cells import Cell
from ._figures import Better, Figure
from ._load import Round
from ._measure import Answer, Measurements
from ._plan import Job

_SIGNS: Final = {Better.HIGHER: "≥ ", Better.LOWER: "≤ ", Better.EQUAL: "= ", Better.REPORTED: ""}


def report(figures: Iterable[Figure], results: Measurements, environment: dict[str, object]) -> dict[str, object]:
    """Return the JSON report."""
    return {
        "figures": [figure.as_json() for figure in figures],
        "cells": [cell_as_json(cell, rounds) for cell, rounds in results.rounds.items() if rounds],
        "counts": [
            {"cell": job.cell.name, "sagas": job.sagas, "jitter_ms": job.jitter_ms, **_counts_only(counts)}
            for job, counts in results.counts.items()
        ],
        "cold_start_seconds": {engine: round(median(s), 3) for engine, s in results.cold.items()},
        "jobs": [
            {"job": job.kind, "cell": job.cell.name, "sagas": job.sagas, **_rounded(answer)}
            for job, answer in results.answers.items()
        ],
        "failures": {_name(what): reason for what, reason in results.failures.items()},
        "environment": environment,
    }


def cell_as_json(cell: Cell, rounds: list[Round]) -> dict[str, object]:
    """Return one timed cell: medians over its rounds, and the rate of each round."""
    return {
        "cell": cell.name,
        "sagas_per_second": round(median([r.sagas_per_second for r in rounds]), 1),
        "p50_ms": round(median([r.p50_ms for r in rounds]), 3),
        "p99_ms": round(median([r.p99_ms for r in rounds]), 3),
        "cpu_ms_per_saga": round(median([r.cpu_ms_per_saga for r in rounds]), 3),
        "rounds_sagas_per_second": [round(r.sagas_per_second, 1) for r in rounds],
    }


def show(console: Console, figures: Iterable[Figure], results: Measurements) -> None:
    """Print what a person reads."""
    console.print(_cell_table(results))
    if results.counts:
        console.print(_count_table(results))
    if results.answers:
        console.print(_job_table(results))
    console.print(_figure_table(figures))
    for what, reason in results.failures.items():
        console.print(f"{_name(what)}: {reason}", markup=False)


def _figure_table(figures: Iterable[Figure]) -> Table:
    table = _table("Figures", "id", "figure", "value", "floor", "target", "")
    for figure in figures:
        goal, sign = figure.goal, _SIGNS[figure.goal.better]
        value = "-" if figure.value is None else f"{figure.value:.3g}"
        if figure.rounds:
            value += f" ({min(figure.rounds):.3g} - {max(figure.rounds):.3g})"
        table.add_row(
            goal.id,
            goal.name if figure.reason is None else f"{goal.name}\n{figure.reason}",
            value,
            _limit(sign, goal.floor),
            _limit(sign, goal.target),
            _verdict(figure),
        )
    return table


def _limit(sign: str, limit: float | None) -> str:
    return "" if limit is None else f"{sign}{limit:g}"


def _verdict(figure: Figure) -> str:
    if figure.ok and figure.goal.better is Better.REPORTED:
        return "reported"
    if figure.ok:
        return "target met" if figure.on_target and figure.goal.target is not None else "floor met"
    return "BELOW FLOOR" if figure.value is not None else "NOT MEASURED"


def _cell_table(results: Measurements) -> Table:
    table = _table("Cells (medians over rounds)", "cell", "sagas/s", "p50 ms", "p99 ms", "CPU ms/saga")
    for cell, rounds in sorted(results.rounds.items(), key=lambda item: item[0].name):
        if rounds:
            shape = cell_as_json(cell, rounds)
            keys = ("cell", "sagas_per_second", "p50_ms", "p99_ms", "cpu_ms_per_saga")
            table.add_row(*(str(shape[key]) for key in keys))
    return table


def _count_table(results: Measurements) -> Table:
    title = "Counts per saga (flushes in brackets: as the kernel counts them)"
    table = _table(title, "cell", "jitter ms", "flushes", "statements", "journal bytes")
    for job, counts in results.counts.items():
        kernel = counts.get("kernel_flush_calls_per_saga")
        flushes = f"{counts['flushes_per_saga']:.3f}" + ("" if kernel is None else f" ({kernel:.3f})")
        statements, kept = counts["statements_per_saga"], counts["journal_bytes_per_saga"]
        table.add_row(job.cell.name, f"{job.jitter_ms:g}", flushes, f"{statements:.2f}", f"{kept:.0f}")
    return table


def _job_table(results: Measurements) -> Table:
    table = _table("Jobs (medians over rounds, smallest and largest in brackets)", "cell", "what", "value")
    for job, answer in results.answers.items():
        for name, value in answer.items():
            table.add_row(job.cell.name, f"{job.kind}: {name}", _spread(value))
    return table


def _spread(value: Any) -> str:  # as in `_number`
    if isinstance(value, list):
        numbers = cast("list[float]", value)
        return f"{median(numbers):.3g} ({min(numbers):.3g} - {max(numbers):.3g})"
    return f"{value:.4g}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        text = column in {"id", "figure", "cell", "what", ""}
        table.add_column(column, justify="left" if text else "right", overflow="fold")
    return table


def _counts_only(counts: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in counts.items() if not name.endswith("epoch_seconds")}


def _rounded(answer: Answer) -> dict[str, object]:
    return {name: _number(value) for name, value in answer.items()}


def _number(value: Any) -> object:  # what a job answers: a number, or one for each round
    return [round(one, 4) for one in cast("list[float]", value)] if isinstance(value, list) else round(value, 4)


def _name(what: object) -> str:
    cell = getattr(what, "cell", what)
    kind = f"{what.kind} " if isinstance(what, Job) else ""
    return f"{kind}{cell.name}" if isinstance(cell, Cell) else str(what)
