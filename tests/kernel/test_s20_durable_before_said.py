"""S20: nothing is said before it is durable; what was not flushed is lost and repeated; poison is STUCK."""

import asyncio

import pytest

from saga.errors import JournalWriteError
from saga.kernel import RESUME_LIMIT, Cancel, Decide, Failure, definition_of, resume
from saga.kernel import _facts as f
from tests.kernel._drive import Driven
from tests.kernel._runtime import Conducted, FakeRuntime
from tests.kernel._sagas import Steps, transfer


async def straight(saga: Steps, amount: int) -> str:
    await saga.debit(amount)
    return await saga.credit(amount)


async def asks(saga: Steps, amount: int) -> str:
    await saga.review()
    return ""


def resuming(driven: Driven, saga: type) -> Conducted:
    """The next owner of an instance."""
    conducted = Conducted(saga, decider=driven.decider)
    conducted.runtime.facts, conducted.runtime.clock = list(driven.facts), driven.at
    return conducted


# -- the order of things ---------------------------------------------------------------


async def test_outcome_and_next_registration_are_one_flush() -> None:
    """N steps need n+1 flushes: flush k carries outcome k and registration k+1."""
    conducted = await Conducted(transfer(straight)).start()
    conducted.runtime.done("debit.1", '"p"')
    await conducted.settle()
    conducted.runtime.done("credit.1", '"c"')
    await conducted.settle()
    assert [line for line in conducted.runtime.diary if line != "flushed"] == [
        "record SagaStarted",
        "record CallRegistered debit.1",
        "flush",
        "perform debit.1",
        "record CallDone debit.1",
        "record CallRegistered credit.1",
        "flush",
        "perform credit.1",
        "record CallDone credit.1",
        "record SagaCompleted",
        "flush",
    ]


async def test_the_end_is_told_after_its_flush() -> None:
    """`conduct` returns when COMPLETED is durable."""
    conducted = await Conducted(transfer(straight)).start()
    conducted.runtime.done("debit.1", '"p"')
    await conducted.settle()
    conducted.runtime.gate.clear()
    conducted.runtime.done("credit.1", '"c"')
    await conducted.settle()
    assert conducted.decider.instance.state == "COMPLETED"
    assert conducted.task is not None
    assert not conducted.task.done()
    conducted.runtime.gate.set()
    await conducted.settle()
    assert conducted.task.done()


async def test_a_request_is_acknowledged_after_its_own_flush() -> None:
    """Not after one that began before it came."""
    conducted = await Conducted(transfer(straight)).start()
    runtime = conducted.runtime
    runtime.gate.clear()
    runtime.done("debit.1", '"p"')
    await conducted.settle()
    acknowledged = await conducted.ask(Cancel(by="anna"))
    flushed = runtime.diary.count("flushed")
    runtime.gate.set()
    while not acknowledged.done():
        await asyncio.sleep(0)
    assert runtime.diary.count("flushed") == flushed + 2
    await conducted.leave()


async def test_answers_are_acknowledged_after_their_flush() -> None:
    """A decision is an act like the others."""
    conducted = await Conducted(transfer(asks)).start()
    conducted.runtime.gate.clear()
    acknowledged = await conducted.ask(Decide(by="rita", call="review.1", payload="true"))
    assert not acknowledged.done()
    conducted.runtime.gate.set()
    await conducted.settle()
    assert acknowledged.done()


async def test_failed_attempts_ride_with_the_next_flush() -> None:
    """They are recorded, and nobody waits for them."""
    conducted = await Conducted(transfer(straight)).start()
    flushes = conducted.runtime.diary.count("flush")
    for _ in range(3):
        conducted.runtime.failed["debit.1"](Failure(type="OSError", message="lost"), False)
        await conducted.settle()
    assert conducted.runtime.diary.count("record AttemptFailed debit.1") == 3
    assert conducted.runtime.diary.count("flush") == flushes
    conducted.runtime.done("debit.1", '"p"', attempts=4)
    await conducted.settle()
    assert conducted.runtime.diary.count("flush") == flushes + 1
    assert len(conducted.runtime.durable) == len(conducted.runtime.facts)
    await conducted.leave()


