"""S11: the deadline is the saga's own timer, set when it starts."""

from datetime import timedelta

import pytest

from saga import Saga, SagaDefinitionError
from tests.kernel._drive import START, Driven
from tests.kernel._runtime import Conducted
from tests.kernel._sagas import Steps, transfer

MINUTES = timedelta(minutes=5)


async def straight(saga: Steps, amount: int) -> str:
    await saga.debit(amount)
    return await saga.credit(amount)


async def run(self: object, request: int) -> str:
    return ""


def test_the_deadline_is_an_instant_that_is_fixed_at_the_start() -> None:
    """Code that is deployed later with another deadline does not move it."""
    driven = Driven(transfer(straight, within=MINUTES))
    driven.reload(transfer(straight, within=MINUTES * 10))
    assert driven.decider.next_due() == ("deadline", START + MINUTES)


def test_without_a_deadline_nothing_is_due() -> None:
    """No deadline is the default."""
    assert Driven(transfer(straight)).decider.next_due() is None


def test_it_counts_from_the_start_and_not_from_the_last_fact() -> None:
    """Progress does not extend it."""
    driven = Driven(transfer(straight, within=MINUTES)).resumed().resumed()
    assert driven.decider.next_due() == ("deadline", START + MINUTES)


def test_it_does_not_end_the_recovery() -> None:
    """It starts it, and the compensations take as long as they take."""
    driven = Driven(transfer(straight, within=MINUTES)).fire("deadline").done("debit.1", '"p"')
    assert driven.in_flight == ["debit.1/compensation"]
    assert driven.decider.next_due() is None


def test_it_does_not_free_a_stuck_instance_and_holds_once_somebody_acts() -> None:
    """A clock is nobody: a bug never moves money. The operator's act then starts backward recovery."""

    async def buggy(saga: Steps, amount: int) -> str:
        await saga.debit(amount)
        raise KeyError(amount)

    driven = Driven(transfer(buggy, within=MINUTES), replayed=False).done("debit.1", '"p"').fire("deadline")
    assert (driven.state, driven.in_flight) == ("STUCK", [])
    driven.retry()
    assert (driven.state, driven.recovery.reason) == ("COMPENSATING", "deadline")
    assert driven.in_flight == ["debit.1/compensation"]


async def test_the_conductor_fires_it_when_its_time_has_come() -> None:
    """And asks what is running to stop."""

    async def slow(saga: Steps, amount: int) -> str:
        return await saga.slow(amount)

    conducted = await Conducted(transfer(slow, within=MINUTES)).start()
    assert conducted.runtime.wakes == [START + MINUTES]
    conducted.runtime.clock = START + MINUTES
    conducted.conductor.tick()
    await conducted.settle()
    assert conducted.decider.instance.state == "COMPENSATING"
    assert conducted.runtime.stopped() == ["slow.1"]
    await conducted.leave()


async def test_an_instance_that_was_down_at_its_deadline_fires_it_when_it_resumes() -> None:
    """The time of the fact is when it was noticed."""
    driven = Driven(transfer(straight, within=MINUTES))
    conducted = Conducted(transfer(straight, within=MINUTES), decider=driven.decider)
    conducted.runtime.facts, conducted.runtime.clock = list(driven.facts), START + MINUTES * 3
    conducted.conductor.resumed(2, crashed=False)
    await conducted.conduct()
    assert conducted.runtime.wakes == [START + MINUTES]
    conducted.conductor.tick()
    await conducted.settle()
    recovery = conducted.decider.instance.recovery
    assert recovery is not None
    assert (recovery.reason, recovery.at) == ("deadline", START + MINUTES * 3)
    await conducted.leave()


@pytest.mark.parametrize("deadline", [5, timedelta(0), timedelta(seconds=-1), "soon"])
def test_a_deadline_that_is_no_positive_time_is_refused(deadline: object) -> None:
    """When the class is made."""
    with pytest.raises(SagaDefinitionError, match="deadline: is .*; give a positive timedelta or None"):
        type("Transfer", (Steps,), {"deadline": deadline, "run": run})


def test_a_saga_may_inherit_its_deadline() -> None:
    """A base class sets it for all."""

    class Hasty(Saga):
        deadline = MINUTES

    class Transfer(Hasty):
        debit = Steps.debit

        async def run(self, request: int) -> str:
            return await self.debit(request)

    assert Driven(Transfer).decider.next_due() == ("deadline", START + MINUTES)
