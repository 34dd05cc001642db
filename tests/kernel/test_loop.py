"""The deterministic loop: every prefix of every journal of every interleaving concludes the same when it is replayed."""

from __future__ import annotations

import asyncio
import gc
import inspect
import sys
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from saga.errors import NotDeterministicError
from saga.kernel import Fact, definition_of, encode_fact, replay
from saga.kernel import _facts as f
from saga.kernel._loop import DeterministicLoop
from saga.kernel._values import Role
from tests.kernel._drive import Driven
from tests.kernel._programs import PROGRAMS
from tests.kernel._sagas import Steps, transfer

Choice = tuple[str, str]
OUTPUTS = {"rate": "7", "notify": "null", "archive": "null"}


def choices(driven: Driven) -> list[Choice]:
    """Everything that may happen next."""
    if driven.instance.ended or driven.state == "STUCK":
        return []
    flying = driven.instance.in_flight.values()
    if any(record.role is not Role.ACTION for record in flying):
        return [("done", record.name) for record in flying][:1]
    outcomes = [("done", record.name) for record in flying]
    outcomes += [("rejected", record.name) for record in flying if record.kind != "retriable"]
    open_ = [call for call, one in driven.instance.decisions.items() if one.answer is None and not one.timed_out]
    answers = [("decide", call) for call in open_]
    due = driven.decider.next_due()
    return outcomes + answers[: 0 if driven.instance.recovering else None] + ([("fire", due[0])] if due else [])


def take(driven: Driven, choice: Choice) -> None:
    """Let it happen."""
    what, name = choice
    if what == "done":
        driven.done(name, OUTPUTS.get(name.rpartition(".")[0], f'"{name}"') if "/" not in name else "null")
    elif what == "rejected":
        driven.rejected(name)
    elif what == "decide":
        driven.decide(name, "true")
    else:
        driven.fire(name)


def driven_through(saga: type[Steps], path: tuple[Choice, ...]) -> Driven:
    """An instance to which all of it happened, in this order, in one process."""
    driven = Driven(saga, replayed=False)
    for choice in path:
        take(driven, choice)
    return driven


def interleavings(saga: type[Steps]) -> Iterator[Driven]:
    """Every instance that some order of outcomes and timers leads to, unfinished ones included."""
    paths: list[tuple[Choice, ...]] = [()]
    while paths:
        path = paths.pop()
        driven = driven_through(saga, path)
        yield driven
        paths += [(*path, choice) for choice in choices(driven)]


def written(facts: list[Fact]) -> list[tuple[str, str | None]]:
    """Facts as the journal holds them."""
    return [(encode_fact(fact), fact.payload) for fact in facts]


def check_prefixes(saga: type[Steps], facts: list[Fact]) -> int:
    """Replay every prefix that ends with the last input or after it, and require the consequences that follow."""
    inputs = [number for number, fact in enumerate(facts) if fact.role_in_replay is f.FactKind.INPUT]
    for end in range(inputs[-1] + 1, len(facts) + 1):
        again = replay(definition_of(saga), facts[:end])
        assert written(again.out) == written(facts[end:]), [fact.fact for fact in facts]
    return len(facts) - inputs[-1]


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_prefix_of_every_interleaving_replays_equal(name: str, record_property: Callable[..., None]) -> None:
    """Whatever the order of outcomes and timers, a replay concludes what was concluded."""
    saga = transfer(PROGRAMS[name])
    journals = prefixes = ends = 0
    states: set[str] = set()
    for driven in interleavings(saga):
        prefixes += check_prefixes(saga, driven.facts)
        journals += 1
        ends += not choices(driven)
        states.add(str(driven.state))
        if driven.state == "STUCK":
            raise AssertionError(driven.instance.stuck[0].failure)
    record_property("journals", journals)
    sys.stdout.write(f"{name}: {ends} complete journals, {prefixes} prefixes of {journals} journals\n")
    assert ends > 1
    assert "COMPLETED" in states


def test_the_programs_take_at_most_four_steps_and_every_way_of_waiting() -> None:
    """What the test above claims to cover."""
    source = inspect.getsource(inspect.getmodule(PROGRAMS["gather"]))  # type: ignore[arg-type]  # it has one
    ways = "gather TaskGroup wait( as_completed wait_for timeout( sleep Queue Lock Semaphore Event Condition shield"
    assert [way for way in [*ways.split(), "FIRST_COMPLETED", "create_task", ".cancel()"] if way not in source] == []
    for name in PROGRAMS:
        for driven in interleavings(transfer(PROGRAMS[name])):
            if not choices(driven):
                actions = [one for one in driven.registered if "/" not in one]
                assert len(actions) <= 4, (name, actions)
                break


# -- the loop itself -------------------------------------------------------------------


def loop_of(timers: list[tuple[int, asyncio.TimerHandle]] | None = None) -> DeterministicLoop:
    """A loop whose time stands still."""
    found = [] if timers is None else timers
    return DeterministicLoop(lambda: 0.0, lambda number, handle: found.append((number, handle)))  # type: ignore[abstract]  # the rest is refused


def test_callbacks_run_in_the_order_in_which_they_became_ready() -> None:
    """First in, first out, until nothing is ready."""
    loop, order = loop_of(), list[int]()

    def one() -> None:
        order.append(1)
        loop.call_soon(order.append, 3)

    loop.call_soon(one)
    loop.call_soon(order.append, 2)
    loop.pump()
    assert order == [1, 2, 3]


def test_a_cancelled_callback_does_not_run() -> None:
    """As on every loop."""
    loop, order = loop_of(), list[int]()
    loop.call_soon(order.append, 1).cancel()
    loop.pump()
    assert order == []


