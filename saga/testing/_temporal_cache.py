"""A folder in the user's cache that one process fills once, and all others find filled."""

from __future__ import annotations

import os
import shutil
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from saga.testing._places import AbsentError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ("cached", "fetched", "tell")

WAIT_SECONDS = 1800  # another process may be building on a busy machine
LOOK_SECONDS = 0.2


def cached(name: str) -> Path | None:
    """Return the folder of that name, if an earlier run has filled it."""
    folder = _cache() / name
    return folder if folder.is_dir() else None


def fetched(name: str, fill: Callable[[Path], None]) -> Path:
    """Return the folder of that name; if there is none, make it of what `fill` puts into an empty one.

    Only one process fills at a time. A folder that was filled in part is never seen.

    Raises:
        AbsentError: if the cache cannot be written, or whatever `fill` says.
    """
    folder = _cache() / name
    try:
        folder.parent.mkdir(0o700, parents=True, exist_ok=True)
        with _locked(folder.with_name(f"{name}.lock")):
            if not folder.is_dir():
                _make(folder, fill)
    except OSError as error:
        raise AbsentError(f"the cache cannot be written: {error}") from error
    return folder


def tell(message: str) -> None:
    """Say on standard error what takes so long."""
    print(f"sagakit: {message}", file=sys.stderr, flush=True)  # noqa: T201 - whoever waits must see why


def _cache() -> Path:
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        return (given if given.is_absolute() else Path.home() / ".cache") / "sagakit"
    except RuntimeError as error:
        raise AbsentError(f"there is no folder for a cache: {error}") from error


def _make(folder: Path, fill: Callable[[Path], None]) -> None:
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # left by a process that was killed
    part.mkdir(0o700)
    try:
        fill(part)
        part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Generator[None]:
    """Hold the lock; it goes with the process, however that ends."""
    with path.open("ab") as file:
        if not _taken(file):
            tell(f"another process is fetching {path.stem}, waiting for it")
            _wait(file)
        yield


def _wait(file: IO[bytes]) -> None:
    latest = time.monotonic() + WAIT_SECONDS
    while not _taken(file):
        if time.monotonic() > latest:
            raise AbsentError(f"another process holds {file.name} for {WAIT_SECONDS} seconds")
        time.sleep(LOOK_SECONDS)


def _taken(file: IO[bytes]) -> bool:
    if sys.platform == "win32":
        raise AbsentError("the cache is locked in a way that Windows does not have")
    import fcntl  # noqa: PLC0415 - not on every platform

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
