"""Stories: every word, what a wrong story is told, and mistakes in telling one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from saga import (
    Compensatable,
    Decision,
    DidNotHappen,
    Effect,
    Happened,
    Nested,
    Pivot,
    ReadOnly,
    Retriable,
    Retry,
    Saga,
    SagaAborted,
    SagaState,
    StepRejected,
    participant,
)
from saga.errors import InvalidIdError, InvalidRequestError
from saga.testing import Story, StoryError, given


class Transfer(BaseModel):
    """What is asked for."""

    cents: int


class Posting(BaseModel):
    """What a bank did."""

    id: str


class AccountClosed(Exception):
    """The bank says no."""


class Bank:
    """Performs nothing in a story."""

    def debit(self, transfer: Transfer) -> Posting:
        raise NotImplementedError

    def refund(self, effect: Effect[Transfer, Posting]) -> None:
        raise NotImplementedError

    def fix(self, posting: Posting) -> None:
        raise NotImplementedError

    def forget(self, posting: Posting) -> None:
        raise NotImplementedError

    def credit(self, transfer: Transfer) -> Posting:
        raise NotImplementedError

    def find(self, transfer: Transfer) -> Happened[Posting] | DidNotHappen:
        raise NotImplementedError

    def tell(self, text: str) -> None:
        raise NotImplementedError

    def take_back(self, effect: Effect[Transfer, str]) -> None:
        raise NotImplementedError


bank = participant(Bank, "bank")
REQUEST = Transfer(cents=30)
POSTING = Posting(id="p-1")


class MoneyTransfer(Saga):
    """A decision for large sums, a pivot with a probe, a letter at the end."""

    deadline = timedelta(minutes=5)

    debit = Compensatable(bank.debit, barrier=True).compensated_by(bank.refund, retry=Retry(attempts=2))
    review = Decision(bool, within=timedelta(minutes=2))
    credit = Pivot(bank.credit, rejects=[AccountClosed], barrier=True).probed_by(bank.find)
    notify = Retriable(bank.tell)

    async def run(self, transfer: Transfer) -> str:
        debited = await self.debit(transfer)
        if transfer.cents > 100 and not await self.review():
            raise SagaAborted("too much")
        credited = await self.credit(transfer)
        await self.notify("done")
        return f"{debited.id} {credited.id}"


class Tentative(Saga):
    """Try, confirm, cancel, and something to forget; nothing but an operator settles it."""

    debit = (
        Compensatable(bank.debit)
        .compensated_by(bank.refund)
        .confirmed_by(bank.fix, retry=Retry(attempts=1))
        .forgotten_by(bank.forget)
    )
    look = ReadOnly(bank.tell)

    async def run(self, transfer: Transfer) -> None:
        await self.debit(transfer)
        await self.look("at it")


class Buggy(Saga):
    """Divides by nothing."""

    look = ReadOnly(bank.tell)

    async def run(self, transfer: Transfer) -> float:
        await self.look("first")
        return transfer.cents / 0


class Parent(Saga):
    """Runs another saga."""

    before = Compensatable(bank.debit).compensated_by(bank.refund)
    transfer = Nested(MoneyTransfer).compensated_by(bank.take_back)

    async def run(self, transfer: Transfer) -> str:
        await self.before(transfer)
        return await self.transfer(transfer)


def transferring(cents: int = 30) -> Story[str]:
    """The story of a transfer."""
    return given(MoneyTransfer, Transfer(cents=cents))


def debited(cents: int = 30) -> Story[str]:
    """The story of a transfer that is debited."""
    return transferring(cents).expects("debit").done(POSTING)


# -- every word --------------------------------------------------------------------------


def test_the_form_of_a_story() -> None:
    """A rejected pivot: what was done before it is compensated."""
    story = (
        given(MoneyTransfer, REQUEST)
        .expects("debit")
        .done(POSTING)
        .expects("credit")
        .rejected(AccountClosed("it was closed"))
        .expects_compensation("debit")
        .compensated()
    )
    assert story.view.state is SagaState.COMPENSATED


def test_steps_are_given_by_name_or_as_they_are() -> None:
    """Both name the same, and inputs may be looked at."""
    story = given(MoneyTransfer, REQUEST).expects(MoneyTransfer.debit, REQUEST).done(POSTING)
    story.expects(MoneyTransfer.credit, Transfer(cents=30)).done(Posting(id="p-2"))
    story.expects("notify", "done").done().completed("p-1 p-2")


def test_a_compensation_is_done_unless_something_else_is_said() -> None:
    """A compensation that outlives its policy makes the saga STUCK; retried by an operator it ends."""
    effect = Effect[Transfer, Posting](input=REQUEST, output=POSTING, in_doubt=False)
    story = debited().expects("credit").rejected().expects_compensation("debit", effect).in_doubt()
    story.stuck("debit.1/compensation").retried().expects_compensation("debit").compensated()


def test_a_compensation_that_is_refused_may_be_skipped() -> None:
    """An operator did it by hand."""
    story = debited().expects("credit").rejected("closed").expects_compensation("debit").rejected("account frozen")
    story.stuck().skipped("debit").compensated()


def test_a_pivot_in_doubt_is_probed() -> None:
    """What the probe finds decides."""
    happened = debited().expects("credit").in_doubt().expects_probe("credit", REQUEST).found(Happened(output=POSTING))
    happened.expects("notify").done().completed("p-1 p-1")
    story = debited().expects("credit").in_doubt().expects_probe("credit").found(DidNotHappen())
    story.expects_compensation("debit").compensated()


@pytest.mark.parametrize("by_name", [True, False])
def test_what_may_still_act_needs_an_operator(by_name: bool) -> None:
    """Overdue and without a barrier: only an operator knows."""
    step: Any = "debit" if by_name else Tentative.debit
    story = given(Tentative, REQUEST).expects("debit").in_doubt(overdue=True).stuck("debit.1")
    story.resolved(step, DidNotHappen()).compensated()
    other = given(Tentative, REQUEST).expects("debit").in_doubt(ConnectionError("lost"), overdue=True)
    other.resolved(step, Happened(output=POSTING)).expects_compensation("debit").compensated()


def test_what_is_tentative_is_confirmed_and_then_forgotten() -> None:
    """Each with the action's output."""
    story = given(Tentative, REQUEST).expects("debit").done(POSTING).expects("look").done()
    story.expects_confirmation("debit", POSTING).expects_forgetting("debit", POSTING).completed()
    refused = given(Tentative, REQUEST).expects("debit").done(POSTING).expects("look").done()
    refused.expects_confirmation("debit").rejected("too late").stuck("debit.1/confirmation")
    refused.skipped(Tentative.debit).expects_forgetting("debit").done().completed(None)


