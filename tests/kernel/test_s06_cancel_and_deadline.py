"""S6: cancel and deadline are facts at a position; from there nothing that `run` does matters."""

import asyncio
from datetime import timedelta

import pytest

from saga import StepRejected
from saga.errors import ActRefusedError
from saga.kernel import Cancel
from tests.kernel._drive import SECOND, START, Driven
from tests.kernel._runtime import Conducted
from tests.kernel._sagas import Steps, transfer

MINUTES = timedelta(minutes=5)


async def straight(saga: Steps, amount: int) -> str:
    await saga.debit(amount)
    credited = await saga.credit(amount)
    await saga.notify("done")
    return credited


async def stubborn(saga: Steps, amount: int) -> str:
    """It catches whatever it is told and goes on."""
    try:
        await saga.debit(amount)
    except BaseException:
        await saga.fee(1)
    try:
        return await saga.credit(amount)
    except BaseException:
        await saga.fee(2)
        return "went on"


def test_a_cancel_is_a_fact_with_who_and_why() -> None:
    """The journal says who asked, and recovery names the reason."""
    driven = Driven(transfer(straight)).cancel()
    act = driven.instance.acts[0]
    assert (act.by, act.why) == ("anna", "no longer needed")
    assert driven.log[-2:] == ["CancelRequested", "RecoveryStarted cancelled"]


def test_run_cannot_catch_a_cancel() -> None:
    """From the fact on `run` is not executed, whatever it would catch."""
    driven = Driven(transfer(stubborn)).cancel()
    driven.done("debit.1", '"p"').done("debit.1/compensation")
    assert driven.state == "COMPENSATED"
    assert driven.registered == ["debit.1", "debit.1/compensation"]


def test_a_cancel_wins_over_an_outcome_that_comes_after_it() -> None:
    """Also over the one that would have completed the saga."""

    async def program(saga: Steps, amount: int) -> str:
        return await saga.debit(amount)

    driven = Driven(transfer(program)).cancel().done("debit.1", '"p"')
    assert driven.in_flight == ["debit.1/compensation"]


def test_the_deadline_is_delivered_at_its_position() -> None:
    """A fact with the due time, then recovery."""
    driven = Driven(transfer(straight, within=MINUTES)).fire("deadline")
    assert driven.log[-2:] == ["TimerFired deadline", "RecoveryStarted deadline"]
    assert driven.recovery.at == START + MINUTES


def test_a_cancel_while_the_pivot_is_in_flight_waits_for_its_outcome_done() -> None:
    """Done: the point of no return has passed, and the cancel is noted only."""
    driven = Driven(transfer(straight)).done("debit.1", '"p"').cancel()
    assert (driven.state, driven.in_flight) == ("RUNNING", ["credit.1"])
    driven.done("credit.1", '"c"').done("notify.1")
    assert (driven.state, driven.compensated) == ("COMPLETED", [])


@pytest.mark.parametrize("what", ["cancel", "deadline"])
def test_a_cancel_or_deadline_while_the_pivot_is_in_flight_waits_for_its_outcome_rejected(what: str) -> None:
    """Rejected: recovery begins at once, and `run` is not shown the rejection."""
    driven = Driven(transfer(stubborn, within=MINUTES)).done("debit.1", '"p"')
    driven.cancel() if what == "cancel" else driven.fire("deadline")
    assert (driven.state, driven.in_flight) == ("RUNNING", ["credit.1"])
    driven.rejected("credit.1")
    assert driven.recovery.reason == ("cancelled" if what == "cancel" else "deadline")
    assert driven.in_flight == ["debit.1/compensation"]
    assert "fee.2" not in driven.registered


def test_a_cancel_while_the_pivot_is_in_doubt_waits_for_the_probe() -> None:
    """Until something says what became of it."""
    driven = Driven(transfer(straight)).done("debit.1", '"p"').in_doubt("credit.1").cancel()
    assert (driven.state, driven.in_flight) == ("RUNNING", ["credit.1/probe"])
    driven.did_not_happen("credit.1")
    assert driven.recovery.reason == "cancelled"


def test_a_second_cancel_is_recorded_and_changes_nothing() -> None:
    """Recovery cannot be stopped."""
    driven = Driven(transfer(straight)).done("debit.1", '"p"').cancel()
    driven.rejected("credit.1")
    assert driven.in_flight == ["debit.1/compensation"]
    before = driven.in_flight
    driven.cancel()
    assert (driven.log[-1], driven.in_flight) == ("CancelRequested", before)
    driven.done("debit.1/compensation")
    assert driven.state == "COMPENSATED"


def test_the_first_of_two_cancels_is_the_reason() -> None:
    """The second one is a fact like the first, and changes nothing."""
    driven = Driven(transfer(straight)).done("debit.1", '"p"').cancel()
    driven.ask(Cancel(by="paul", why="too late")).rejected("credit.1")
    assert driven.recovery.failure is not None
    assert driven.recovery.failure.message == "no longer needed"
    assert [act.by for act in driven.instance.acts] == ["anna", "paul"]


