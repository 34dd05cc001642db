"""S10: what an operator may do in which state; each act is a fact with who, why, and what they saw."""

from collections.abc import Callable

import pytest
from pydantic import ValidationError

from saga.errors import ActRefusedError, InvalidRequestError
from saga.kernel import Abort, Cancel, Decide, Resolve, RetryRequest, Skip, decode_request
from saga.kernel import _facts as f
from tests.kernel._drive import Driven
from tests.kernel._runtime import Conducted
from tests.kernel._sagas import Steps, Unprobed, transfer, unprobed


async def straight(saga: Steps, amount: int) -> str:
    await saga.debit(amount)
    credited = await saga.credit(amount)
    await saga.archive("done")
    return credited


async def bare(saga: Unprobed, amount: int) -> str:
    await saga.debit(amount)
    return await saga.credit(amount)


async def buggy(saga: Steps, amount: int) -> str:
    await saga.debit(amount)
    raise KeyError("x")


STATES: dict[str, Callable[[], Driven]] = {
    "running": lambda: Driven(transfer(straight)),
    "pivot in flight": lambda: Driven(transfer(straight)).done("debit.1", '"p"'),
    "pivot being probed": lambda: Driven(transfer(straight)).done("debit.1", '"p"').in_doubt("credit.1"),
    "stuck by a pivot in doubt": lambda: Driven(unprobed(bare)).done("debit.1", '"p"').in_doubt("credit.1"),
    "after the pivot": lambda: Driven(transfer(straight)).done("debit.1", '"p"').done("credit.1", '"c"'),
    "stuck after the pivot": lambda: STATES["after the pivot"]().in_doubt("archive.1"),
    "compensating": lambda: Driven(transfer(straight)).done("debit.1", '"p"').rejected("credit.1"),
    "stuck by a compensation": lambda: STATES["compensating"]().rejected("debit.1/compensation"),
    "stuck unsettled": lambda: Driven(transfer(straight)).in_doubt("debit.1", overdue=True),
    "stuck by a bug": lambda: Driven(transfer(buggy), replayed=False).done("debit.1", '"p"'),
    "completed": lambda: STATES["after the pivot"]().done("archive.1"),
    "compensated": lambda: STATES["compensating"]().done("debit.1/compensation"),
}

ACTS: dict[str, Callable[[Driven], Driven]] = {
    "cancel": Driven.cancel,
    "abort": Driven.abort,
    "retry": Driven.retry,
    "debit.1 happened": lambda driven: driven.resolve_happened("debit.1", '"p"'),
    "debit.1 did not happen": lambda driven: driven.resolve_did_not_happen("debit.1"),
    "credit.1 happened": lambda driven: driven.resolve_happened("credit.1", '"c"'),
    "credit.1 did not happen": lambda driven: driven.resolve_did_not_happen("credit.1"),
    "archive.1 happened": lambda driven: driven.resolve_happened("archive.1"),
    "archive.1 did not happen": lambda driven: driven.resolve_did_not_happen("archive.1"),
    "skip debit.1": lambda driven: driven.skip("debit.1"),
    "skip credit.1": lambda driven: driven.skip("credit.1"),
    "decide": lambda driven: driven.decide("review.1", "true"),
}

