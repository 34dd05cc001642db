"""A process that carries out a file of transfers and prints one line of JSON for everything that happens."""

import argparse
import asyncio
import os
import sys
from datetime import timedelta
from pathlib import Path

from .batch import News, run_batch
from .engines import Engines, Temporal, leave, prepare
from .faults import AnswersLate
from .transfers import read_transfers
from .world import World

__all__ = ("main",)


def main() -> None:
    """Run until every transfer has ended, or until somebody kills this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, help="where the banks and the journal are")
    parser.add_argument("transfers", type=Path, help="the file to carry out")
    parser.add_argument("--late", type=float, default=0.0, help="seconds that the answer to a debit takes")
    parser.add_argument("--address", help="the Temporal server to use instead of the embedded engine")
    parser.add_argument("--task-queue", default="transfers", help="the task queue of this run on that server")
    given = parser.parse_args()
    engines = None if given.address is None else Temporal(given.address, given.task_queue)
    if engines is not None:
        prepare()
    try:
        asyncio.run(carry_out(given.directory, given.transfers, timedelta(seconds=given.late), engines))
    except* BrokenPipeError:  # nobody listens any more; the next worker goes on where the journal ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        leave(1, engines)
    leave(0, engines)


async def carry_out(directory: Path, transfers: Path, late: timedelta, engines: Engines | None) -> None:
    """Carry the file out; another process may have begun with it."""
    with World.at(directory, engines) as world:
        source = AnswersLate(directory / "north.db", delay=late) if late else world.north
        async with world.engine(source_bank=source) as engine:
            orders = read_transfers(transfers).accepted
            await run_batch(engine, orders, _tell, prefix=world.engines.prefix)


def _tell(news: News) -> None:
    print(news.model_dump_json(), flush=True)


if __name__ == "__main__":
    main()
