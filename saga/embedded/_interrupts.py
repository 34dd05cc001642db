"""What ends more than a saga, such as KeyboardInterrupt: it goes to whoever runs the loop."""

from __future__ import annotations

import asyncio
from typing import Final

from saga.errors import SagaError

__all__ = ("INTERRUPTS", "InterruptedDriveError", "is_thrown_away", "let_go")

INTERRUPTS: Final = (KeyboardInterrupt, SystemExit)
"""What asyncio passes on to whoever runs the loop, wherever it is raised."""


class InterruptedDriveError(SagaError):
    """An instance was let go of for a reason that is none of its own; it is taken up again in a moment."""


def let_go(saga: str, id: str, error: BaseException) -> Exception:
    """Return what is told of an instance that an exception has ended in this process.

    An interrupt is passed on to whoever runs the loop. To be called once for each.
    """
    if isinstance(error, Exception):
        return error
    if isinstance(error, INTERRUPTS):
        asyncio.get_running_loop().call_soon(_raise, error)
    is_over = isinstance(error, (*INTERRUPTS, asyncio.CancelledError))
    told = (InterruptedDriveError if is_over else SagaError)(
        f"{saga} {id}: {type(error).__name__} was raised in run, in an activity or in the task that drives it; this "
        "engine let go of the instance, and takes it up again if its start is durable. It has to end with a result "
        "or with an Exception"
    )
    told.__cause__ = error
    return told


def is_thrown_away(task: asyncio.Task[None] | None) -> bool:
    """Tell, where GeneratorExit is seen, whether Python closes the coroutine of a task that nobody runs any more."""
    try:
        return asyncio.current_task() is not task
    except RuntimeError:  # not even the loop runs
        return True


def _raise(error: BaseException) -> None:
    raise error
