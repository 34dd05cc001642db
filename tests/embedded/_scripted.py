"""Activities that do what a test's script says, on the loop and in threads, and sagas of one such step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from saga import Compensatable, Effect, EmbeddedEngine, Retry, Saga, current_step
from saga.kernel import Fact
from tests.embedded._shop import FAST, SoldOutError

SOON = timedelta(milliseconds=50)
ONCE = Retry(attempts=1)


class Scripted:
    """What the activities below do, and what they noted; a test fills it."""

    def __init__(self) -> None:
        self.act: Callable[[], Any] = lambda: None
        self.noted: list[str] = []


@contextmanager
def script() -> Iterator[Scripted]:
    """A script, which the activities below follow as long as the block lasts."""
    one = Scripted()
    SCRIPTS.append(one)
    yield one
    SCRIPTS.remove(one)


SCRIPTS: list[Scripted] = []


async def act(number: int) -> int:
    """Do what the script says, on the loop."""
    SCRIPTS[-1].noted.append(f"{current_step().call}#{current_step().attempt}")
    result = SCRIPTS[-1].act()
    if asyncio.iscoroutine(result):
        await result
    return number


def act_in_thread(number: int) -> int:
    """Do what the script says, in a thread."""
    SCRIPTS[-1].noted.append(f"{current_step().call}#{current_step().attempt}")
    SCRIPTS[-1].act()
    return number


async def take_back(effect: Effect[int, int]) -> None:
    """Note what the effect says."""
    SCRIPTS[-1].noted.append("in doubt" if effect.in_doubt else f"back {effect.output}")


class Acting(Saga):
    """One step on the loop that can be overtaken."""

    act = Compensatable(act, rejects=[SoldOutError], timeout=SOON, retry=FAST, safe_to_overtake=True).compensated_by(
        take_back
    )

    async def run(self, number: int) -> int:
        return await self.act(number)


class ActingInThread(Saga):
    """The same, in a thread."""

    act = Compensatable(
        act_in_thread, rejects=[SoldOutError], timeout=SOON, retry=FAST, safe_to_overtake=True
    ).compensated_by(take_back)

    async def run(self, number: int) -> int:
        return await self.act(number)


class Unsettled(Saga):
    """One step of which nobody knows when it stops to act."""

    act = Compensatable(act, timeout=SOON, retry=ONCE).compensated_by(take_back)

    async def run(self, number: int) -> int:
        return await self.act(number)


class Settling(Saga):
    """One step that surely stops to act a while after its time limit."""

    act = Compensatable(act, timeout=SOON, retry=ONCE, settle_time=2 * SOON).compensated_by(take_back)

    async def run(self, number: int) -> int:
        return await self.act(number)


class Enduring(Saga):
    """Its step is tried without end and has time without end."""

    act = Compensatable(
        act, timeout=timedelta(hours=1), retry=Retry(attempts=None, first=timedelta(0)), safe_to_overtake=True
    ).compensated_by(take_back)

    async def run(self, number: int) -> int:
        return await self.act(number)


async def facts_of(engine: EmbeddedEngine, saga: type, id: str) -> list[Fact]:
    """The whole journal of an instance that has ended."""
    return [fact async for fact in (await engine.get(saga, id)).facts()]


def raises_always(error: BaseException) -> Callable[[], Any]:
    """Raise it at every attempt."""
    return lambda: _raise(error)


def raises_in_turn(*errors: BaseException) -> Callable[[], Any]:
    """Raise them one after the other, then nothing."""
    return in_turn(*(raises_always(error) for error in errors))


def in_turn(*acts: Callable[[], Any]) -> Callable[[], Any]:
    """Do them one after the other, then nothing."""
    left = list(acts)
    return lambda: left.pop(0)() if left else None


def _raise(error: BaseException) -> None:
    raise error
