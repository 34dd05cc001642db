"""The leash on which activities are awaited: as `await` does, until it is let slip."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from saga.embedded._leash import GoesOn, Leash, Rest

Program = Callable[[list[str]], Awaitable[Any]]


async def plain(said: list[str]) -> int:
    """Wait for the loop, a timer, another task, and several."""
    await asyncio.sleep(0)
    await asyncio.sleep(0.001)
    inner = asyncio.create_task(asyncio.sleep(0.001, "task"))
    said.append(await inner)
    said += await asyncio.gather(asyncio.sleep(0, "a"), asyncio.sleep(0.001, "b"))
    return 42


async def raising(said: list[str]) -> None:
    """Fail while another task fails."""
    inner = asyncio.create_task(_fails())
    try:
        await inner
    except KeyError:
        said.append("caught")
    raise ValueError("mine")


async def timing_out(said: list[str]) -> str:
    """Use the time limits of the standard library, which cancel the awaiting task."""
    try:
        async with asyncio.timeout(0.005):
            await asyncio.Event().wait()
    except TimeoutError:
        said.append("timed out")
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(0.001))
    return "done"


async def cleaning_up(said: list[str]) -> None:
    """Wait for ever, and clean up in a while when cancelled."""
    try:
        await asyncio.gather(asyncio.Event().wait(), asyncio.Event().wait())
    finally:
        said.append("cleaning")
        await asyncio.sleep(0.001)
        said.append("clean")


async def swallowing(said: list[str]) -> str:
    """Answer instead of being cancelled."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        said.append("asked")
    return "answer"


async def grouped(said: list[str]) -> None:
    """Wait for a group of tasks, one of which takes a while to end."""
    async with asyncio.TaskGroup() as group:
        group.create_task(cleaning_up(said))
        group.create_task(asyncio.Event().wait())


async def _fails() -> None:
    raise KeyError


async def outcome(awaited: Callable[[list[str]], Awaitable[Any]], *, cancel: bool) -> tuple[Any, list[str]]:
    """Run something in a task, cancel it perhaps, and return what it came to."""
    said: list[str] = []

    async def run() -> Any:
        return await awaited(said)

    task = asyncio.create_task(run())
    if cancel:
        await asyncio.sleep(0.005)
        task.cancel()
    await asyncio.wait({task})
    if task.cancelled():
        return "cancelled", said
    error = task.exception()
    return (task.result() if error is None else repr(error)), said


@pytest.mark.parametrize("program", [plain, raising, timing_out])
async def test_it_waits_as_await_does(program: Program) -> None:
    """Results, errors and time limits are the same."""
    with_leash = await outcome(lambda said: Leash(program(said)), cancel=False)
    assert with_leash == await outcome(program, cancel=False)


@pytest.mark.parametrize("program", [cleaning_up, swallowing, grouped])
async def test_a_cancellation_reaches_what_is_awaited(program: Program) -> None:
    """And its end is waited for, whatever it makes of that."""
    with_leash = await outcome(lambda said: Leash(program(said)), cancel=True)
    assert with_leash == await outcome(program, cancel=True)


async def stubborn(said: list[str], gate: asyncio.Event) -> str:
    """Go on until the gate opens, whatever happens."""
    while not gate.is_set():
        try:
            await gate.wait()
        except asyncio.CancelledError:
            said.append("asked")
    await asyncio.sleep(0)
    said.append("through")
    return "answer"


async def behind_a_task(said: list[str], gate: asyncio.Event) -> str:
    """Leave it to another task to be stubborn."""
    return await asyncio.create_task(stubborn(said, gate))


async def behind_several(said: list[str], gate: asyncio.Event) -> str:
    """The same among several, which `gather` reports as cancelled however they end."""
    try:
        await asyncio.gather(stubborn(said, gate), asyncio.sleep(0))
    except asyncio.CancelledError:
        return "answer"
    return "it was never asked"


async def spinning(said: list[str], gate: asyncio.Event) -> str:
    """Never wait for anything in particular."""
    while not gate.is_set():
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            said.append("asked")
    said.append("through")
    return "answer"


@pytest.mark.parametrize("program", [stubborn, behind_a_task, behind_several, spinning])
async def test_it_can_be_let_slip(program: Callable[[list[str], asyncio.Event], Awaitable[str]]) -> None:
    """The task goes on without what it awaited, which goes on elsewhere and learns nothing of that."""
    said, gate = list[str](), asyncio.Event()
    leash = Leash(program(said, gate))
    slipped: list[Rest] = []

    async def run() -> None:
        try:
            await leash
        except GoesOn as rest:
            slipped.append(rest.activity)

    task = asyncio.create_task(run())
    await asyncio.sleep(0.005)
    task.cancel()
    await asyncio.sleep(0.005)
    assert not task.done()
    assert said == ["asked"]
    leash.slipped = True
    task.cancel()
    await asyncio.wait_for(asyncio.wait({task}), 5)

    async def goes_on() -> str:
        answer: str = await slipped[0]
        return answer

    rest = asyncio.create_task(goes_on())
    await asyncio.sleep(0.005)
    assert said == ["asked"]
    gate.set()
    assert await rest == "answer"
    assert said == ["asked", "through"]


async def test_what_has_slipped_can_be_cancelled_where_it_goes_on() -> None:
    """As a loop does that ends."""
    said, gate = list[str](), asyncio.Event()
    leash = Leash(cleaning_up(said))
    task = asyncio.create_task(_slips(leash))
    await asyncio.sleep(0.005)
    leash.slipped = True
    task.cancel()
    rest = await task
    assert said == []

    async def goes_on() -> None:
        await rest

    continued = asyncio.create_task(goes_on())
    await asyncio.sleep(0.005)
    continued.cancel()
    await asyncio.wait({continued})
    assert continued.cancelled()
    assert said == ["cleaning", "clean"]
    assert not gate.is_set()


async def _slips(leash: Leash) -> Rest:
    try:
        await leash
    except GoesOn as rest:
        return rest.activity
    raise AssertionError


def test_closing_it_closes_what_it_awaits() -> None:
    """As when a loop is closed with tasks that nobody cancelled."""
    said: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.Future(loop=loop)
        finally:
            said.append("closed")

    async def run() -> None:
        await Leash(waits())

    loop = asyncio.new_event_loop()
    coroutine = run()
    coroutine.send(None)
    coroutine.close()
    loop.close()
    assert said == ["closed"]
