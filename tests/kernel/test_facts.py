"""Facts: written, read, frozen, and refused where this version does not know them."""

import json
from datetime import UTC, datetime
from typing import get_args

import pytest
from pydantic import ValidationError

from saga.errors import JournalCorruptError, JournalOrderError, JournalVersionError
from saga.kernel import Fact, Instance, decode_fact, encode_fact
from saga.kernel import _facts as f
from saga.kernel._values import CallState, Failure, Kind, Reason, SagaState

AT = datetime(2026, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)
FAILURE = Failure(type="Refused", message="no\n\x00 é", details={"limit": [1, None]})
ACT = {"by": "olga", "why": "fixed", "state": SagaState.STUCK, "seen": 7}
ADOPTED = (f.Adopted(call="debit.1", overdue_at=AT), f.Adopted(call="fee.1", in_doubt=True))

FACTS: list[Fact] = [
    f.SagaStarted(at=AT, saga="Transfer", id="t-1", fingerprint="ab", deadline=AT, parent="p", handed_over=True),
    f.Resumed(at=AT, epoch=7, crashed=True),
    f.CallDone(at=AT, call="debit.1", attempts=3, overdue_at=AT, adopted=ADOPTED, payload='"p"'),
    f.CallRejected(at=AT, call="debit.1", failure=FAILURE),
    f.CallInDoubt(at=AT, call="debit.1", failure=FAILURE, overdue_at=AT),
    f.CallProbed(at=AT, call="credit.1", finding="happened", payload='"c"'),
    f.TimerFired(at=AT, timer="timer.1"),
    f.CancelRequested(at=AT, by="anna", why="no"),
    f.DecisionAnswered(at=AT, call="review.1", by="rita", payload="true"),
    f.DecisionIgnored(at=AT, call="review.1", by="rita", payload="true"),
    f.Retried(at=AT, **ACT),
    f.CallResolved(at=AT, call="a.1", finding="did_not_happen", call_state=CallState.IN_DOUBT, **ACT),
    f.CallSkipped(at=AT, call="a.1/compensation", call_state=CallState.REJECTED, **ACT),
    f.SagaAbortOrdered(at=AT, **ACT),
    f.CallRegistered(at=AT, call="debit.1", kind=Kind.PIVOT, commits=True, payload="5"),
    f.TimerSet(at=AT, timer="timer.1", due=AT),
    f.DecisionAwaited(at=AT, call="review.1", due=AT),
    f.RecoveryStarted(at=AT, reason=Reason.REJECTED, call="debit.1", failure=FAILURE),
    f.SagaCompleted(at=AT, payload='"r"'),
    f.SagaCompensated(at=AT),
    f.SagaStuck(at=AT, reasons=(f.StuckReason(reason=Reason.BUG, failure=FAILURE),)),
    f.RunContinued(at=AT),
    f.RecoveryContinued(at=AT),
    f.AttemptFailed(at=AT, call="debit.1", attempt=2, failure=FAILURE, overdue=True),
]


def test_every_kind_of_fact_is_tested_here() -> None:
    """A new one has to be added."""
    assert {type(fact) for fact in FACTS} == set(get_args(f.Fact))


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.fact)
def test_a_fact_survives_being_written_and_read(fact: Fact) -> None:
    """With its payload beside it."""
    assert decode_fact(encode_fact(fact), fact.payload) == fact
    assert decode_fact(encode_fact(fact).encode(), fact.payload).payload == fact.payload


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.fact)
def test_a_fact_is_frozen(fact: Fact) -> None:
    """The journal is append-only."""
    with pytest.raises(ValidationError, match="frozen"):
        fact.at = AT


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.fact)
def test_a_fact_that_says_more_than_this_version_knows_is_refused(fact: Fact) -> None:
    """A newer version wrote it; what it means cannot be guessed."""
    body = json.loads(encode_fact(fact)) | {"more": 1}
    with pytest.raises(JournalVersionError, match="this version of the library does not know"):
        decode_fact(json.dumps(body))


