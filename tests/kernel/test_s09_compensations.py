"""S9: compensations retry without limit; one that fails for good is STUCK, and the others go on first."""

from collections.abc import Callable
from datetime import timedelta

from saga import Compensatable, Effect, Pivot, Retry, Saga, StepInDoubt
from saga.kernel import FOREVER, Failure, Reason, RetryRequest, Role, Skip, definition_of, resume, view_of
from saga.kernel import _facts as f
from tests.kernel._drive import SECOND, Driven
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


async def void(posting: str) -> None:
    """A compensation that takes a posting."""


def doubled_of(effect: Effect[int, str]) -> str:
    """A mapping without a bug."""
    return f"{effect.output} of {effect.input}"


def posting_of(effect: Effect[int, str]) -> str:
    """A mapping with a bug: it knows one posting only."""
    return {"p-1": "p-1"}[str(effect.output)]


def mapped(mapping: Callable[[Effect[int, str]], str]) -> type[Saga]:
    """Three calls, of which the second is compensated with what `mapping` makes; then `run` gives up."""

    class Transfer(Saga):
        debit = Compensatable(bank.debit).compensated_by(bank.refund)
        odd = Compensatable(bank.debit).given(mapping).compensated_by(void)

        async def run(self, request: int) -> str:
            await self.debit(request)
            await self.odd(request)
            await self.debit(request)
            raise TimeoutError

    return Transfer


async def conducted(saga: type[Saga]) -> Conducted:
    """All three calls are done; the last one is compensated."""
    one = await Conducted(saga).start()
    for call in ("debit.1", "odd.1", "debit.2"):
        one.runtime.done(call, '"p-2"')
        await one.settle()
    one.runtime.done("debit.2/compensation")
    return await one.settle()


async def test_a_mapping_that_fails_holds_up_no_other_compensation() -> None:
    """Nothing is compensated with a guess, and what can be compensated is."""
    one = await conducted(mapped(posting_of))
    assert one.runtime.performed()[-1] == "debit.1/compensation"
    one.runtime.done("debit.1/compensation")
    await one.settle()
    instance = one.decider.instance
    assert [(each.call, each.reason) for each in instance.stuck] == [("odd.1/compensation", Reason.BUG)]
    assert "odd.1/compensation" not in one.runtime.performed()
    await one.leave()


async def test_the_page_shows_where_a_mapping_failed() -> None:
    """With its traceback, and both ways out."""
    one = await conducted(mapped(posting_of))
    one.runtime.done("debit.1/compensation")
    await one.settle()
    page = view_of(one.decider.instance).page()
    assert "UTC: the mapping for odd.1/compensation raised KeyError: 'p-2'." in page.splitlines()[0]
    assert "in posting_of" in page
    assert "the code is fixed and deployed" in page
    assert "saga skip transfer-42 odd.1" in page
    await one.leave()


async def test_a_compensation_whose_mapping_failed_can_be_done_by_hand() -> None:
    """Then the saga ends."""
    one = await conducted(mapped(posting_of))
    one.runtime.done("debit.1/compensation")
    await one.settle()
    await one.ask(Skip(call="odd.1", by="olga", why="by hand"))
    assert one.decider.instance.state == "COMPENSATED"


async def test_retry_uses_the_mapping_of_fixed_code() -> None:
    """The journal holds that it failed, and goes on."""
    first = await conducted(mapped(posting_of))
    first.runtime.done("debit.1/compensation")
    await first.settle()
    await first.leave()
    decider = resume(definition_of(mapped(doubled_of)), first.runtime.facts)
    assert decider.out == []
    second = Conducted(mapped(doubled_of), decider=decider)
    second.runtime.facts = list(first.runtime.facts)
    await second.conduct()
    await second.ask(RetryRequest(by="olga", why="fixed"))
    assert second.runtime.calls["odd.1/compensation"].input == '"p-2 of 5"'
    second.runtime.done("odd.1/compensation")
    await second.settle()
    assert second.decider.instance.state == "COMPENSATED"


def test_a_mapping_is_asked_once_and_its_answer_is_kept() -> None:
    """Code that maps in another way, or fails, changes nothing about what is registered."""
    driven = Driven(mapped(doubled_of)).done("debit.1", '"a"').done("odd.1", '"b"').done("debit.2", '"c"')
    driven.done("debit.2/compensation").reload(mapped(posting_of))
    assert (driven.state, driven.in_flight) == ("COMPENSATING", ["odd.1/compensation"])
    assert driven.payload("odd.1/compensation") == '"b of 5"'


def abandoning(mapping: Callable[[Effect[int, str]], str]) -> type[Saga]:
    """What `run` gave up is compensated before the pivot, while the saga is RUNNING."""

    class Transfer(Saga):
        odd = Compensatable(bank.debit).given(mapping).compensated_by(void)
        debit = Compensatable(bank.debit).compensated_by(bank.refund)
        credit = Pivot(bank.credit)

        async def run(self, request: int) -> str:
            for step in (self.debit, self.odd):
                try:
                    await step(request)
                except StepInDoubt:
                    pass
            return await self.credit(request)

    return Transfer


def test_a_mapping_that_failed_while_running_heals_by_replay() -> None:
    """Fixed code concludes what the journal holds, and retry goes on with it."""
    driven = Driven(abandoning(posting_of)).in_doubt("debit.1").in_doubt("odd.1")
    assert driven.in_flight == ["odd.1/compensation"]
    failure = Failure(type="KeyError", message="'None'", traceback="KeyError: 'None'")
    driven.take(f.CallRejected(at=driven.at + SECOND, call="odd.1/compensation", failure=failure, attempts=0))
    assert driven.in_flight == ["debit.1/compensation"]
    driven.done("debit.1/compensation")
    assert (driven.state, driven.blocking) == ("STUCK", [("odd.1/compensation", "bug")])
    driven.reload(abandoning(doubled_of)).retry()
    assert (driven.state, driven.in_flight) == ("RUNNING", ["odd.1/compensation"])
    assert driven.decider.input_of(driven.instance.calls["odd.1/compensation"]) == '"None of 5"'
    driven.done("odd.1/compensation")
    assert driven.in_flight == ["credit.1"]
