"""A process that carries out a file of transfers and prints one line of JSON for everything that happens."""

import argparse
import asyncio
import os
import sys
from datetime import timedelta
from pathlib import Path

from .batch import News, run_batch
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
    given = parser.parse_args()
    try:
        asyncio.run(carry_out(given.directory, given.transfers, timedelta(seconds=given.late)))
    except* BrokenPipeError:  # nobody listens any more; the next worker goes on where the journal ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


async def carry_out(directory: Path, transfers: Path, late: timedelta) -> None:
    """Carry the file out; another process may have begun with it."""
    with World.at(directory) as world:
        source = AnswersLate(directory / "north.db", delay=late) if late else world.north
        async with world.engine(source_bank=source) as engine:
            await run_batch(engine, read_transfers(transfers).accepted, _tell)


def _tell(news: News) -> None:
    print(news.model_dump_json(), flush=True)


if __name__ == "__main__":
    main()
