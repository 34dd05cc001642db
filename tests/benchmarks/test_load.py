"""Load, payloads, the bare reference and the child processes, all of them real."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks._bare import bare
from benchmarks._cells import BARE_64, DBOS_1, OURS_1, Spec, cells_for, decode_spec, peer_cells
from benchmarks._cells import Database as Where
from benchmarks._child import reason
from benchmarks._databases import databases
from benchmarks._figures import GOALS, goals
from benchmarks._load import Burst, Window, drive, drive_count, drive_threads, window
from benchmarks._measure import Measurements, Measuring
from benchmarks._parent import Child, ChildError, ask_once
from benchmarks._payload import encode, payload
from benchmarks._plan import plan
from benchmarks._settings import FULL, QUICK
from benchmarks.embedded import main

pytestmark = pytest.mark.timeout(60)


def spec(path: Path, kind: str = "timed", *, count: int = 0) -> Spec:
    """Return what a child of the bare reference is told."""
    return Spec(kind, BARE_64, f"sqlite:///{path / 'bare.db'}", payload_bytes=256, count=count)


def test_a_window_counts_what_ends_inside_it() -> None:
    """Neither the cold start before it nor the slow tail after it is charged."""
    measured = Window(10.0, 20.0)
    for began, ended in [(8.0, 9.0), (9.0, 11.0), (12.0, 20.0), (12.0, 21.0)]:
        measured.note(began, ended)
    result = measured.result()
    assert (result.sagas, result.sagas_per_second) == (2, 0.2)
    assert (result.p50_ms, result.p99_ms) == (2000.0, 8000.0)


def test_an_empty_window_is_an_error() -> None:
    """A rate of zero would make a ratio of anything."""
    with pytest.raises(RuntimeError, match="make it longer"):
        Window(0.0, 1.0).result()


def test_a_burst_counts_what_ends_after_it_closed_but_not_the_last_quarter() -> None:
    """A saga that a server held back does not decide how long the others took."""
    measured = Burst(10.0, 11.0)
    for ended in (10.5, 11.5, 12.5, 60.0):
        measured.note(10.0, ended)
    result = measured.result()
    assert (result.sagas, result.seconds, result.p99_ms) == (3, 2.5, 50_000.0)


def test_load_never_exceeds_what_is_in_flight() -> None:
    """Eight in flight are eight, and all of them are used."""
    running, most = 0, 0

    async def run_one(_number: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    asyncio.run(drive(run_one, 8, window(0.0, 0.5), itertools.count()))
    assert most == 8


def test_a_counted_load_runs_each_saga_once() -> None:
    """Counts per saga need an exact number of sagas."""
    seen: list[int] = []

    async def run_one(number: int) -> None:
        await asyncio.sleep(0)
        seen.append(number)

    asyncio.run(drive_count(run_one, 8, 100, itertools.count()))
    assert sorted(seen) == list(range(100))


def test_an_error_on_a_thread_ends_the_round() -> None:
    """A cell whose threads die must not report what the others did."""

    def run_one(_number: int) -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        drive_threads(run_one, 2, window(0.0, 0.05), itertools.count())


@pytest.mark.parametrize("size", [80, 256, 10_000])
def test_a_payload_has_exactly_its_size(size: int) -> None:
    """Every engine carries the same bytes."""
    assert len(encode(payload(size))) == size


def test_a_payload_too_small_for_its_fields_is_refused() -> None:
    """The smallest size is named."""
    with pytest.raises(ValueError, match="at least"):
        payload(10)


def test_the_bare_reference_journals_intent_and_outcome_of_every_step(tmp_path: Path) -> None:
    """It does what an engine must: eight facts for three steps, in order, with their payloads."""

    async def run() -> None:
        async with bare(spec(tmp_path)) as run_one:
            await asyncio.gather(run_one(1), run_one(2))

    asyncio.run(run())
    with closing(sqlite3.connect(tmp_path / "bare.db")) as connection:
        rows = connection.execute("SELECT saga, kind, length(body) FROM facts ORDER BY saga, position").fetchall()
    kinds = ["started", *["registered", "done"] * 3, "completed"]
    assert rows == [(f"saga-{number}", kind, 256) for number in (1, 2) for kind in kinds]


def test_a_child_serves_rounds_until_it_is_ended(tmp_path: Path) -> None:
    """One process per cell, asked again in every round."""

    async def run() -> list[int]:
        child = await Child.start(spec(tmp_path))
        try:
            assert (await child.ready()).words == "wal, synchronous=FULL"
            return [(await child.round(64, 1.0, 0.0)).sagas for _ in range(2)]
        finally:
            await child.end()

    assert all(sagas > 0 for sagas in asyncio.run(run()))


def test_the_bare_reference_takes_n_plus_1_flushes(tmp_path: Path) -> None:
    """It is the floor that P1 asks our engine to reach, counted by the same counter."""
    alone = replace(spec(tmp_path, "counted", count=20), cell=replace(BARE_64, in_flight=1))
    answer = asyncio.run(ask_once(alone, 30.0))
    assert (answer["flushes_per_saga"], answer["statements_per_saga"]) == (4.0, 4.0)
    assert answer["journal_bytes_per_saga"] > 8 * 256


def test_a_child_that_cannot_measure_says_why(tmp_path: Path) -> None:
    """The reason travels to the figure."""
    missing = replace(spec(tmp_path), url=f"sqlite:///{tmp_path / 'no such folder' / 'x.db'}")
    with pytest.raises(ChildError, match="OperationalError"):
        asyncio.run(ask_once(missing, 30.0))


def test_a_group_of_errors_is_told_by_its_first_leaf() -> None:
    """A report has room for a line."""
    group = ExceptionGroup("g", [ExceptionGroup("h", [ValueError("first\nsecond")]), OSError("other")])
    assert reason(group) == "ValueError: first"


def test_a_spec_survives_the_way_to_the_child(tmp_path: Path) -> None:
    """What the child does is what the parent asked for."""
    told = replace(spec(tmp_path, "counted", count=7), jitter_ms=5.0)
    assert decode_spec(told.encode()) == told


def test_a_plan_holds_only_what_the_figures_need() -> None:
    """`--only P6` opens no PostgreSQL, counts nothing and starts nothing cold."""
    small = plan(goals(frozenset({"P6"})), QUICK)
    assert (small.cells, small.countings) == ((OURS_1, DBOS_1), ())
    assert not any([small.jobs, small.cold_start])
    assert small.databases == {Where.SQLITE}


def test_a_plan_of_everything_has_each_cell_once() -> None:
    """A cell that three figures share is timed once per round."""
    cells = plan(GOALS, FULL).cells
    assert len(cells) == len(set(cells))
    assert {cell for goal in GOALS for cell in cells_for(goal.id, every=True)} <= set(cells)


def test_a_quick_run_keeps_the_peers_contenders() -> None:
    """It leaves out cells, never the one at a time that is often the best."""
    quick, every = (peer_cells(Where.SQLITE, every=flag) for flag in (False, True))
    assert DBOS_1 in quick
    assert set(quick) < set(every)


def test_an_unknown_figure_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and the name that was not understood."""
    with pytest.raises(SystemExit) as ended:
        main(["--only", "P99"])
    assert ended.value.code == 2
    assert "P99" in capsys.readouterr().err


def test_a_run_ends_in_time_and_names_what_is_missing(tmp_path: Path) -> None:
    """The budget is a promise: a run that is out of time reports what it has, and each gap."""

    async def run() -> Measurements:
        with databases(tmp_path, frozenset()) as made:
            measuring = Measuring(QUICK, made, 1, lambda _words: None, latest=time.monotonic() + 0.2)
            return await measuring.run(plan(goals(frozenset({"P10"})), QUICK))

    results = asyncio.run(run())
    assert results.rounds == {}
    assert "no time" in results.missing