def test_decisions_are_answered_or_time_out() -> None:
    """By name, by the decision itself, or not at all."""
    approved = debited(101).decides("review", answer=True).expects("credit").done(POSTING)
    approved.expects("notify").done().completed()
    refused = debited(101).decides(MoneyTransfer.review, answer=False)
    refused.expects_compensation("debit").compensated()
    late = debited(101).after(timedelta(minutes=1)).running().after(timedelta(minutes=1))
    late.expects_compensation("debit").compensated()
    early = transferring(101).decides("review", answer=True).expects("debit").done(POSTING).expects("credit")
    early.running()


def test_the_deadline_passes() -> None:
    """Time stands still unless a story moves it."""
    debited().after(timedelta(minutes=4)).running().expects("credit").rejected().expects_compensation("debit")
    late = transferring().after(timedelta(minutes=5)).expects("debit").done(POSTING)
    late.expects_compensation("debit").compensated()
    assert late.view.reason == "deadline"


@pytest.mark.parametrize("stop", [Story.cancelled, Story.aborted])
def test_somebody_stops_it(stop: Callable[[Story[str]], Story[str]]) -> None:
    """What is in flight is settled, then compensated."""
    story = stop(transferring())
    story.expects("debit").done(POSTING).expects_compensation("debit").compensated()


