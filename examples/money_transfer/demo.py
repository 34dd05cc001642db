"""`saga demo`: everything that can happen to a transfer, a file of them, and the proof of every cent."""

import asyncio
import json
import os
import shlex
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence

from rich.console import Console

from saga import SagaView

from .batch_chapter import BatchReport, carry_out
from .chapters import Stage, compensated, happy_path, in_doubt, killed, stuck
from .engines import Engines, ServerMissingError, Temporal, prepare
from .folder import FolderError, RunFolder, opened
from .proof import prove
from .report import Chapter, Report, show_batch, show_proof
from .transfers import count_rows
from .world import TRANSFERS, World

__all__ = ("main",)

MOST = 1_000_000
"""Rows of a run; more would only take longer."""

INTERRUPTED = 130
NOBODY_READS = 141

CHAPTERS = (happy_path, compensated, in_doubt, killed, stuck)


def main(*, transfers: int, kill: bool, as_json: bool, directory: str | None, server: str | None = None) -> int:
    """Run the demo.

    Args:
        transfers: How many rows of transfers the file has, 1 to 1,000,000; a run that goes on keeps its own number.
        kill: Whether the processes that carry it out are killed several times.
        as_json: Print one JSON document instead of the story.
        directory: Where the databases are kept: an empty or new folder, or that of a run that was interrupted, which
            then goes on; None for a temporary one.
        server: Address of a Temporal server, to run on its engine; None for the embedded one.

    Returns:
        0 if the proof holds, 1 if it does not, 2 if the arguments do not allow a run, 130 if it was interrupted,
        141 if whoever read its output went away.
    """
    if not 1 <= transfers <= MOST:
        return _refuse(f"{transfers:,} transfers cannot be made; give 1 or more, at most {MOST:,}", as_json=as_json)
    try:
        if server is not None:
            prepare()
        with opened(directory, rows=transfers, engine="embedded" if server is None else "temporal") as folder:
            engines = None if server is None else Temporal(server, folder.task_queue)
            report = asyncio.run(_run(folder, _console(quiet=as_json), engines, kill=kill))
            folder.finish()
            _print(report, as_json=as_json)
    except (FolderError, ServerMissingError) as error:
        return _refuse(str(error), as_json=as_json)
    except KeyboardInterrupt:
        return _refuse(_interrupted(directory, server), as_json=as_json, code=INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python still writes at its end
        return NOBODY_READS
    return 0 if report.holds else 1


class _Story(Console):
    """Where the story is told: whoever stops reading ends it."""

    def on_broken_pipe(self) -> None:
        """Leave it to who called: Rich itself would end the process as if the proof had failed."""
        raise  # noqa: PLE0704 - Rich calls this while it handles the error


def _console(*, quiet: bool) -> Console:
    return _Story(quiet=quiet, highlight=False)


def _print(report: Report, *, as_json: bool) -> None:
    if as_json:
        print(report.model_dump_json(indent=2), flush=True)


def _interrupted(directory: str | None, server: str | None) -> str:
    if directory is None:
        return "interrupted; its temporary folder is gone. With --directory DIR a run goes on after an interruption"
    again = f"python -m {__package__} --engine temporal --address {shlex.quote(server)}" if server else "saga demo"
    return f"interrupted; nothing is lost. It goes on with: {again} --directory {shlex.quote(directory)}"


def _refuse(reason: str, *, as_json: bool, code: int = 2) -> int:
    name = "Interrupted" if code == INTERRUPTED else "UsageError"
    told = json.dumps({"error": {"type": name, "message": reason, "exit_code": code}})
    print(told if as_json else reason, file=sys.stderr)
    return code


async def _run(folder: RunFolder, console: Console, engines: Engines | None, *, kill: bool) -> Report:
    began = time.perf_counter()
    if folder.resumed:
        console.print(f"A run of {folder.rows} rows was interrupted here; it goes on.")
    with World.at(folder.path, engines) as world:
        world.open_accounts(times=-(-folder.rows // count_rows(TRANSFERS)))
        stage = Stage(folder.path, world, console)
        chapters = [await _play(stage, folder, number, one) for number, one in enumerate(CHAPTERS, start=1)]
        _title(console, f"{len(CHAPTERS) + 1}. A file of transfers{' and several kills' if kill else ''}.")
        batch = await carry_out(stage, rows=folder.rows, kill=kill)
        show_batch(console, batch)
        _title(console, "The proof.")
        async with world.engine() as engine:
            proof = await prove(world, engine, acknowledged=_acknowledged(chapters, batch))
        show_proof(console, proof)
    return Report(
        engine=world.engines.name,
        rows=folder.rows,
        accepted=len(batch.orders.accepted),
        refused=batch.orders.refused,
        states=Counter(batch.ended.values()),
        kills=batch.kills,
        chapters=tuple(chapters),
        seconds=round(time.perf_counter() - began, 1),
        holds=proof.holds,
        proof=proof,
    )


def _acknowledged(chapters: Iterable[Chapter], batch: BatchReport) -> set[str]:
    return batch.acknowledged.union(*(chapter.states for chapter in chapters))


async def _play(
    stage: Stage, folder: RunFolder, number: int, play: Callable[[Stage], Awaitable[Sequence[SagaView]]]
) -> Chapter:
    title = play.__doc__ or ""
    _title(stage.console, f"{number}. {title}")
    told = folder.told(number)
    if told is None:
        views = await play(stage)
        told = Chapter(title=title, states={view.id: view.state.value for view in views})
        folder.keep(number, told)
    else:
        stage.say("It was told before the interruption.")
    return told


def _title(console: Console, text: str) -> None:
    console.print()
    console.rule(f"[bold]{text}", align="left")
