"""Runs a plan: opens every cell in a process of its own, shuffles them in every round, collects."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from ._cells import Cell, Database, Spec
from ._databases import Databases
from ._durability import Durability
from ._flush_calls import flush_calls, strace
from ._load import Round
from ._parent import ROOT, Child, ChildError, ask_once
from ._plan import Counting, Job, Plan
from ._settings import Settings

Tell: TypeAlias = Callable[[str], None]
Answer: TypeAlias = dict[str, Any]
JOB_SECONDS: Final = 300.0
ENGINES: Final = ("ours", "dbos")


@dataclass(slots=True)
class Measurements:
    """Everything that was measured, and why the rest was not.

    Attributes:
        rounds: what each timed cell did, round by round.
        durability: what each timed cell's database said of itself.
        counts: the answers of the counting jobs.
        cold: seconds of each cold start, by engine.
        answers: what each job answered.
        failures: why a cell or a job gave nothing.
        missing: why everything else that is absent is absent.
    """

    rounds: dict[Cell, list[Round]] = field(default_factory=dict[Cell, list[Round]])
    durability: dict[Cell, Durability] = field(default_factory=dict[Cell, Durability])
    counts: dict[Counting, dict[str, float]] = field(default_factory=dict[Counting, dict[str, float]])
    cold: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    answers: dict[Job, Answer] = field(default_factory=dict[Job, Answer])
    failures: dict[object, str] = field(default_factory=dict[object, str])
    missing: str = "it was not measured"

    def even_out(self) -> None:
        """Drop what only some of those that are compared had the time for."""
        self.rounds = {cell: rounds for cell, rounds in self.rounds.items() if rounds}
        fewest = min(map(len, self.rounds.values()), default=0)
        self.rounds = {cell: rounds[:fewest] for cell, rounds in self.rounds.items()}
        pairs = min((len(self.cold.get(engine, [])) for engine in ENGINES), default=0)
        self.cold = {engine: seconds[:pairs] for engine, seconds in self.cold.items()}


class Measuring:
    """One run of the benchmark."""

    def __init__(self, settings: Settings, databases: Databases, seed: int, tell: Tell, *, latest: float) -> None:
        self._settings = settings
        self._databases = databases
        self._random = random.Random(seed)
        self._tell = tell
        self._results = Measurements()
        self._latest = latest
        self._beside: frozenset[Cell] = frozenset()

    async def run(self, plan: Plan) -> Measurements:
        """Run the plan until `latest`, by the monotonic clock; what fails is noted and the rest goes on."""
        try:
            async with asyncio.timeout(self._latest - time.monotonic()):
                await self._run(plan)
        except TimeoutError:
            self._tell("no time is left")
            self._results.missing = f"no time was left: the machine took over {self._settings.budget_seconds:g} s"
        self._results.even_out()
        return self._results

    async def _run(self, plan: Plan) -> None:
        self._beside = plan.beside
        for counting in plan.countings:
            await self._count(counting)
        if plan.cold_start:
            await self._cold_starts()
        for job in plan.jobs:
            await self._job(job)
        async with AsyncExitStack() as running:
            kept = {} if self._settings.reopen else await self._open(plan.cells, running)
            await self._rounds(plan.cells, kept)

    async def _open(self, cells: Iterable[Cell], running: AsyncExitStack) -> dict[Cell, Child]:
        """Open what all cells need, as many at a time as there are processors."""
        places = asyncio.Semaphore(os.cpu_count() or 1)

        async def open_one(cell: Cell) -> tuple[Cell, Child | None]:
            async with places:
                self._tell(f"open {cell.name}")
                return cell, await self._child(cell, running)

        opened = await asyncio.gather(*map(open_one, dict.fromkeys(map(self._place, cells))))
        return {cell: child for cell, child in opened if child is not None}

    async def _child(self, cell: Cell, running: AsyncExitStack) -> Child | None:
        try:
            child = await Child.start(self._spec("timed", cell))
            running.push_async_callback(child.end)
            self._results.durability[cell] = await child.ready()
        except (ChildError, RuntimeError) as error:
            self._fail(cell, error)
            return None
        return child

    async def _rounds(self, cells: Collection[Cell], kept: dict[Cell, Child]) -> None:
        longest = 0.0
        for number in range(1, self._settings.rounds + 1):
            began = time.monotonic()
            if number > 1 and began + longest > self._latest:
                self._tell(f"no time for round {number}")
                return
            for cell in self._shuffled(cells):
                self._tell(f"round {number}: {cell.name}")
                await self._turn(cell, kept)
            longest = max(longest, time.monotonic() - began)

    async def _turn(self, cell: Cell, kept: dict[Cell, Child]) -> None:
        """Measure one cell for one round; a cell that failed once is out."""
        if cell in self._results.failures:
            return
        async with AsyncExitStack() as running:
            child = kept.get(self._place(cell)) or await self._child(cell, running)
            if child is None:
                return
            try:
                seconds, warm_up = self._seconds(cell)
                done = await child.round(cell.in_flight, seconds, warm_up)
                self._results.rounds.setdefault(cell, []).append(done)
            except ChildError as error:
                self._fail(cell, error)

    def _place(self, cell: Cell) -> Cell:
        """Return the cell whose child serves this one, which is its own unless children are shared."""
        return replace(cell, in_flight=1) if self._settings.share else cell

    def _seconds(self, cell: Cell) -> tuple[float, float]:
        """Return how long its window is, and the load before it."""
        if cell not in self._beside:
            return self._settings.round_seconds, self._settings.warm_up_seconds
        return self._settings.beside_seconds, self._settings.beside_seconds / 2

    def _shuffled(self, cells: Collection[Cell]) -> list[Cell]:
        """Return the cells in a new order, those with as many in flight together: they are compared most often.

        What is only shown beside them comes last, in case that no time is left.
        """
        numbers = dict.fromkeys(cell.in_flight for cell in cells)
        order = {number: self._random.random() for number in numbers}
        return sorted(cells, key=lambda cell: (cell in self._beside, order[cell.in_flight], self._random.random()))

    async def _count(self, counting: Counting) -> None:
        self._tell(f"count {counting.cell.name}")
        spec = self._spec("counted", counting.cell, counting.sagas, counting.jitter_ms)
        try:
            self._results.counts[counting] = await ask_once(spec, JOB_SECONDS)
            if self._settings.every_cell:
                await self._cross_check(counting)
        except (ChildError, RuntimeError) as error:
            self._fail(counting, error)

    async def _cross_check(self, counting: Counting) -> None:
        """Count once more, this time the kernel's calls: tracing slows, so it is a run of its own."""
        output = self._databases.folder / "flushes"
        if not (under := strace(output)):
            return
        spec = self._spec("counted", counting.cell, counting.sagas, counting.jitter_ms)
        answer = await ask_once(spec, JOB_SECONDS, under=under)
        lines = output.read_text().splitlines() if output.exists() else []
        calls = flush_calls(lines, answer["began_epoch_seconds"], answer["ended_epoch_seconds"])
        self._results.counts[counting]["kernel_flush_calls_per_saga"] = calls / counting.sagas

    async def _job(self, job: Job) -> None:
        self._tell(f"{job.kind} {job.cell.name}")
        try:
            spec = self._spec(job.kind, job.cell, job.sagas, completed=job.completed, rounds=job.rounds)
            self._results.answers[job] = await ask_once(spec, JOB_SECONDS)
        except (ChildError, RuntimeError) as error:
            self._fail(job, error)

    async def _cold_starts(self) -> None:
        for number in range(self._settings.cold_starts + 1):
            for engine in ENGINES:
                self._tell(f"cold start {engine}")
                seconds = await self._cold_start(engine)
                if number and seconds is not None:  # the first pair only fills caches
                    self._results.cold.setdefault(engine, []).append(seconds)

    async def _cold_start(self, engine: str) -> float | None:
        if engine in self._results.failures:
            return None
        url = self._databases.fresh(Database.SQLITE_AS_SHIPPED)
        command = (sys.executable, "-m", f"{__package__}._cold", engine, url)
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        try:
            output, errors = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode == 0:
            return float(output.splitlines()[-1])
        last = (errors.decode(errors="replace").strip().splitlines() or ["it ended without a word"])[-1]
        self._fail(engine, ChildError(last))
        return None

    def _spec(
        self, kind: str, cell: Cell, count: int = 0, jitter_ms: float = 0.0, *, completed: int = 0, rounds: int = 0
    ) -> Spec:
        url = self._databases.fresh(cell.database)
        return Spec(kind, cell, url, self._settings.payload_bytes, jitter_ms, count, completed, rounds)

    def _fail(self, what: object, error: Exception) -> None:
        words = str(error).replace(str(self._databases.folder), "DIR")
        self._results.failures[what] = words
        if isinstance(what, Cell):  # half of its rounds would be compared with all of another's
            self._results.rounds.pop(what, None)
        self._tell(f"failed: {words}")
