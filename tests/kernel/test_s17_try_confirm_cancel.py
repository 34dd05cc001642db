"""S17: a tentative effect is confirmed once the saga has decided, compensated otherwise, and forgotten in the end."""

import asyncio

from saga import Compensatable, Saga, StepRejected
from saga.kernel import FOREVER, Role, definition_of
from tests.kernel._drive import Driven
from tests.kernel._runtime import Conducted
from tests.kernel._sagas import Tentative, bank, tentative


async def straight(saga: Tentative, amount: int) -> str:
    await saga.hold(amount)
    credited = await saga.credit(amount)
    await saga.notify("done")
    return credited


async def no_pivot_called(saga: Tentative, amount: int) -> str:
    return await saga.hold(amount)


async def two_holds(saga: Tentative, amount: int) -> str:
    await saga.hold(1)
    await saga.hold(2)
    return await saga.credit(amount)


def held(program: object = straight) -> Driven:
    """The first step is done."""
    return Driven(tentative(program)).done("hold.1", '"h"')  # type: ignore[arg-type]  # one of the above


# -- confirming ------------------------------------------------------------------------


def test_it_is_confirmed_before_the_pivots_call_returns_to_run() -> None:
    """`run` goes on when everything is final."""
    driven = held().done("credit.1", '"c"')
    assert driven.in_flight == ["hold.1/confirmation"]
    driven.done("hold.1/confirmation")
    assert driven.in_flight == ["notify.1"]


async def test_the_confirmation_takes_the_output_under_its_own_key() -> None:
    """The action's key with its role after it."""
    driven = held().done("credit.1", '"c"')
    conducted = Conducted(tentative(straight), decider=driven.decider)
    conducted.runtime.facts = list(driven.facts)
    await conducted.conduct()
    call = conducted.runtime.calls["hold.1/confirmation"]
    assert (call.input, call.key, call.action_key) == (
        '"h"',
        "transfer-42/hold.1/confirmation",
        "transfer-42/hold.1",
    )
    await conducted.leave()


def test_nothing_is_confirmed_before_the_pivot() -> None:
    """It may still be compensated."""
    assert held().in_flight == ["credit.1"]


def test_without_a_pivot_it_is_confirmed_before_the_saga_completes() -> None:
    """The end of `run` decides."""
    driven = held(no_pivot_called)
    assert (driven.state, driven.in_flight) == ("RUNNING", ["hold.1/confirmation"])


def test_once_a_confirmation_has_registered_a_cancel_is_noted_only() -> None:
    """What was confirmed cannot be compensated."""
    driven = held(no_pivot_called).cancel()
    assert (driven.state, driven.in_flight) == ("RUNNING", ["hold.1/confirmation"])
    driven.done("hold.1/confirmation").done("hold.1/forget")
    assert driven.state == "COMPLETED"


def test_every_call_is_confirmed() -> None:
    """Side by side: none waits for another."""
    driven = held(two_holds).done("hold.2", '"i"').done("credit.1", '"c"')
    assert driven.in_flight == ["hold.1/confirmation", "hold.2/confirmation"]
    driven.done("hold.2/confirmation")
    assert driven.in_flight == ["hold.1/confirmation"]
    driven.done("hold.1/confirmation").done("hold.1/forget").done("hold.2/forget")
    assert driven.state == "COMPLETED"


def test_a_tentative_effect_is_compensated_if_the_pivot_is_rejected() -> None:
    """And never confirmed."""
    driven = held().rejected("credit.1").compensate_all()
    assert driven.state == "COMPENSATED"
    assert driven.registered == ["hold.1", "credit.1", "hold.1/compensation"]


def test_a_rejected_call_is_not_confirmed() -> None:
    """Nothing is there."""

    async def program(saga: Tentative, amount: int) -> str:
        try:
            await saga.hold(amount)
        except StepRejected:
            pass
        return await saga.credit(amount)

    driven = Driven(tentative(program)).rejected("hold.1").done("credit.1", '"c"')
    assert (driven.state, driven.registered) == ("COMPLETED", ["hold.1", "credit.1"])