def test_a_crash_leaves_what_is_in_flight_unknown() -> None:
    """Behind a barrier a rejection after it is one; elsewhere it is in doubt, and the story has to say so."""
    debited().crashed().expects("credit").rejected().expects_compensation("debit").compensated()
    story = given(Tentative, REQUEST).crashed().expects("debit")
    assert "debit.1 to be in doubt" in told(story.rejected)
    given(Tentative, REQUEST).crashed().expects("debit").in_doubt().stuck("debit.1")


def test_a_nested_saga_is_a_step() -> None:
    """Its own steps are another story."""
    story = given(Parent, REQUEST).expects("before").done(POSTING).expects("transfer", REQUEST).done("p-1 p-2")
    story.completed("p-1 p-2")
    refused = given(Parent, REQUEST).expects("before").done(POSTING).expects(Parent.transfer).rejected("closed")
    refused.expects_compensation("before").compensated()


# -- stories that are wrong --------------------------------------------------------------


def told(tell: Callable[[], object]) -> str:
    """What a wrong story is told."""
    with pytest.raises(StoryError) as caught:
        tell()
    return str(caught.value)


def test_a_wrong_story_sees_what_happened_instead() -> None:
    """Expected, happened, the state, what is in flight, and the journal without payloads."""
    story = debited()
    assert told(lambda: story.expects("notify")).splitlines() == [
        "MoneyTransfer story: the story is another one.",
        "  expected    the action of notify",
        "  happened    RUNNING; say what credit.1 came to",
        "  state       RUNNING",
        "  in flight   credit.1",
        "  journal",
        "    SagaStarted",
        "    CallRegistered debit.1",
        "    CallDone debit.1",
        "    CallRegistered credit.1",
    ]