ALLOWED: dict[str, set[str]] = {
    "running": {"cancel", "abort", "decide"},
    "pivot in flight": {"cancel", "decide"},
    "pivot being probed": {"cancel", "decide", "credit.1 happened", "credit.1 did not happen"},
    "stuck by a pivot in doubt": {"cancel", "retry", "credit.1 happened", "credit.1 did not happen"},
    "after the pivot": {"cancel", "decide"},
    "stuck after the pivot": {"cancel", "decide", "retry", "archive.1 happened"},
    "compensating": {"cancel", "decide", "skip debit.1"},
    "stuck by a compensation": {"cancel", "decide", "retry", "skip debit.1"},
    "stuck unsettled": {"cancel", "decide", "debit.1 happened", "debit.1 did not happen"},
    "stuck by a bug": {"cancel", "decide", "retry", "abort"},
    "completed": set(),
    "compensated": set(),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("state", STATES)
def test_every_act_in_every_state(state: str, act: str) -> None:
    """It is a fact where it makes sense, and refused by name where it does not."""
    driven = STATES[state]()
    before = list(driven.facts)
    if act in ALLOWED[state]:
        ACTS[act](driven)
        assert len(driven.facts) > len(before)
    else:
        with pytest.raises(ActRefusedError, match=r"transfer-42 is (RUNNING|COMPENSATING|STUCK|COMP)"):
            ACTS[act](driven)
        assert driven.facts == before


def test_every_act_was_tried_in_every_state() -> None:
    """The table is complete."""
    assert ALLOWED.keys() == STATES.keys()
    allowed = {act for acts in ALLOWED.values() for act in acts}
    assert allowed == ACTS.keys() - {"skip credit.1", "archive.1 did not happen"}


def test_an_act_says_who_why_and_on_which_state_it_was_decided() -> None:
    """The journal can be read as a protocol."""
    driven = STATES["stuck by a compensation"]().skip("debit.1")
    act = next(fact for fact in driven.facts if isinstance(fact, f.CallSkipped))
    assert (act.by, act.why, act.state, act.seen) == ("olga", "by hand", "STUCK", None)
    assert (act.call, act.call_state) == ("debit.1/compensation", "rejected")


def test_an_act_says_how_much_of_the_journal_was_seen() -> None:
    """What happened between the look and the act can be told afterwards."""
    driven = STATES["stuck by a compensation"]()
    driven.ask(Skip(call="debit.1", by="olga", why="by hand", seen=4))
    act = next(fact for fact in driven.facts if isinstance(fact, f.CallSkipped))
    assert act.seen == 4
    assert '"seen":4' in f.encode_fact(act)


def test_nobody_can_have_seen_what_is_not_there() -> None:
    """It is another instance's, or made up."""
    driven = STATES["stuck by a compensation"]()
    count = driven.instance.count
    with pytest.raises(ActRefusedError, match=f"fact {count + 1} cannot have been seen, there are {count}"):
        driven.ask(RetryRequest(by="olga", why="fixed", seen=count + 1))


def test_a_resolution_names_the_state_of_the_call() -> None:
    """And what it says."""
    driven = STATES["stuck by a pivot in doubt"]().resolve_happened("credit.1", '"c"')
    act = next(fact for fact in driven.facts if isinstance(fact, f.CallResolved))
    assert (act.call, act.call_state, act.finding, act.payload) == ("credit.1", "in doubt", "happened", '"c"')


def test_a_skipped_compensation_lets_the_saga_end() -> None:
    """It was done by hand."""
    assert STATES["stuck by a compensation"]().skip("debit.1").state == "COMPENSATED"


def test_a_compensation_that_keeps_failing_may_be_skipped_while_it_is_in_flight() -> None:
    """It retries without limit, so nobody could wait for its end."""
    driven = STATES["compensating"]().skip("debit.1")
    assert driven.state == "COMPENSATED"


async def test_what_was_skipped_is_asked_to_stop_and_its_answer_is_not_recorded() -> None:
    """The operator was faster."""
    driven = STATES["compensating"]()
    rejected = Driven(transfer(straight)).done("debit.1", '"p"')
    assert rejected.state == "RUNNING"
    conducted = Conducted(transfer(straight), decider=driven.decider)
    conducted.runtime.facts, conducted.runtime.clock = list(driven.facts), driven.at
    await conducted.conduct()
    await conducted.ask(Skip(call="debit.1", by="olga", why="by hand"))
    assert conducted.decider.instance.state == "COMPENSATED"
    conducted.runtime.done("debit.1/compensation")
    await conducted.settle()
    assert "record CallDone debit.1/compensation" not in conducted.runtime.diary


def test_abort_starts_recovery_with_its_own_reason() -> None:
    """An operator gave the saga up."""
    driven = STATES["running"]().abort()
    assert driven.recovery.reason == "aborted"
    assert driven.recovery.failure is not None
    assert driven.recovery.failure.message == "hopeless"


def test_abort_frees_a_saga_that_is_stuck_by_a_bug() -> None:
    """Before the pivot everything can be compensated, with or without a fix."""
    driven = STATES["stuck by a bug"]().abort()
    assert (driven.state, driven.in_flight) == ("COMPENSATING", ["debit.1/compensation"])


def test_an_abort_that_is_refused_says_what_to_do_instead() -> None:
    """A pivot in doubt is resolved first."""
    with pytest.raises(ActRefusedError, match="credit.1 has registered.*resolve credit.1"):
        STATES["stuck by a pivot in doubt"]().abort()


def test_an_output_of_the_wrong_type_is_refused() -> None:
    """`run` could not read it."""
    driven = STATES["stuck by a pivot in doubt"]()
    with pytest.raises(InvalidRequestError, match="does not fit str"):
        driven.resolve_happened("credit.1", "5")


def test_a_call_that_does_not_exist_is_refused_with_those_that_do() -> None:
    """A typing error is seen at once."""
    driven = STATES["stuck by a pivot in doubt"]()
    with pytest.raises(ActRefusedError, match="no such call; it has debit.1, credit.1"):
        driven.resolve_happened("credit.7", '"c"')


def test_a_compensation_is_not_resolved_but_skipped() -> None:
    """Whether it happened is not the question."""
    driven = STATES["stuck by a compensation"]()
    with pytest.raises(ActRefusedError):
        driven.resolve_happened("debit.1/compensation")


def test_a_call_that_is_done_is_not_resolved_while_nobody_waits_for_it_to_settle() -> None:
    """`run` has gone on with its output."""
    driven = Driven(transfer(straight)).done("debit.1", '"p"', overdue=True, attempts=2)
    with pytest.raises(ActRefusedError, match="no doubt"):
        driven.resolve_did_not_happen("debit.1")


def test_what_is_still_settling_may_be_resolved() -> None:
    """An operator may know before the time has passed."""

    async def program(saga: Steps, amount: int) -> str:
        return await saga.slow(amount)

    driven = Driven(transfer(program)).in_doubt("slow.1", overdue=True)
    assert driven.in_flight == []
    driven.resolve_happened("slow.1", '"h"')
    assert driven.in_flight == ["slow.1/compensation"]


@pytest.mark.parametrize(
    "request_",
    [
        Cancel(by="a", why="b"),
        Abort(by="a", why="b"),
        RetryRequest(by="a", why="b"),
        Skip(by="a", why="b", call="debit.1"),
        Resolve(by="a", why="b", call="debit.1", finding="happened", payload="1"),
        Decide(by="a", call="review.1", payload="true"),
    ],
)
def test_a_request_survives_its_way_to_another_process(request_: Cancel) -> None:
    """Written and read it is the same."""
    assert decode_request(request_.model_dump_json()) == request_


@pytest.mark.parametrize("text", ["", "{}", '{"request":"explode","by":"a"}', '{"request":"skip","by":"a"}'])
def test_a_request_that_is_none_is_refused(text: str) -> None:
    """With an error that is ours."""
    with pytest.raises(InvalidRequestError):
        decode_request(text)


def test_who_and_why_have_a_length() -> None:
    """The journal is no place for novels."""
    with pytest.raises(ValidationError):
        Cancel(by="a" * 201)
    with pytest.raises(ValidationError):
        Cancel(by="a", why="b" * 2001)


async def test_an_act_is_acknowledged_after_its_flush() -> None:
    """And refused before anything is written."""
    driven = STATES["stuck by a compensation"]()
    conducted = Conducted(transfer(straight), decider=driven.decider)
    conducted.runtime.facts, conducted.runtime.clock = list(driven.facts), driven.at
    await conducted.conduct()
    with pytest.raises(ActRefusedError):
        _ = conducted.conductor.request(Abort(by="olga", why="x"))
    conducted.runtime.gate.clear()
    acknowledged = await conducted.ask(RetryRequest(by="olga", why="fixed"))
    assert not acknowledged.done()
    conducted.runtime.gate.set()
    await conducted.settle()
    assert acknowledged.done()
    await conducted.leave()
