"""A program of its own: has the Temporal SDK download the dev server into a folder, as the file `temporal`."""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from datetime import timedelta
from pathlib import Path

from temporalio.testing import WorkflowEnvironment

__all__ = ("download",)

START_TIMEOUT = timedelta(seconds=60)


def download(folder: Path, version: str) -> None:
    """Download that version."""
    asyncio.run(_start(str(folder), version))
    program = max(folder.iterdir(), key=lambda file: file.stat().st_size)  # its name is the SDK's own affair
    program.rename(folder / "temporal")


async def _start(folder: str, version: str) -> None:
    # The SDK downloads only together with a start.
    server = await WorkflowEnvironment.start_local(  # pyright: ignore[reportUnknownMemberType] - the SDK's Sequence
        download_dest_dir=folder,
        dev_server_download_version=version,
        dev_server_startup_timeout=START_TIMEOUT,
    )
    await server.shutdown()


def main() -> int:
    """Take the folder and the version from the command line."""
    try:
        download(Path(sys.argv[1]), sys.argv[2])
    except RuntimeError:
        traceback.print_exc(limit=0)
        return 1
    return 0


if __name__ == "__main__":
    os._exit(main())  # the SDK's threads may crash an interpreter that cleans up (temporalio/sdk-python#300)
