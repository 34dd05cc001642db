"""Reads that are tried again: a journal that does not answer for a moment is no reason to give an instance up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from saga.errors import JournalError

from ._faults import passes

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("patiently",)

Parameters = ParamSpec("Parameters")
Found = TypeVar("Found")

_PAUSES: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)  # seconds; each read by itself waits for locks as long as it may


async def patiently(read: Callable[Parameters, Found], *args: Parameters.args, **kwargs: Parameters.kwargs) -> Found:
    """Return what a read finds, in a thread; try again a few times if the journal does not answer.

    Raises:
        JournalError: if it still does not, or says something that no other read would change.
    """
    for pause in _PAUSES:
        try:
            return await asyncio.to_thread(read, *args, **kwargs)
        except JournalError as error:
            if not passes(error):
                raise
        await asyncio.sleep(pause)
    return await asyncio.to_thread(read, *args, **kwargs)
