from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

from saga.errors import KeyReusedError, StepRejected
from saga.kernel import Role
from saga.participant import barrier, is_recorded
from tests.participant.banks import (
    OPENING,
    Books,
    Debit,
    Posting,
    SyncBank,
    done,
    in_doubt,
    step,
)
from tests.participant.bodies import charge, refuse, take

ACTION = "transfer-42/debit.1"
Engines = Callable[..., Engine]


@pytest.mark.peer("DTM-36")
def test_second_use_in_one_call_needs_a_part(url: str, engines: Engines) -> None:
    """Without one its body would never run; with one both run once."""
    engine = engines(url)
    with step(), engine.begin() as connection:
        barrier.once(connection, take, Debit())
        with pytest.raises(KeyReusedError, match="part="):
            barrier.once(connection, charge, Debit())
        barrier.once(connection, charge, Debit(), part="fee")
    for _ in range(2):
        with step(), Session(engine) as session, session.begin():
            barrier.once(session, take, Debit())
            barrier.once(session, charge, Debit(), part="fee")
    assert Books(engine).balance() == 89
    assert Books(engine).records() == [(ACTION, "", "done"), (ACTION, "fee", "done")]


def test_key_may_be_used_again_in_the_next_transaction(url: str, engines: Engines) -> None:
    """A caller who tries again on the same connection is not taken for a second use."""
    engine = engines(url)
    with step(), engine.connect() as connection:
        for _ in range(3):
            with connection.begin():
                barrier.once(connection, take, Debit())
    assert Books(engine).balance() == 90


def test_parts_are_compensated_by_their_own_names(url: str, engines: Engines) -> None:
    """The compensation names the same part and finds that part's record."""
    bank = SyncBank(engines(url).begin)
    with step():
        posting = bank.debit_now(Debit(), part="first")
    with step(Role.COMPENSATION):
        bank.refund_now(in_doubt(), part="second")
        bank.refund_now(done(posting), part="first")
    books = Books(engines(url))
    assert books.balance() == OPENING
    assert books.records() == [(ACTION, "first", "compensated"), (ACTION, "second", "suspended")]


def test_duplicates_of_a_message_may_share_a_transaction(url: str, engines: Engines) -> None:
    """A caller with keys of his own, such as a consumer of batches, gets the recorded output."""
    engine = engines(url)
    with engine.begin() as connection:
        first = barrier.once(connection, take, Debit(), key="order-7/debit.1")
        assert barrier.once(connection, take, Debit(), key="order-7/debit.1") == first
        with pytest.raises(KeyReusedError, match="another input"):
            barrier.once(connection, take, Debit(amount=11), key="order-7/debit.1")
    assert Books(engine).balance() == 90


def test_uses_within_a_body_that_failed_may_be_tried_again(url: str, engines: Engines) -> None:
    """In the same transaction, for what they did went with the body."""
    engine = engines(url)
    faults = [ZeroDivisionError()]

    def outer(connection: Connection, debit: Debit) -> Posting:
        barrier.once(connection, charge, debit, part="inner")
        if faults:
            raise faults.pop()
        return take(connection, debit)

    with step(), engine.begin() as connection:
        with pytest.raises(ZeroDivisionError):
            barrier.once(connection, outer, Debit())
        barrier.once(connection, outer, Debit())
    assert Books(engine).balance() == 89
    assert Books(engine).records() == [(ACTION, "", "done"), (ACTION, "inner", "done")]


def test_rejection_after_a_use_within_the_body_takes_it_along(url: str, engines: Engines) -> None:
    """What the body did behind another part is rolled back with it, and the rejection is recorded."""
    engine = engines(url)

    def outer(connection: Connection, debit: Debit) -> Posting:
        barrier.once(connection, charge, debit, part="inner")
        return refuse(connection, debit)

    with step(), pytest.raises(StepRejected) as caught, engine.begin() as connection:
        barrier.once(connection, outer, Debit())
    assert is_recorded(caught.value)
    assert Books(engine).records() == [(ACTION, "", "rejected")]
    assert Books(engine).balance() == OPENING


def test_rejected_second_part_does_not_commit_the_first(url: str, engines: Engines) -> None:
    """Rejected means that nothing happened; so the first part goes with the caller's transaction."""
    engine = engines(url)
    with step(), pytest.raises(StepRejected) as caught, engine.begin() as connection:
        barrier.once(connection, charge, Debit(), part="fee")
        barrier.once(connection, refuse, Debit())
    assert not is_recorded(caught.value)
    assert Books(engine).records() == []
    assert Books(engine).balance() == OPENING


def test_rejection_within_a_body_belongs_to_the_outer_use(url: str, engines: Engines) -> None:
    """The inner one commits nothing; the outer one records the rejection as its own."""
    engine = engines(url)

    def outer(connection: Connection, debit: Debit) -> Posting:
        charge(connection, debit)
        return barrier.once(connection, refuse, debit, part="inner")

    with step(), pytest.raises(StepRejected) as caught, engine.begin() as connection:
        barrier.once(connection, outer, Debit())
    assert is_recorded(caught.value)
    assert Books(engine).records() == [(ACTION, "", "rejected")]
    assert Books(engine).balance() == OPENING