def test_a_deadline_during_recovery_is_recorded_and_changes_nothing() -> None:
    """The saga goes on compensating."""
    driven = Driven(transfer(straight, within=MINUTES)).done("debit.1", '"p"').rejected("credit.1")
    driven.fire("deadline")
    assert (driven.log[-1], driven.in_flight) == ("TimerFired deadline", ["debit.1/compensation"])
    assert driven.recovery.reason == "rejected"
    driven.done("debit.1/compensation")
    assert driven.state == "COMPENSATED"


def test_a_cancel_during_a_stuck_recovery_is_recorded_and_changes_nothing() -> None:
    """It is no operator's act that would try something again."""
    driven = Driven(transfer(straight)).done("debit.1", '"p"').rejected("credit.1")
    driven.rejected("debit.1/compensation").cancel()
    assert (driven.state, driven.log[-1]) == ("STUCK", "CancelRequested")


def test_after_the_end_a_cancel_is_refused() -> None:
    """Nothing can change any more."""
    driven = Driven(transfer(straight)).cancel().rejected("debit.1")
    assert driven.state == "COMPENSATED"
    with pytest.raises(ActRefusedError, match="Transfer transfer-42 is COMPENSATED: cancel is refused"):
        driven.cancel()


def test_a_deadline_that_passed_while_stuck_by_a_bug_counts_when_somebody_acts() -> None:
    """STUCK waits for an operator; what they free is compensated."""

    async def buggy(saga: Steps, amount: int) -> str:
        await saga.debit(amount)
        raise KeyError("x")

    driven = Driven(transfer(buggy, within=MINUTES), replayed=False).done("debit.1", '"p"').fire("deadline")
    assert driven.state == "STUCK"
    driven.retry()
    assert (driven.state, driven.recovery.reason) == ("COMPENSATING", "deadline")


def test_a_cancel_frees_a_saga_that_is_stuck_by_a_bug() -> None:
    """Before the point of no return it need not be fixed to be compensated."""

    async def buggy(saga: Steps, amount: int) -> str:
        await saga.debit(amount)
        raise KeyError("x")

    driven = Driven(transfer(buggy), replayed=False).done("debit.1", '"p"').cancel()
    assert (driven.state, driven.in_flight) == ("COMPENSATING", ["debit.1/compensation"])


async def test_leaving_is_no_cancel() -> None:
    """Closing the engine records nothing; the activity is asked to stop and its outcome is not recorded."""
    conducted = await Conducted(transfer(straight)).start()
    before = list(conducted.runtime.facts)
    await conducted.leave()
    assert conducted.runtime.facts == before
    assert conducted.runtime.stopped() == ["debit.1"]


async def test_the_next_owner_goes_on_where_the_last_one_left() -> None:
    """The call that was in flight is performed again, under the same key."""
    conducted = await Conducted(transfer(straight)).start()
    key = conducted.runtime.calls["debit.1"].key
    await conducted.leave()
    driven = Driven(transfer(straight))
    following = Conducted(transfer(straight), decider=driven.decider)
    following.runtime.facts = list(driven.facts)
    following.conductor.resumed(2, crashed=False)
    await following.conduct()
    assert following.runtime.calls["debit.1"].key == key == "transfer-42/debit.1"
    await following.leave()


async def test_the_alarm_is_set_for_the_deadline_and_moves_to_what_is_due_first() -> None:
    """One alarm per instance, for whatever comes first."""

    async def program(saga: Steps, amount: int) -> str:
        await asyncio.sleep(1)
        return await saga.debit(amount)

    conducted = await Conducted(transfer(program, within=MINUTES)).start()
    assert conducted.runtime.wakes[-1] == START + SECOND
    conducted.runtime.clock = START + SECOND
    conducted.conductor.tick()
    await conducted.settle()
    assert conducted.runtime.wakes[-1] == START + MINUTES
    await conducted.leave()


async def test_a_cancel_is_acknowledged_after_its_flush() -> None:
    """Whoever asked is told when it is durable."""
    conducted = await Conducted(transfer(straight)).start()
    conducted.runtime.gate.clear()
    acknowledged = await conducted.ask(Cancel(by="anna"))
    assert not acknowledged.done()
    conducted.runtime.gate.set()
    await conducted.settle()
    assert acknowledged.done()
    await conducted.leave()


def test_a_rejection_that_run_caught_before_a_cancel_stays_caught() -> None:
    """Only what comes after the cancel does not matter."""

    async def program(saga: Steps, amount: int) -> str:
        try:
            await saga.debit(amount)
        except StepRejected:
            await saga.fee(1)
        return ""

    driven = Driven(transfer(program)).rejected("debit.1").cancel().done("fee.1", '"f"').compensate_all()
    assert (driven.state, driven.compensated) == ("COMPENSATED", ["fee.1"])