def test_an_abandoned_call_is_compensated_and_not_confirmed() -> None:
    """`run` does not know of it."""

    async def program(saga: Tentative, amount: int) -> str:
        try:
            await asyncio.wait_for(saga.hold(amount), 1)
        except TimeoutError:
            pass
        return await saga.credit(amount)

    driven = Driven(tentative(program)).fire("timer.1").done("hold.1", '"h"').done("hold.1/compensation")
    driven.done("credit.1", '"c"')
    assert (driven.state, driven.registered) == ("COMPLETED", ["hold.1", "hold.1/compensation", "credit.1"])


def test_what_waits_beside_the_pivot_waits_for_the_confirmations_too() -> None:
    """Other calls go on when the pivot's call has returned."""

    async def program(saga: Tentative, amount: int) -> str:
        await saga.hold(amount)
        pivot = asyncio.create_task(saga.credit(amount))
        await asyncio.sleep(1)
        await saga.notify("early")
        return await pivot

    driven = held(program).fire("timer.1").done("credit.1", '"c"')
    assert driven.in_flight == ["hold.1/confirmation"]
    driven.done("hold.1/confirmation")
    assert driven.in_flight == ["notify.1"]


# -- failing ---------------------------------------------------------------------------


def test_confirmations_retry_without_limit_by_default() -> None:
    """Like retriable steps."""

    class Transfer(Saga):
        hold = Compensatable(bank.hold).compensated_by(bank.release).confirmed_by(bank.settle)

        async def run(self, request: int) -> str:
            return await self.hold(request)

    assert definition_of(Transfer).step("hold").roles[Role.CONFIRMATION].policy.retry is FOREVER


def test_a_refused_confirmation_makes_the_saga_stuck() -> None:
    """There is no way back."""
    driven = held().done("credit.1", '"c"').rejected("hold.1/confirmation")
    assert (driven.state, driven.blocking) == ("STUCK", [("hold.1/confirmation", "rejected")])


def test_a_refused_confirmation_is_tried_again_or_done_by_hand() -> None:
    """Both free the saga."""
    driven = held().done("credit.1", '"c"').rejected("hold.1/confirmation").retry()
    assert (driven.state, driven.in_flight) == ("RUNNING", ["hold.1/confirmation"])
    driven.rejected("hold.1/confirmation").skip("hold.1")
    assert (driven.state, driven.in_flight) == ("RUNNING", ["notify.1"])


# -- forgetting ------------------------------------------------------------------------


def test_what_was_kept_for_the_compensation_is_forgotten_when_the_saga_ends() -> None:
    """After everything else, before COMPLETED."""
    driven = held().done("credit.1", '"c"').done("hold.1/confirmation").done("notify.1")
    assert (driven.state, driven.in_flight) == ("RUNNING", ["hold.1/forget"])
    driven.done("hold.1/forget")
    assert driven.state == "COMPLETED"


def test_nothing_is_forgotten_that_was_compensated() -> None:
    """The compensation needed it."""
    driven = held().rejected("credit.1").compensate_all()
    assert "hold.1/forget" not in driven.registered


def test_a_refused_forgetting_makes_the_saga_stuck_until_it_is_skipped() -> None:
    """Nothing is dropped silently."""
    driven = held(no_pivot_called).done("hold.1/confirmation").rejected("hold.1/forget")
    assert driven.blocking == [("hold.1/forget", "rejected")]
    assert driven.skip("hold.1").state == "COMPLETED"


def test_a_bug_after_the_confirmations_can_be_fixed() -> None:
    """The fixed code confirms nothing twice."""

    async def buggy(saga: Tentative, amount: int) -> str:
        await saga.hold(amount)
        await saga.credit(amount)
        raise KeyError("x")

    driven = Driven(tentative(buggy), replayed=False).done("hold.1", '"h"').done("credit.1", '"c"')
    driven.done("hold.1/confirmation")
    assert driven.blocking == [(None, "bug")]
    driven.reload(tentative(straight)).retry().done("notify.1").done("hold.1/forget")
    assert driven.state == "COMPLETED"
    assert driven.registered.count("hold.1/confirmation") == 1