@pytest.mark.parametrize("path", [("failure",), ("adopted", 0), ("reasons", 0)])
def test_what_is_inside_a_fact_is_refused_too(path: tuple[str | int, ...]) -> None:
    """Also there a newer version may say more."""
    fact = next(one for one in FACTS if getattr(one, str(path[0]), None) is not None)
    body = json.loads(encode_fact(fact))
    inside = body
    for part in path:
        inside = inside[part]
    inside["more"] = 1
    with pytest.raises(JournalVersionError, match="more"):
        decode_fact(json.dumps(body))


@pytest.mark.parametrize(
    "body",
    [
        '{"at":"2026-01-01T00:00:00Z","fact":"SagaExploded"}',
        '{"at":"2026-01-01T00:00:00Z"}',
        '{"fact":"SagaCompensated"}',
        '{"at":"yesterday","fact":"SagaCompensated"}',
        '{"at":"2026-01-01T00:00:00Z","fact":"RecoveryStarted","reason":"boredom"}',
    ],
)
def test_an_unknown_fact_is_refused(body: str) -> None:
    """With what to do: run the version that wrote it, or a newer one."""
    with pytest.raises(JournalVersionError, match="run the version that wrote it, or a newer one"):
        decode_fact(body)


@pytest.mark.parametrize("body", ["", "{", "nonsense", "\x00"])
def test_what_is_no_json_is_damage(body: str) -> None:
    """No version wrote it."""
    with pytest.raises(JournalCorruptError):
        decode_fact(body)


@pytest.mark.parametrize("kernel", [0, f.KERNEL_VERSION + 1, "x"])
def test_a_journal_of_newer_rules_is_refused(kernel: object) -> None:
    """Its facts may look the same and mean something else."""
    body = json.loads(encode_fact(FACTS[0])) | {"kernel": kernel}
    with pytest.raises(JournalVersionError, match="kernel"):
        decode_fact(json.dumps(body))


def test_an_error_about_a_fact_shows_none_of_its_content() -> None:
    """It may be secret."""
    body = '{"at":"2026-01-01T00:00:00Z","fact":"TimerFired","timer":["top secret"]}'
    with pytest.raises(JournalVersionError) as caught:
        decode_fact(body)
    assert "secret" not in str(caught.value)


def test_microseconds_and_zone_are_kept() -> None:
    """Times are compared."""
    assert decode_fact(encode_fact(f.TimerFired(at=AT, timer="timer.1"))).at == AT


# -- order -----------------------------------------------------------------------------


def started() -> Instance:
    """An instance with one call in flight."""
    first = f.SagaStarted(at=AT, saga="Transfer", id="t-1")
    return Instance().fold_all([first, f.CallRegistered(at=AT, call="debit.1", kind=Kind.COMPENSATABLE, payload="5")])


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ([f.CallDone(at=AT, call="fee.1")], "fee.1 cannot be done: it is not registered"),
        ([f.CallRegistered(at=AT, call="debit.1")], "debit.1 cannot be registered: it is in flight"),
        ([f.CallDone(at=AT, call="debit.1")] * 2, "debit.1 cannot be done: it is done"),
        ([f.CallProbed(at=AT, call="debit.1", finding="happened")], "debit.1 cannot be happened: it is in flight"),
        ([f.SagaCompensated(at=AT)], "SagaCompensated cannot happen while the instance is RUNNING"),
        ([f.RunContinued(at=AT)], "RunContinued cannot happen while the instance is RUNNING"),
        ([f.SagaCompleted(at=AT), f.Resumed(at=AT, epoch=2)], "Resumed cannot follow COMPLETED"),
        ([f.SagaStarted(at=AT, saga="T", id="t")], "SagaStarted cannot happen while the instance is RUNNING"),
    ],
)
def test_facts_that_cannot_follow_each_other_are_refused(facts: list[Fact], text: str) -> None:
    """The journal was changed by hand, or by a faulty version."""
    with pytest.raises(JournalOrderError, match=text):
        started().fold_all(facts)


@pytest.mark.parametrize("fact", [fact for fact in FACTS if fact.fact not in {"SagaStarted", "AttemptFailed"}])
def test_a_journal_that_does_not_begin_with_its_start_is_refused(fact: Fact) -> None:
    """Its first fact says what it is about."""
    with pytest.raises(JournalOrderError):
        Instance().fold(fact)