async def test_attempts_are_numbered_over_all_owners() -> None:
    """A resume counts as an attempt."""
    conducted = await Conducted(transfer(straight)).start()
    for _ in range(6):
        conducted.runtime.failed["debit.1"](Failure(type="OSError", message="lost"), False)
    await conducted.settle()
    record = conducted.decider.instance.calls["debit.1"]
    assert record.failures[-1].attempt == 6
    conducted.conductor.resumed(2, crashed=True)
    assert record.attempts == 7
    conducted.runtime.failed["debit.1"](Failure(type="OSError", message="lost"), False)
    assert record.failures[-1].attempt == 8
    await conducted.leave()


async def test_a_week_of_failed_attempts_takes_a_few_facts() -> None:
    """The first ones and then some; their numbers are those of the attempts."""
    conducted = await Conducted(transfer(straight)).start()
    for _ in range(10_000):
        conducted.runtime.failed["debit.1"](Failure(type="OSError", message="lost"), False)
    noted = [fact.attempt for fact in conducted.runtime.facts if isinstance(fact, f.AttemptFailed)]
    assert noted[:12] == [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16]
    assert len(noted) < 60
    assert noted[-1] > 8_000
    await conducted.leave()


async def test_a_call_whose_failures_are_not_written_down_is_unanswered_after_a_restart() -> None:
    """The resume says so, whatever was noted: a rejection is in doubt then (S2)."""
    conducted = await Conducted(transfer(straight)).start()
    for _ in range(9):
        conducted.runtime.failed["debit.1"](Failure(type="OSError", message="lost"), False)
    await conducted.leave()
    decider = resume(definition_of(transfer(straight)), conducted.runtime.facts)
    again = Conducted(transfer(straight), decider=decider)
    again.runtime.facts = list(conducted.runtime.facts)
    again.conductor.resumed(2, crashed=False)
    await again.conduct()
    assert again.runtime.calls["debit.1"].attempts == 9
    again.runtime.rejected("debit.1")
    await again.settle()
    assert "record CallInDoubt debit.1" in again.runtime.diary
    await again.leave()


# -- a failed flush --------------------------------------------------------------------


async def test_after_a_failed_flush_the_drive_ends_with_its_error() -> None:
    """Whoever drives drops the instance and reads the journal again."""
    conducted = await Conducted(transfer(straight)).start()
    conducted.runtime.flush_fails = JournalWriteError("disk full")
    conducted.runtime.done("debit.1", '"p"')
    await conducted.settle()
    assert conducted.task is not None
    with pytest.raises(JournalWriteError):
        await conducted.task


async def test_after_a_failed_flush_nobody_is_told() -> None:
    """A request that was in it is not acknowledged."""
    conducted = await Conducted(transfer(straight)).start()
    conducted.runtime.flush_fails = JournalWriteError("disk full")
    acknowledged = await conducted.ask(Cancel(by="anna"))
    assert acknowledged.cancelled()
    await conducted.leave()


async def test_after_a_failed_flush_nothing_more_is_recorded() -> None:
    """Neither an outcome that comes late, nor a timer, nor a request."""
    conducted = await Conducted(transfer(straight)).start()
    conducted.runtime.flush_fails = JournalWriteError("disk full")
    await conducted.ask(Cancel(by="anna"))
    before = list(conducted.runtime.facts)
    conducted.runtime.done("debit.1", '"p"')
    await conducted.settle()
    conducted.conductor.tick()
    conducted.runtime.failed["debit.1"](Failure(type="OSError", message="lost"), False)
    late = await conducted.ask(Cancel(by="anna"))
    assert late.cancelled()
    assert conducted.runtime.facts == before


async def test_what_is_running_is_asked_to_stop_when_the_drive_ends() -> None:
    """Nobody would record what it comes to."""
    conducted = await Conducted(transfer(straight)).start()
    conducted.runtime.flush_fails = JournalWriteError("disk full")
    await conducted.ask(Decide(by="rita", call="review.1", payload="true"))
    assert conducted.runtime.stopped() == ["debit.1"]
    await conducted.leave()


async def test_a_runtime_that_fails_ends_the_drive() -> None:
    """An error that is no outcome is not made one."""

    class Broken(FakeRuntime):
        async def perform(self, call: object, failed: object) -> object:  # type: ignore[override]
            raise RuntimeError("no participants")

    conducted = Conducted(transfer(straight), runtime=Broken())
    await conducted.start()
    assert conducted.task is not None
    with pytest.raises(RuntimeError, match="no participants"):
        await conducted.task
    assert conducted.decider.instance.in_flight.keys() == {"debit.1"}


