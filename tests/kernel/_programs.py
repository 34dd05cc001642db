"""Programs of at most four steps for the tests of the loop: one for each way of waiting that asyncio has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

from saga import DecisionTimedOut, StepInDoubt, StepRejected
from tests.kernel._sagas import Steps

__all__ = ("PROGRAMS", "Program")

Program = Callable[[Steps, int], Awaitable[str]]
PROGRAMS: dict[str, Program] = {}


def program(function: Program) -> Program:
    """Put a program on the list."""
    PROGRAMS[function.__name__] = function
    return function


async def named(name: str, step: Awaitable[object]) -> str:
    """Say what became of a step."""
    try:
        await step
    except (StepRejected, StepInDoubt) as error:
        return f"{name} {type(error).__name__}"
    return f"{name} done"


@program
async def gather(saga: Steps, amount: int) -> str:
    return "".join(await asyncio.gather(saga.debit(1), saga.fee(2), saga.debit(3)))


@program
async def gather_exceptions(saga: Steps, amount: int) -> str:
    found = await asyncio.gather(saga.debit(1), saga.fee(2), saga.rate(3), return_exceptions=True)
    return " ".join(type(each).__name__ for each in found)


@program
async def gather_cancelled(saga: Steps, amount: int) -> str:
    both = asyncio.gather(saga.debit(1), saga.fee(2))
    rate = asyncio.create_task(saga.rate(3))
    everything: list[asyncio.Future[Any]] = [both, rate]
    await asyncio.wait(everything, return_when=asyncio.FIRST_COMPLETED)
    both.cancel()
    try:
        return "".join(await both)
    except asyncio.CancelledError:
        return str(await rate)


@program
async def task_group(saga: Steps, amount: int) -> str:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(saga.debit(number)) for number in range(3)]
    return "".join(task.result() for task in tasks)


@program
async def task_group_caught(saga: Steps, amount: int) -> str:
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(saga.debit(1))
            group.create_task(saga.fee(2))
    except* StepRejected as errors:
        said = " ".join(str(error) for error in errors.exceptions)
    else:
        said = "fine"
    return said + str(await saga.rate(3))


@program
async def task_groups_nested(saga: Steps, amount: int) -> str:
    async def inner() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(saga.debit(1))
            group.create_task(saga.rate(2))

    async with asyncio.TaskGroup() as group:
        group.create_task(inner())
        group.create_task(saga.fee(3))
    return "all"


@program
async def wait_first(saga: Steps, amount: int) -> str:
    tasks = {asyncio.create_task(saga.debit(number), name=str(number)) for number in range(3)}
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    winners = " ".join(sorted(task.get_name() for task in done))
    return f"{winners} {await saga.rate(len(pending))}"


@program
async def wait_first_in_order_of_the_set(saga: Steps, amount: int) -> str:
    tasks = {asyncio.create_task(named(str(number), saga.rate(number)), name=str(number)) for number in range(3)}
    seen: list[str] = []
    while tasks:
        done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        seen += [task.result() for task in done]
        seen += [f"left {task.get_name()}" for task in tasks]
    return " ".join(seen)


@program
async def wait_exception(saga: Steps, amount: int) -> str:
    tasks = [asyncio.create_task(saga.debit(number)) for number in range(2)]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    errors = [task.exception() for task in done]
    return f"{[type(error).__name__ for error in errors]} {len(pending)} {await saga.rate(3)}"


@program
async def wait_all(saga: Steps, amount: int) -> str:
    tasks = [asyncio.create_task(named("a", saga.debit(1))), asyncio.create_task(named("b", saga.fee(2)))]
    done, _ = await asyncio.wait(tasks)
    return " ".join(task.result() for task in done)


@program
async def wait_timeout(saga: Steps, amount: int) -> str:
    tasks = [asyncio.create_task(saga.debit(1)), asyncio.create_task(saga.rate(2))]
    done, pending = await asyncio.wait(tasks, timeout=10)
    return f"{len(done)} {len(pending)} {await saga.fee(3)}"


@program
async def as_completed(saga: Steps, amount: int) -> str:
    steps = [named("a", saga.debit(1)), named("b", saga.fee(2)), named("c", saga.rate(3))]
    tasks = [asyncio.create_task(step) for step in steps]
    return " ".join([await one for one in asyncio.as_completed(tasks)])


@program
async def as_completed_timeout(saga: Steps, amount: int) -> str:
    seen: list[str] = []
    tasks = [asyncio.create_task(named("a", saga.debit(1))), asyncio.create_task(named("b", saga.rate(2)))]
    try:
        for one in asyncio.as_completed(tasks, timeout=5):
            seen.append(await one)
    except TimeoutError:
        seen.append("late")
    return " ".join(seen)


@program
async def wait_for(saga: Steps, amount: int) -> str:
    try:
        return await asyncio.wait_for(saga.debit(1), 10)
    except TimeoutError:
        return await saga.fee(2)


@program
async def wait_for_gather(saga: Steps, amount: int) -> str:
    try:
        found = await asyncio.wait_for(asyncio.gather(saga.debit(1), saga.rate(2)), 10)
    except TimeoutError:
        return await saga.fee(3)
    return str(found)


@program
async def timeouts_nested(saga: Steps, amount: int) -> str:
    said: list[str] = []
    try:
        async with asyncio.timeout(20):
            try:
                async with asyncio.timeout(10):
                    said.append(await saga.debit(1))
            except TimeoutError:
                said.append("inner")
            said.append(str(await saga.rate(2)))
    except TimeoutError:
        said.append("outer")
    return " ".join(said)


@program
async def timeout_moved(saga: Steps, amount: int) -> str:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(5) as limit:
            await saga.rate(1)
            limit.reschedule(loop.time() + 60)
            return await saga.debit(2)
    except TimeoutError:
        return "late"


@program
async def sleep_race(saga: Steps, amount: int) -> str:
    nap = asyncio.create_task(asyncio.sleep(5, "slept"))
    work = asyncio.create_task(saga.debit(1))
    done, _ = await asyncio.wait([nap, work], return_when=asyncio.FIRST_COMPLETED)
    said = " ".join(str(task.result()) for task in done)
    await saga.sleep(timedelta(seconds=1))
    return said + str(await saga.rate(2))


@program
async def sleeps_of_one_length(saga: Steps, amount: int) -> str:
    order: list[str] = []

    async def nap(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        order.append(name)

    await asyncio.gather(nap("a", 2), nap("b", 1), nap("c", 2), saga.debit(1))
    return " ".join(order)


@program
async def queue(saga: Steps, amount: int) -> str:
    waiting: asyncio.Queue[str] = asyncio.Queue(maxsize=1)

    async def produce(number: int) -> None:
        await waiting.put(await named(str(number), saga.rate(number)))

    producers = [asyncio.create_task(produce(number)) for number in range(3)]
    said = [await waiting.get() for _ in producers]
    return " ".join(said) + await saga.debit(1)


@program
async def queue_joined(saga: Steps, amount: int) -> str:
    waiting: asyncio.PriorityQueue[int] = asyncio.PriorityQueue()
    said: list[str] = []
    for number in (3, 1, 2):
        waiting.put_nowait(number)

    async def work(name: str) -> None:
        while True:
            number = await waiting.get()
            said.append(f"{name}{number}")
            await named(name, saga.rate(number))
            waiting.task_done()

    workers = [asyncio.create_task(work(name)) for name in "ab"]
    await waiting.join()
    for worker in workers:
        worker.cancel()
    return " ".join(said)


@program
async def lock(saga: Steps, amount: int) -> str:
    one_at_a_time = asyncio.Lock()
    said: list[str] = []

    async def work(number: int) -> None:
        async with one_at_a_time:
            said.append(await named(str(number), saga.debit(number)))

    await asyncio.gather(work(1), work(2), saga.rate(3))
    return " ".join(said)


@program
async def lock_given_up(saga: Steps, amount: int) -> str:
    one_at_a_time = asyncio.Lock()

    async def work(number: int) -> str:
        async with one_at_a_time:
            return await saga.debit(number)

    first, second = asyncio.create_task(work(1)), asyncio.create_task(work(2))
    await asyncio.wait([first, second], timeout=5, return_when=asyncio.FIRST_COMPLETED)
    first.cancel()
    said = await asyncio.gather(first, second, return_exceptions=True)
    return " ".join(type(each).__name__ for each in said)


@program
async def semaphore(saga: Steps, amount: int) -> str:
    two_at_a_time = asyncio.Semaphore(2)
    said: list[str] = []

    async def work(number: int) -> None:
        async with two_at_a_time:
            said.append(await named(str(number), saga.rate(number)))

    await asyncio.gather(*(work(number) for number in range(4)))
    return " ".join(said)


@program
async def event(saga: Steps, amount: int) -> str:
    ready = asyncio.Event()

    async def wait(number: int) -> str:
        await ready.wait()
        return await saga.debit(number)

    waiting = [asyncio.create_task(wait(number)) for number in range(2)]
    await saga.rate(1)
    ready.set()
    return "".join(await asyncio.gather(*waiting))


@program
async def condition(saga: Steps, amount: int) -> str:
    changed = asyncio.Condition()
    state: list[int] = []

    async def wait(least: int) -> str:
        async with changed:
            await changed.wait_for(lambda: len(state) >= least)
            return f"{least} of {len(state)}"

    async def change(number: int) -> None:
        await named("", saga.rate(number))
        async with changed:
            state.append(number)
            changed.notify_all()

    said = await asyncio.gather(wait(1), wait(2), change(1), change(2))
    return str(said)


@program
async def barrier(saga: Steps, amount: int) -> str:
    together = asyncio.Barrier(2)
    said: list[str] = []

    async def work(number: int) -> None:
        said.append(await named(str(number), saga.rate(number)))
        place = await together.wait()
        said.append(f"{number} is {place}")

    await asyncio.gather(work(1), work(2))
    return " ".join(said)


@program
async def task_cancelled(saga: Steps, amount: int) -> str:
    task = asyncio.create_task(saga.debit(1))
    await saga.rate(2)
    task.cancel()
    try:
        return await task
    except asyncio.CancelledError:
        return await saga.fee(3)


@program
async def shield(saga: Steps, amount: int) -> str:
    task = asyncio.create_task(saga.debit(1))
    try:
        return await asyncio.wait_for(asyncio.shield(task), 5)
    except TimeoutError:
        return "late " + await task


@program
async def generator(saga: Steps, amount: int) -> str:
    said: list[str] = []

    async def pages() -> AsyncIterator[int]:
        try:
            for number in range(3):
                yield await saga.rate(number)
        finally:
            said.append("closed")

    async for page in pages():
        said.append(str(page))
        if len(said) == 2:
            break
    said.append(await saga.debit(1))
    return " ".join(said)


@program
async def context(saga: Steps, amount: int) -> str:
    who: ContextVar[str] = ContextVar("who", default="nobody")

    async def work(name: str) -> str:
        who.set(name)
        await named(name, saga.rate(1))
        return who.get()

    first, second = await asyncio.gather(work("a"), work("b"))
    return f"{first} {second} {who.get()} {await saga.debit(1)}"


@program
async def decision_race(saga: Steps, amount: int) -> str:
    async def answer() -> str:
        try:
            return f"approved {await saga.review()}"
        except DecisionTimedOut:
            return "nobody"

    tasks = [asyncio.create_task(answer()), asyncio.create_task(saga.debit(1))]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    return " ".join(task.result() for task in done)


@program
async def pivot(saga: Steps, amount: int) -> str:
    rate = asyncio.create_task(saga.rate(1))
    debited = await saga.debit(2)
    try:
        return await asyncio.wait_for(saga.credit(3), 5)
    except TimeoutError:
        return debited + str(await rate)


@program
async def after_the_pivot(saga: Steps, amount: int) -> str:
    await saga.credit(1)
    try:
        async with asyncio.timeout(5):
            await asyncio.gather(saga.notify("a"), saga.notify("b"))
    except TimeoutError:
        return "told late"
    return "told"


@program
async def called_from_a_callback(saga: Steps, amount: int) -> str:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[str] = loop.create_future()

    def say(what: str) -> None:
        if not ready.done():
            ready.set_result(what)

    loop.call_later(5, say, "timer")
    task = asyncio.create_task(saga.debit(1))
    task.add_done_callback(lambda _: say("step"))
    return await ready + str(await saga.rate(2))


@program
async def hot_potato(saga: Steps, amount: int) -> str:
    """Tasks that yield many times between two steps."""

    async def work(number: int) -> str:
        for _ in range(number):
            await asyncio.sleep(0)
        return await saga.debit(number)

    return "".join(await asyncio.gather(work(3), work(0), work(1)))
