"""S18: `run` is deterministic: its time, chance and waiting come from the journal, and nothing else is allowed."""

import asyncio
import threading
from datetime import datetime, timedelta
from typing import Any

import pytest

from saga.kernel import replay
from tests.kernel._drive import SECOND, START, Driven
from tests.kernel._sagas import Steps, transfer


def test_now_is_the_time_of_the_last_fact() -> None:
    """It stands still between two facts."""
    seen: list[datetime] = []

    async def program(saga: Steps, amount: int) -> str:
        seen.append(saga.now())
        await asyncio.sleep(0)
        seen.append(saga.now())
        await saga.debit(amount)
        seen.append(saga.now())
        return ""

    driven = Driven(transfer(program), replayed=False).done("debit.1", '"p"')
    assert seen == [START, START, START + SECOND]
    replay(driven.definition, driven.facts)
    assert seen[3:] == seen[:3]


def test_now_is_the_same_on_a_replay_with_notes_and_resumes_in_between() -> None:
    """Whatever else the journal holds."""
    from saga.kernel import Failure  # noqa: PLC0415 - only here
    from saga.kernel import _facts as f  # noqa: PLC0415 - only here

    async def program(saga: Steps, amount: int) -> str:
        await saga.debit(amount)
        return saga.now().isoformat()

    driven = Driven(transfer(program)).resumed()
    failure = Failure(type="OSError", message="lost")
    driven.take(f.AttemptFailed(at=driven.at + SECOND, call="debit.1", attempt=1, failure=failure))
    driven.done("debit.1", '"p"')
    result = driven.result
    assert replay(driven.definition, driven.facts).instance.result == result


def test_now_and_random_write_no_fact() -> None:
    """They follow from what is there."""

    async def program(saga: Steps, amount: int) -> str:
        return f"{saga.now()} {saga.random().random()}"

    assert Driven(transfer(program)).log == ["SagaStarted", "SagaCompleted"]


def test_random_is_seeded_by_the_id() -> None:
    """The same for the same instance, another for another."""

    async def program(saga: Steps, amount: int) -> str:
        return " ".join(str(saga.random().randint(0, 10**9)) for _ in range(3))

    one = Driven(transfer(program), id="a").result
    assert Driven(transfer(program), id="a").result == one
    assert Driven(transfer(program), id="b").result != one
    assert one is not None
    assert len(set(one.split())) == 3


def test_random_is_the_same_in_every_process() -> None:
    """It does not depend on hash randomisation."""

    async def program(saga: Steps, amount: int) -> str:
        return str(saga.random().randint(0, 10**9))

    assert Driven(transfer(program), id="transfer-42").result == '"987489091"'


def test_a_sleep_is_a_timer_in_the_journal() -> None:
    """With its due time; it takes no process to wait."""

    async def program(saga: Steps, amount: int) -> str:
        await saga.sleep(timedelta(days=30))
        return saga.now().isoformat()

    driven = Driven(transfer(program))
    assert driven.log == ["SagaStarted", "TimerSet timer.1"]
    assert driven.decider.next_due() == ("timer.1", START + timedelta(days=30))
    assert driven.fire().result == '"2026-01-31T00:00:00+00:00"'


def test_a_restart_does_not_start_a_sleep_again() -> None:
    """The due time is absolute."""

    async def program(saga: Steps, amount: int) -> str:
        await saga.sleep(timedelta(hours=1))
        return ""

    driven = Driven(transfer(program)).resumed()
    assert driven.decider.next_due() == ("timer.1", START + timedelta(hours=1))


def test_code_that_sleeps_another_time_keeps_the_recorded_due_time() -> None:
    """What was journaled holds."""

    def sleeping(hours: int) -> type[Steps]:
        async def program(saga: Steps, amount: int) -> str:
            await saga.sleep(timedelta(hours=hours))
            return ""

        return transfer(program)

    driven = Driven(sleeping(1)).reload(sleeping(9))
    assert driven.decider.next_due() == ("timer.1", START + timedelta(hours=1))


def test_a_timer_that_run_gave_up_does_not_fire() -> None:
    """Nothing is due any more."""

    async def program(saga: Steps, amount: int) -> str:
        async with asyncio.timeout(5):
            await saga.debit(amount)
        return await saga.fee(1)

    driven = Driven(transfer(program)).done("debit.1", '"p"')
    assert (driven.in_flight, driven.decider.next_due()) == (["fee.1"], None)


async def to_thread(saga: Steps) -> object:
    return await asyncio.to_thread(print)


async def executor(saga: Steps) -> object:
    return await asyncio.get_running_loop().run_in_executor(None, print)


async def connect(saga: Steps) -> object:
    return await asyncio.open_connection("localhost", 1)