def test_a_timer_fires_when_it_is_fired() -> None:
    """Never by itself, whatever its time."""
    timers: list[tuple[int, asyncio.TimerHandle]] = []
    loop, order = loop_of(timers), list[int]()
    loop.call_later(0, order.append, 1)
    loop.call_at(-5, order.append, 2)
    loop.pump()
    assert order == []
    loop.fire(timers[1][1])
    loop.pump()
    assert (order, [number for number, _ in timers]) == ([2], [1, 2])


def test_tasks_and_futures_hash_by_number() -> None:
    """Sets of them are visited in the order in which they were made."""
    loop = loop_of()

    async def nothing() -> None: ...

    members = [loop.create_task(nothing()) if number % 2 else loop.create_future() for number in range(20)]
    assert list({*members[::-1]}) == members
    loop.pump()


def test_the_host_loop_is_the_running_one_again_after_a_pump() -> None:
    """Also when a callback fails."""
    loop = loop_of()

    def fails() -> None:
        raise KeyError

    async def host() -> None:
        running = asyncio.get_running_loop()
        loop.call_soon(fails)
        loop.pump()
        assert asyncio.get_running_loop() is running

    asyncio.run(host())
    assert [type(error) for error in loop.unheard] == [KeyError]


def test_the_host_task_is_the_current_one_again_after_a_pump() -> None:
    """A pump may happen inside a task, though a thread has only one current task from Python 3.14 on."""
    loop, seen = loop_of(), list[object]()

    async def inside() -> None:
        seen.append(asyncio.current_task())
        await asyncio.sleep(0)
        seen.append(asyncio.current_task())

    async def host() -> None:
        task = asyncio.current_task()
        inner = loop.create_task(inside())
        loop.pump()
        assert seen == [inner, inner]
        assert asyncio.current_task() is task
        await asyncio.sleep(0)
        assert asyncio.current_task() is task

    asyncio.run(host())


@pytest.mark.parametrize("name", ["run_in_executor", "call_soon_threadsafe", "sock_recv", "add_reader", "run_forever"])
def test_what_leaves_the_saga_is_refused(name: str) -> None:
    """With what to do instead."""
    with pytest.raises(NotDeterministicError, match=f"run used the event loop's {name}.*Move it into a step"):
        getattr(loop_of(), name)(None, print)


def test_a_dropped_loop_runs_nothing_more() -> None:
    """What is suspended is closed, in order of creation; what it would do then is refused."""
    loop, order = loop_of(), list[str]()

    async def suspended(name: str) -> None:
        try:
            await loop.create_future()
        finally:
            order.append(name)

    tasks = [loop.create_task(suspended(name)) for name in "abc"]
    loop.pump()
    loop.drop()
    loop.call_soon(order.append, "late")
    loop.pump()
    assert (order, loop.is_closed(), len(tasks)) == (["a", "b", "c"], True, 3)


def test_a_dropped_loop_is_freed_without_the_garbage_collector() -> None:
    """Engines end thousands of instances a second."""
    import weakref  # noqa: PLC0415 - only here

    async def program(saga: Steps, amount: int) -> str:
        return await saga.debit(amount)

    driven = Driven(transfer(program), replayed=False)
    play = driven.decider._play
    assert play is not None
    gone: list[Callable[[], object]] = [weakref.ref(play), weakref.ref(play._loop)]
    gc.collect()
    gc.disable()
    try:
        driven.done("debit.1", '"p"')
        del play
        assert [one() for one in gone] == [None, None]
    finally:
        gc.enable()


async def test_an_async_generator_belongs_to_the_loop_that_runs_it() -> None:
    """The host neither knows it nor closes it, and what it does when it is closed is journaled."""
    closed_on: list[str] = []

    async def program(saga: Steps, amount: int) -> str:
        async def pages() -> AsyncIterator[int]:
            try:
                while True:
                    yield await saga.rate(1)
            finally:
                closed_on.append(type(asyncio.get_running_loop()).__name__)
                await saga.fee(1)

        async for _ in pages():
            break
        return await saga.debit(amount)

    driven = Driven(transfer(program)).done("rate.1", "7")
    await asyncio.sleep(0)
    assert driven.in_flight == ["debit.1", "fee.1"]
    assert set(closed_on) == {"DeterministicLoop"}
    driven.done("fee.1", '"f"').done("debit.1", '"p"')
    assert driven.state == "COMPLETED"


async def test_an_async_generator_that_is_open_when_the_loop_is_dropped_is_closed() -> None:
    """Its `finally` runs; what it awaits there is refused."""
    closed: list[str] = []

    async def program(saga: Steps, amount: int) -> str:
        async def pages() -> AsyncIterator[int]:
            try:
                while True:
                    yield await saga.rate(1)
            finally:
                closed.append("yes")
                await saga.fee(1)

        async for _ in pages():
            await saga.debit(amount)
        return ""

    driven = Driven(transfer(program), replayed=False).done("rate.1", "7").cancel()
    assert (closed, driven.in_flight) == (["yes"], ["debit.1"])


def test_coroutines_in_as_completed_are_refused() -> None:
    """It keeps them in a set, so that they would start in the order of their addresses."""

    async def program(saga: Steps, amount: int) -> str:
        for one in asyncio.as_completed([saga.debit(1), saga.fee(2)]):
            await one
        return ""

    driven = Driven(transfer(program))
    failure = driven.instance.stuck[0].failure
    assert failure is not None
    assert failure.type == "NotDeterministicError"
    assert "Give it tasks: as_completed([asyncio.create_task(one) for one in ...])" in failure.message
