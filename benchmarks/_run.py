"""Runs a benchmark from its command line: measures, prints the tables, and returns the exit code."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ._databases import databases
from ._environment import environment
from ._figures import Figure, Goal, goals
from ._measure import Measuring
from ._plan import Plan
from ._reading import Reading
from ._report import report, show
from ._settings import Settings

REPORT_COLUMNS: Final = 130
INTERRUPTED: Final = 130
QUIET_LOAD: Final = 0.5
"""Above it others use the machine, and rates and ratios are not to be trusted."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What one benchmark measures.

    Attributes:
        name: module that is started.
        about: what `--help` says.
        goals: its figures.
        plan: what has to run for some of them.
        reading: what reads them off the measurements.
        quick: settings of `--quick`.
        full: settings without it.
    """

    name: str
    about: str | None
    goals: tuple[Goal, ...]
    plan: Callable[[Iterable[Goal], Settings], Plan]
    reading: type[Reading]
    quick: Settings
    full: Settings


def run(benchmark: Benchmark, arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and return its exit code."""
    parser = _parser(benchmark)
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that servers and children are ended
    try:
        figures, shape = _measured(benchmark, options)
    except ValueError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        return INTERRUPTED
    line = json.dumps(shape)
    if options.json is None:
        print(line)
    else:
        options.json.write_text(line + "\n", encoding="utf-8")
    return 0 if all(figure.ok for figure in figures) else 1


def _measured(benchmark: Benchmark, options: argparse.Namespace) -> tuple[list[Figure], dict[str, object]]:
    """Measure what the options ask for, print the tables, and return figures and report.

    Raises:
        ValueError: if a figure is asked for that does not exist.
    """
    wanted = goals(frozenset(options.only), benchmark.goals)
    settings = _settings(benchmark, options)
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    todo = benchmark.plan(wanted, settings)
    latest = time.monotonic() + settings.budget_seconds
    load_before, _, _ = os.getloadavg()
    with databases(options.directory, todo.databases) as made:
        with _progress(todo, settings) as tell:
            results = asyncio.run(Measuring(settings, made, seed, tell, latest=latest).run(todo))
        described = environment(settings, made, results, seed=seed, load_before=load_before)
    figures = benchmark.reading(results, settings).figures(wanted)
    console = _console()
    show(console, figures, results)
    if load_before > QUIET_LOAD:
        console.print(f"The machine was busy when this began (load {load_before:.1f}): trust the counts only.")
    return figures, report(figures, results, described)


def _console() -> Console:
    """Where no terminal says how wide it is, a log has room for a figure per line."""
    return Console() if sys.stdout.isatty() else Console(width=REPORT_COLUMNS)


def _settings(benchmark: Benchmark, options: argparse.Namespace) -> Settings:
    settings = benchmark.quick if options.quick else benchmark.full
    if options.rounds is not None:
        settings = replace(settings, rounds=options.rounds)
    return replace(settings, payload_bytes=options.payload_bytes)


@contextmanager
def _progress(todo: Plan, settings: Settings) -> Generator[Callable[[str], None]]:
    """Show how far the run is, on stderr, so that the report can be piped; a log gets a line per step."""
    if not sys.stderr.isatty():
        yield lambda words: print(words, file=sys.stderr, flush=True)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    steps = len(todo.countings) + len(todo.cells) * (1 + settings.rounds)
    steps += 2 * (settings.cold_starts + 1) * todo.cold_start + len(todo.jobs)
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("start", total=steps)
        yield lambda words: bar.update(task, advance=1, description=words)


def _parser(benchmark: Benchmark) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {benchmark.name}", description=benchmark.about)
    add = parser.add_argument
    add(
        "--quick",
        action="store_true",
        help=f"fewer rounds and cells; measures for at most {benchmark.quick.budget_seconds:.0f} s",
    )
    add("--json", type=Path, metavar="FILE", help="write the JSON report there instead of to stdout")
    add("--only", type=_ids, default=(), metavar="P6,P7", help="measure only these figures")
    add("--rounds", type=_positive, help="interleaved rounds")
    add("--payload-bytes", type=_positive, default=benchmark.full.payload_bytes, help="JSON of each payload (256)")
    add("--seed", type=int, help="of the order of cells, to repeat a run")
    add("--directory", type=Path, help="where the databases lie while it runs; default: the system's")
    return parser


def _ids(text: str) -> tuple[str, ...]:
    return tuple(_id(part.strip()) for part in text.split(",") if part.strip())


def _id(text: str) -> str:
    """Return `P14.replay` for `p14.replay`: only what stands before the point is a letter and a number."""
    first, point, rest = text.partition(".")
    return first.upper() + point + rest


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not positive")
    return value
