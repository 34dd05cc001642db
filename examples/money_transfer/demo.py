"""`saga demo`: everything that can happen to a transfer, a file of them, and the proof of every cent."""

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from saga import SagaView

from .batch_chapter import carry_out
from .chapters import Stage, compensated, happy_path, in_doubt, killed, stuck
from .proof import prove
from .report import Chapter, Report, show_batch, show_proof
from .transfers import count_rows
from .world import TRANSFERS, World

__all__ = ("main",)

CHAPTERS = (happy_path, compensated, in_doubt, killed, stuck)


def main(*, transfers: int, kill: bool, as_json: bool, directory: str | None) -> int:
    """Run the demo.

    Args:
        transfers: How many rows of transfers the file has, 1 or more.
        kill: Whether the processes that carry it out are killed several times.
        as_json: Print one JSON document instead of the story.
        directory: Where the databases are kept, an empty or new folder; None for a temporary one.

    Returns:
        0 if the proof holds, 1 if it does not, 2 if the arguments do not allow a run.
    """
    if transfers < 1:
        return _refuse(f"{transfers} transfers are none; give 1 or more")
    if directory is not None and Path(directory, "journal.db").exists():
        return _refuse(f"{directory} holds the journal of another run; give an empty folder")
    with _folder(directory) as folder:
        report = asyncio.run(_run(folder, Console(quiet=as_json), rows=transfers, kill=kill))
    if as_json:
        print(report.model_dump_json(indent=2))
    return 0 if report.holds else 1


def _refuse(reason: str) -> int:
    Console(stderr=True).print(reason, highlight=False)
    return 2


@contextmanager
def _folder(directory: str | None) -> Generator[Path]:
    if directory is None:
        with tempfile.TemporaryDirectory(prefix="saga-demo-") as temporary:
            yield Path(temporary)
        return
    folder = Path(directory).resolve()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    yield folder


async def _run(folder: Path, console: Console, *, rows: int, kill: bool) -> Report:
    began = time.perf_counter()
    with World.at(folder) as world:
        world.open_accounts(times=-(-rows // count_rows(TRANSFERS)))
        stage = Stage(folder, world, console)
        chapters = [await _play(stage, number, one) for number, one in enumerate(CHAPTERS, start=1)]
        _title(console, f"{len(CHAPTERS) + 1}. A file of transfers{' and several kills' if kill else ''}.")
        batch = await carry_out(stage, rows=rows, kill=kill)
        show_batch(console, batch)
        _title(console, "The proof.")
        async with world.engine() as engine:
            proof = await prove(world, engine, acknowledged=batch.acknowledged)
        show_proof(console, proof)
    return Report(
        rows=rows,
        accepted=len(batch.orders.accepted),
        refused=batch.orders.refused,
        states=Counter(batch.ended.values()),
        kills=batch.kills,
        chapters=tuple(chapters),
        seconds=round(time.perf_counter() - began, 1),
        holds=proof.holds,
        proof=proof,
    )


async def _play(stage: Stage, number: int, play: Callable[[Stage], Awaitable[Sequence[SagaView]]]) -> Chapter:
    title = play.__doc__ or ""
    _title(stage.console, f"{number}. {title}")
    views = await play(stage)
    return Chapter(title=title, states={view.id: view.state.value for view in views})


def _title(console: Console, text: str) -> None:
    console.print()
    console.rule(f"[bold]{text}", align="left")