async def subprocess(saga: Steps) -> object:
    return await asyncio.create_subprocess_exec("true")


async def threadsafe(saga: Steps) -> object:
    return asyncio.get_running_loop().call_soon_threadsafe(print)


@pytest.mark.parametrize("what", [to_thread, executor, connect, subprocess, threadsafe])
def test_io_threads_and_processes_are_refused(what: Any) -> None:
    """Where `run` uses them, with what to do instead."""

    async def program(saga: Steps, amount: int) -> str:
        await what(saga)
        return ""

    driven = Driven(transfer(program))
    failure = driven.instance.stuck[0].failure
    assert failure is not None
    assert failure.type == "NotDeterministicError"
    assert "Move it into a step" in failure.message


def test_what_a_replay_does_not_repeat_is_refused_then() -> None:
    """Chance that nobody could see makes another call on the replay."""
    answers = iter([True, False])

    async def program(saga: Steps, amount: int) -> str:
        await (saga.debit(amount) if next(answers) else saga.fee(amount))
        return ""

    driven = Driven(transfer(program), replayed=False).reload(transfer(program))
    assert driven.blocking == [(None, "code does not fit the journal")]


def test_the_rules_start_no_thread() -> None:
    """Everything happens where it is asked for."""
    before = threading.active_count()

    async def program(saga: Steps, amount: int) -> str:
        return await saga.debit(amount)

    Driven(transfer(program)).done("debit.1", '"p"')
    assert threading.active_count() == before


def test_sets_of_tasks_are_visited_in_order_of_creation() -> None:
    """A task group cancels, and `wait` returns, in an order that does not depend on memory addresses."""

    async def program(saga: Steps, amount: int) -> str:
        order: list[str] = []

        async def member(name: str) -> None:
            try:
                await saga.debit(amount)
            except asyncio.CancelledError:
                order.append(name)
                raise

        async def fails() -> None:
            await saga.fee(1)
            raise TimeoutError

        try:
            async with asyncio.TaskGroup() as group:
                for number in range(50):
                    group.create_task(member(str(number)))
                group.create_task(fails())
        except* TimeoutError:
            pass
        return " ".join(order)

    driven = Driven(transfer(program), replayed=False).done("fee.1", '"f"')
    for call in list(driven.in_flight):
        driven.rejected(call)
    assert driven.result == '"' + " ".join(str(number) for number in range(50)) + '"'


def test_a_task_that_never_began_is_not_forgotten() -> None:
    """Run returned at once, so the step of the task would never be called, and nobody would notice."""

    async def notify(saga: Steps, amount: int) -> None:
        await saga.debit(amount)

    async def program(saga: Steps, amount: int) -> str:
        _ = asyncio.create_task(notify(saga, amount))  # noqa: RUF006 - the mistake
        return ""

    driven = Driven(transfer(program))
    assert driven.log == ["SagaStarted", "SagaStuck code bug"]
    assert "notify had not begun" in str(driven.facts)


def test_a_task_that_was_cancelled_before_it_began_is_no_mistake() -> None:
    """A race that is over, or a TaskGroup that gave up, leaves such tasks."""

    async def program(saga: Steps, amount: int) -> str:
        asyncio.create_task(saga.debit(amount)).cancel()
        return ""

    assert Driven(transfer(program)).log[-1] == "SagaCompleted"


async def _sleep(saga: Steps) -> None:
    await saga.sleep(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_sleep_takes_a_timedelta() -> None:
    """A number could be seconds or minutes; the error says what to write."""

    async def program(saga: Steps, amount: int) -> str:
        await _sleep(saga)
        return ""

    assert "self.sleep(timedelta(seconds=...))" in str(Driven(transfer(program)).facts)


def test_a_step_that_nobody_awaits_is_not_forgotten() -> None:
    """The line looks as if it debited; the saga would complete without having done so."""

    async def program(saga: Steps, amount: int) -> str:
        saga.debit(amount)  # type: ignore[unused-coroutine]  # noqa: RUF100  # pyright: ignore[reportUnusedCoroutine]
        return ""

    driven = Driven(transfer(program))
    assert driven.log == ["SagaStarted", "SagaStuck code bug"]
    assert "debit had not begun" in str(driven.facts)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Python says that it ignored its end
def test_run_that_swallows_everything_cannot_hold_up_its_end() -> None:
    """A bare `except` in a loop catches what closes the coroutine, too."""

    async def program(saga: Steps, amount: int) -> str:
        while True:
            try:
                await saga.debit(amount)
            except BaseException:  # noqa: S110 - the mistake
                pass

    driven = Driven(transfer(program), replayed=False).cancel().done("debit.1", '"p"')
    assert (
        driven.log[-1].startswith("CallRegistered debit.1/compensation") or "debit.1/compensation" in driven.in_flight
    )
