"""How coroutines of the author's end that nobody waits for any more: closed quietly, now, and in order."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine

__all__ = ("close", "close_now")

_CLOSINGS = 100
"""How often a coroutine that awaits while it is closed is closed again."""


def close(task: asyncio.Task[Any]) -> None:
    """Close the coroutine of a task that will never go on; its `finally` blocks run."""
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - asyncio's own switch for loops that drop tasks
    closing = getattr(task.get_coro(), "close", None)  # a task that ended eagerly has none
    if closing is None:
        return
    for _ in range(_CLOSINGS):
        try:
            closing()
        except RuntimeError:
            continue  # it awaited something while it was closed, as a TaskGroup does, and waits there now
        except BaseException:  # noqa: BLE001 - the author's cleanup may fail; the saga has moved on without it
            return
        else:
            return


def close_now(closing: Coroutine[Any, Any, None]) -> None:
    """Run what closes an asynchronous generator, as far as it goes without awaiting."""
    with suppress(BaseException):  # as above
        closing.send(None)
    with suppress(BaseException):
        closing.close()
