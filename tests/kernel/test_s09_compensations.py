"""S9: compensations retry without limit; one that fails for good is STUCK, and the others go on first."""

from datetime import timedelta

from saga import Compensatable, Effect, Retry, Saga
from saga.kernel import FOREVER, Role, definition_of, view_of
from tests.kernel._drive import Driven
from tests.kernel._runtime import Conducted
from tests.kernel._sagas import Steps, bank, transfer


async def three(saga: Steps, amount: int) -> str:
    await saga.debit(amount)
    await saga.fee(1)
    await saga.debit(amount + 1)
    return await saga.credit(amount)


def compensating() -> Driven:
    """Three calls are done and the pivot was rejected."""
    driven = Driven(transfer(three)).done("debit.1", '"a"').done("fee.1", '"b"').done("debit.2", '"c"')
    return driven.rejected("credit.1")


def test_compensations_retry_without_limit_by_default() -> None:
    """With capped backoff."""
    policy = definition_of(transfer(three)).step("debit").roles[Role.COMPENSATION].policy
    assert policy.retry is FOREVER
    assert policy.retry.attempts is None
    waits = [policy.retry.wait(failed) for failed in (1, 2, 3, 20, 10_000)]
    assert waits[:3] == [timedelta(seconds=0.2), timedelta(seconds=0.4), timedelta(seconds=0.8)]
    assert waits[3:] == [timedelta(seconds=60)] * 2


def test_a_limit_is_the_authors_choice() -> None:
    """Each role has its own policy."""

    class Transfer(Saga):
        debit = Compensatable(bank.debit).compensated_by(bank.refund, retry=Retry(attempts=7))

        async def run(self, request: int) -> str:
            return await self.debit(request)

    roles = definition_of(Transfer).step("debit").roles
    assert roles[Role.COMPENSATION].policy.retry.attempts == 7
    assert roles[Role.ACTION].policy.retry.attempts == 3


def test_a_compensation_that_is_rejected_holds_up_no_other() -> None:
    """The others go on, in their order."""
    driven = compensating().rejected("debit.2/compensation")
    assert (driven.state, driven.in_flight) == ("COMPENSATING", ["fee.1/compensation"])
    driven.done("fee.1/compensation").done("debit.1/compensation")
    assert (driven.state, driven.blocking) == ("STUCK", [("debit.2/compensation", "rejected")])


def test_a_compensation_that_outlived_its_policy_holds_up_no_other() -> None:
    """In doubt counts as failed for good too."""
    driven = compensating().in_doubt("debit.2/compensation")
    assert driven.state == "COMPENSATING"
    driven.done("fee.1/compensation").done("debit.1/compensation")
    assert (driven.state, driven.blocking) == ("STUCK", [("debit.2/compensation", "in doubt")])


def test_the_saga_is_stuck_only_when_nothing_else_can_progress() -> None:
    """While another compensation is in flight it is COMPENSATING."""
    driven = compensating().rejected("debit.2/compensation").rejected("fee.1/compensation")
    assert driven.state == "COMPENSATING"
    driven.rejected("debit.1/compensation")
    assert driven.state == "STUCK"


def test_the_error_lists_every_step_that_blocks() -> None:
    """An operator sees all of them at once."""
    driven = compensating().rejected("debit.2/compensation").in_doubt("fee.1/compensation")
    driven.done("debit.1/compensation")
    assert driven.blocking == [("debit.2/compensation", "rejected"), ("fee.1/compensation", "in doubt")]
    page = view_of(driven.instance).page()
    assert "debit.2/compensation" in page
    assert "fee.1/compensation" in page


def test_retry_tries_everything_that_blocks_again() -> None:
    """Whether it was rejected or in doubt; then the saga ends."""
    driven = compensating().rejected("debit.2/compensation").in_doubt("fee.1/compensation")
    driven.done("debit.1/compensation").retry()
    assert (driven.state, driven.in_flight) == ("COMPENSATING", ["debit.2/compensation", "fee.1/compensation"])
    driven.done("debit.2/compensation").done("fee.1/compensation")
    assert driven.state == "COMPENSATED"


def test_retry_of_a_compensation_that_fails_again_is_stuck_again() -> None:
    """As often as it takes."""
    driven = compensating().rejected("debit.2/compensation").done("fee.1/compensation")
    driven.done("debit.1/compensation").retry().rejected("debit.2/compensation")
    assert driven.state == "STUCK"
    driven.retry().done("debit.2/compensation")
    assert driven.state == "COMPENSATED"


def test_retry_is_possible_while_the_others_still_go_on() -> None:
    """Nobody has to wait until it is STUCK."""
    driven = compensating().rejected("debit.2/compensation").retry()
    assert driven.in_flight == ["fee.1/compensation", "debit.2/compensation"]


async def test_a_compensation_that_is_tried_again_keeps_its_key() -> None:
    """The participant recognises it."""
    driven = compensating().rejected("debit.2/compensation").done("fee.1/compensation")
    driven.done("debit.1/compensation").retry()
    conducted = Conducted(transfer(three), decider=driven.decider)
    conducted.runtime.facts = list(driven.facts)
    await conducted.conduct()
    call = conducted.runtime.calls["debit.2/compensation"]
    assert call.key == "transfer-42/debit.2/compensation"
    assert call.action_key == "transfer-42/debit.2"
    assert call.attempts == 1
    await conducted.leave()


def test_a_compensation_may_take_other_input() -> None:
    """The author's mapping makes it from the effect, once, when it is registered."""

    async def refund(posting: str) -> None: ...

    def posting_of(effect: Effect[int, str]) -> str:
        return f"{effect.output} of {effect.input}"

    class Transfer(Saga):
        debit = Compensatable(bank.debit).given(posting_of).compensated_by(refund)

        async def run(self, request: int) -> str:
            await self.debit(request)
            raise TimeoutError

    driven = Driven(Transfer).done("debit.1", '"p-1"')
    assert driven.payload("debit.1/compensation") == '"p-1 of 5"'


def test_a_mapping_that_fails_is_a_bug_and_retry_uses_the_fixed_one() -> None:
    """It is code like `run`: nothing is compensated with a guess."""

    async def refund(posting: str) -> None: ...

    def transfer_with(text: str) -> type[Saga]:
        def posting_of(effect: Effect[int, str]) -> str:
            return {"p-1": text}[str(effect.output)]

        class Transfer(Saga):
            debit = Compensatable(bank.debit).given(posting_of).compensated_by(refund)

            async def run(self, request: int) -> str:
                await self.debit(request)
                raise TimeoutError

        return Transfer

    driven = Driven(transfer_with("never")).done("debit.1", '"p-2"')
    assert (driven.state, driven.blocking) == ("STUCK", [(None, "bug")])

    def fixed_of(effect: Effect[int, str]) -> str:
        return str(effect.output)

    class Transfer(Saga):
        debit = Compensatable(bank.debit).given(fixed_of).compensated_by(refund)

        async def run(self, request: int) -> str:
            await self.debit(request)
            raise TimeoutError

    driven.reload(Transfer).retry()
    assert (driven.state, driven.in_flight) == ("COMPENSATING", ["debit.1/compensation"])
    assert driven.payload("debit.1/compensation") == '"p-2"'