async def test_an_outcome_that_was_not_flushed_is_lost_and_its_step_repeats_with_the_same_key() -> None:
    """The next owner finds the registration and no outcome."""
    conducted = await Conducted(transfer(straight)).start()
    key = conducted.runtime.calls["debit.1"].key
    conducted.runtime.flush_fails = JournalWriteError("disk full")
    conducted.runtime.done("debit.1", '"p"')
    await conducted.settle()
    durable = list(conducted.runtime.durable)
    from saga.kernel import definition_of, resume  # noqa: PLC0415 - only here

    following = Conducted(transfer(straight), decider=resume(definition_of(transfer(straight)), durable))
    following.runtime.facts = durable
    following.conductor.resumed(2, crashed=True)
    await following.conduct()
    assert following.runtime.performed() == ["debit.1"]
    assert following.runtime.calls["debit.1"].key == key
    assert following.runtime.calls["debit.1"].attempts == 1
    await following.leave()
    assert conducted.task is not None
    assert isinstance(conducted.task.exception(), JournalWriteError)


# -- poison ----------------------------------------------------------------------------


async def test_so_many_crashes_without_progress_make_the_instance_stuck() -> None:
    """It may be what kills its owners."""
    driven = Driven(transfer(straight), replayed=False)
    for _ in range(RESUME_LIMIT - 1):
        driven.resumed(crashed=True)
    conducted = resuming(driven, transfer(straight))
    conducted.conductor.resumed(RESUME_LIMIT + 1, crashed=True)
    await conducted.conduct()
    assert conducted.runtime.diary[1] == "record SagaStuck code no progress after several resumes"
    assert conducted.runtime.performed() == []
    await conducted.leave()


async def test_one_crash_less_is_performed_again() -> None:
    """The limit is the limit."""
    driven = Driven(transfer(straight), replayed=False)
    for _ in range(RESUME_LIMIT - 2):
        driven.resumed(crashed=True)
    conducted = resuming(driven, transfer(straight))
    conducted.conductor.resumed(RESUME_LIMIT, crashed=True)
    await conducted.conduct()
    assert conducted.runtime.performed() == ["debit.1"]
    await conducted.leave()


def test_progress_makes_the_crashes_before_it_not_count() -> None:
    """Only crashes in a row are suspicious."""
    driven = Driven(transfer(straight)).resumed().resumed().resumed()
    assert driven.instance.resumes == 3
    driven.done("debit.1", '"p"').resumed()
    assert driven.instance.resumes == 1


def test_letting_go_is_no_crash() -> None:
    """A deployment is not suspicious."""
    driven = Driven(transfer(straight)).resumed(crashed=False).resumed(crashed=False)
    assert driven.instance.resumes == 0


def test_owners_that_crashed_before_they_could_say_so_count() -> None:
    """Their numbers are missing in the journal."""
    assert Driven(transfer(straight)).resumed(epoch=5).instance.resumes == 4


async def test_a_poisoned_instance_goes_on_when_an_operator_retries() -> None:
    """What was in flight is performed again."""
    driven = Driven(transfer(straight), replayed=False)
    conducted = resuming(driven, transfer(straight))
    conducted.conductor.resumed(RESUME_LIMIT + 1, crashed=True)
    await conducted.conduct()
    await conducted.leave()
    stuck = Driven(transfer(straight), replayed=False)
    stuck.facts = list(conducted.runtime.facts)
    stuck.at = driven.at
    stuck.reload(transfer(straight))
    assert (stuck.state, stuck.blocking) == ("STUCK", [(None, "no progress after several resumes")])
    stuck.retry()
    assert (stuck.state, stuck.in_flight, stuck.instance.resumes) == ("RUNNING", ["debit.1"], 0)
    stuck.done("debit.1", '"p"').done("credit.1", '"c"')
    assert stuck.state == "COMPLETED"


async def test_a_stuck_instance_that_is_resumed_waits_for_an_operator() -> None:
    """Taking it over changes nothing, and nothing has to be replayed for it."""

    async def buggy(saga: Steps, amount: int) -> str:
        await saga.debit(amount)
        raise KeyError("x")

    driven = Driven(transfer(buggy), replayed=False).done("debit.1", '"p"').reload(transfer(buggy))
    conducted = resuming(driven, transfer(buggy))
    conducted.conductor.resumed(2, crashed=True)
    await conducted.conduct()
    assert conducted.task is not None
    assert not conducted.task.done()
    assert not conducted.decider.stale
    await conducted.leave()
