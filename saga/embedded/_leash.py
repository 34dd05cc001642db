"""Awaits a coroutine so that it can be let go of, and be continued elsewhere, if it does not stop when asked to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator

__all__ = ("GoesOn", "Leash", "Rest")


class Rest:
    """What is left of an awaited coroutine: awaiting this, in any task, continues it."""

    __slots__ = ("_steps", "_waits")

    def __init__(self, steps: Generator[Any, Any, Any], waits: Any) -> None:
        self._steps = steps
        self._waits = waits

    def __await__(self) -> Generator[Any, Any, Any]:
        """Wait for what it waits for, and so on."""
        steps, waits = self._steps, self._waits
        try:
            while True:
                try:
                    value = yield waits
                except GeneratorExit:
                    steps.close()
                    raise
                except BaseException as error:  # noqa: BLE001 - the loop's, for the coroutine
                    waits = steps.throw(error)
                else:
                    waits = steps.send(value)
        except StopIteration as ended:
            return ended.value


class GoesOn(BaseException):
    """A coroutine goes on though it was let go of.

    Attributes:
        activity: Continues it.
    """

    def __init__(self, activity: Rest) -> None:
        self.activity = activity


class Leash:
    """Awaits a coroutine in the awaiting task, exactly as `await` does, but can let go of it. To be awaited once.

    Attributes:
        slipped: Set it and cancel the task: `GoesOn` is raised, with what is left of the coroutine, which learns
            nothing of that.
    """

    __slots__ = ("_asked", "_awaited", "slipped")

    def __init__(self, awaited: Awaitable[Any]) -> None:
        self._awaited = awaited
        self._asked = False
        self.slipped = False

    def __await__(self) -> Generator[Any, Any, Any]:
        """Wait for it."""
        steps = self._awaited.__await__()
        try:
            waits = steps.send(None)
            while True:
                try:
                    yield waits if self._may_be_cancelled(waits) else _beside(waits)
                except GeneratorExit:
                    steps.close()
                    raise
                except asyncio.CancelledError as error:
                    waits = self._cancelled(steps, waits, error)
                except BaseException as error:  # noqa: BLE001 - the loop's, for the coroutine
                    waits = steps.throw(error)
                else:
                    waits = steps.send(None)
        except StopIteration as ended:
            return ended.value

    def _may_be_cancelled(self, waits: Any) -> bool:
        """Tell whether cancelling the task may cancel what it waits for, and ends the wait at once.

        A task that waits for another, or for several, goes on when those have ended, if ever they do. And one
        that is let go of must not take along what the coroutine waits for.
        """
        if not hasattr(waits, _BLOCKING):
            return True
        return type(waits) is asyncio.Future and not self._asked

    def _cancelled(self, steps: Generator[Any, Any, Any], waits: Any, error: asyncio.CancelledError) -> Any:
        if self.slipped:
            if hasattr(waits, _BLOCKING):
                setattr(waits, _BLOCKING, True)  # as if it were awaited just now
            raise GoesOn(Rest(steps, waits)) from None
        in_between = not self._may_be_cancelled(waits)
        self._asked = True
        if in_between and waits.cancel():
            return waits  # it ends with that, in its own time
        return steps.throw(error)


_BLOCKING = "_asyncio_future_blocking"  # how a future says to a task that it is awaited


def _beside(waits: asyncio.Future[Any]) -> asyncio.Future[None]:
    """Return a future to wait for instead, which is done with `waits` and can be cancelled without it."""
    beside: asyncio.Future[None] = waits.get_loop().create_future()

    def release(_: object) -> None:
        if not beside.done():
            beside.set_result(None)

    waits.add_done_callback(release)
    setattr(waits, _BLOCKING, False)
    setattr(beside, _BLOCKING, True)
    return beside
