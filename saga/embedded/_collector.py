"""Rests the interpreter's garbage collector while many instances are read."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ("collector_resting",)


@contextmanager
def collector_resting() -> Generator[None]:
    """Make no automatic collection while the block lasts.

    Everything that is read and built stays in use, so that a collector finds nothing, however often it looks
    through all of it: with ten thousand open instances that takes longer than reading and replaying them.
    """
    was_at_work = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_at_work:
            gc.enable()