WRONG: dict[str, tuple[Callable[[], object], str, str]] = {
    "another role": (lambda: debited().expects_compensation("debit"), "the compensation of debit", "credit.1"),
    "another input": (
        lambda: transferring().expects("debit", Transfer(cents=31)),
        'debit.1 with {"cents":31}',
        'debit.1 with {"cents":30}',
    ),
    "another ending": (lambda: debited().completed(), "COMPLETED", "RUNNING; say what credit.1 came to"),
    "another result": (
        lambda: debited().expects("credit").done(POSTING).expects("notify").done().completed("p-1 p-2"),
        'the result "p-1 p-2"',
        'the result "p-1 p-1"',
    ),
    "an ending too late": (
        lambda: debited().expects("credit").rejected().expects_compensation("debit").completed(),
        "COMPLETED",
        "COMPENSATED",
    ),
    "nobody answers": (lambda: debited(101).completed(), "COMPLETED", "say what is decided about review.1"),
    "stuck by something else": (
        lambda: given(Tentative, REQUEST).expects("debit").in_doubt(overdue=True).stuck("look.1"),
        "STUCK by look.1",
        "STUCK by debit.1",
    ),
    "a bug": (
        lambda: given(Buggy, REQUEST).expects("look").done().completed(),
        "COMPLETED",
        "STUCK by its code: ZeroDivisionError: division by zero",
    ),
    "a bug before a step": (
        lambda: given(Buggy, REQUEST).expects("look").done().expects("look"),
        "the action of look",
        "STUCK by its code: ZeroDivisionError: division by zero",
    ),
    "an act that is refused": (
        lambda: debited().expects("credit").done(POSTING).aborted(),
        "abort to be taken",
        "credit.1 has registered, so the saga only goes forward",
    ),
    "a retry of nothing": (lambda: transferring().retried(), "retry to be taken", "nothing is blocked"),
    "a skip of nothing": (lambda: transferring().skipped("debit"), "skip to be taken", "no compensation is waiting"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_stories(case: str) -> None:
    """Each shows what was expected and what happened instead."""
    tell, expected, happened = WRONG[case]
    lines = told(tell).splitlines()
    assert lines[1] == f"  expected    {expected}"
    assert happened in lines[2]


# -- mistakes in telling -----------------------------------------------------------------


MISTAKES: dict[str, tuple[Callable[[], object], str, str]] = {
    "a typo": (
        lambda: transferring().expects("debbit"),
        "a step, one of debit, credit, notify",
        "'debbit' is none",
    ),
    "a typo in an act": (lambda: transferring().skipped("debbit"), "a step, one of debit", "'debbit' is none"),
    "a role that the step has not": (
        lambda: transferring().expects_confirmation("debit"),
        "the confirmation of debit",
        "debit has none",
    ),
    "nothing expected": (lambda: transferring().done(POSTING), "something to be done", "no activity was expected"),
    "answered twice": (
        lambda: debited().rejected(),
        "something to be rejected",
        "no activity was expected just before",
    ),
    "found by no probe": (
        lambda: transferring().expects("debit").found(DidNotHappen()),
        "found(...) for a probe",
        "debit.1 found",
    ),
    "a probe that is done": (
        lambda: debited().expects("credit").in_doubt().expects_probe("credit").done(POSTING),
        "found(...) for a probe",
        "credit.1/probe done",
    ),
    "an output of another type": (
        lambda: transferring().expects("debit").done("p-1"),
        "an output of debit.1",
        "this does not fit Posting",
    ),
    "an output forgotten": (
        lambda: transferring().expects("debit").done(),
        "an output of debit.1",
        "this does not fit Posting",
    ),
    "an input of another type": (
        lambda: transferring().expects("debit", 30),
        "an input of debit.1",
        "this does not fit Transfer",
    ),
    "a finding of another type": (
        lambda: debited().expects("credit").in_doubt().expects_probe("credit").found(Happened(output=1)),
        "an output of credit.1",
        "this does not fit Posting",
    ),
    "a result of another type": (
        lambda: debited().expects("credit").done(POSTING).expects("notify").done().completed(POSTING),
        "a result of run",
        "this does not fit str",
    ),
    "an undeclared decision": (
        lambda: debited().decides("revue", answer=True),
        "a decision, one of review",
        "'revue' is none",
    ),
    "a decision of a saga that has none": (
        lambda: given(Buggy, REQUEST).decides("review", answer=True),
        "a decision, one of none at all",
        "'review' is none",
    ),
    "an answer of another type": (
        lambda: debited(101).decides("review", answer="perhaps"),
        "an answer to review",
        "this does not fit bool",
    ),
    "an error that is no rejection": (
        lambda: debited().expects("credit").rejected(ConnectionError("lost")),
        "a rejection of credit.1: StepRejected, AccountClosed",
        "ConnectionError, which leaves it in doubt",
    ),
    "a call that never was": (
        lambda: debited().resolved("debit", DidNotHappen(), call=2),
        "debit.2 to resolve",
        "debit.2 was never called",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_in_telling(case: str) -> None:
    """Each is named, with what would have been right."""
    tell, expected, happened = MISTAKES[case]
    text = told(tell)
    assert text.splitlines()[1].startswith(f"  expected    {expected}")
    assert happened in text.splitlines()[2]


def test_a_mistake_shows_where_a_value_does_not_fit() -> None:
    """With pydantic's path, and without the value."""
    text = told(lambda: transferring().expects("debit").done({"number": "secret"}))
    assert "id: Field required" in text
    assert "secret" not in text


def test_a_request_or_an_id_that_does_not_fit_is_refused() -> None:
    """Before there is a story."""
    with pytest.raises(InvalidRequestError, match="Transfer"):
        given(MoneyTransfer, {"cents": "much"})
    with pytest.raises(InvalidIdError):
        given(MoneyTransfer, REQUEST, id="a/b")


def test_a_rejection_may_be_any_that_the_step_expects() -> None:
    """Its own types, and StepRejected."""
    for no in (AccountClosed("closed"), StepRejected("closed"), "closed"):
        debited().expects("credit").rejected(no).expects_compensation("debit").compensated()


def test_what_run_decides_on_replay_is_what_it_decided() -> None:
    """A saga that is not deterministic is found at the end of its story."""
    turns = iter(range(10))

    class Fickle(Saga):
        """Looks at something else each time it is replayed."""

        look = ReadOnly(bank.tell)

        async def run(self, transfer: Transfer) -> None:
            if next(turns) == 0:
                await self.look("once")
            else:
                await self.look("again")

    text = told(lambda: given(Fickle, REQUEST).expects("look").running())
    assert "the same decisions on replay" in text
