from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from saga.errors import StepRejected, SuspendedError
from saga.kernel import DidNotHappen, Happened, Role
from saga.participant import BarrierError, barrier
from tests.participant.banks import OPENING, Bank, Books, Debit, Posting, done, step

ACTION = "transfer-42/debit.1"


async def test_probe_finds_what_happened(bank: Bank) -> None:
    """It answers with the recorded output, as the type that was asked for."""
    with step():
        posting = await bank.debit(Debit())
    with step(Role.PROBE):
        assert await bank.find_debit() == Happened(output=posting)


@pytest.mark.peer("DTM-41")
async def test_probe_makes_its_answer_true(bank: Bank, books: Books) -> None:
    """Nothing is recorded: the answer is that it never will, and an action that comes later is refused."""
    with step(Role.PROBE):
        assert await bank.find_debit() == DidNotHappen()
        assert await bank.find_debit() == DidNotHappen()
    with step(), pytest.raises(SuspendedError):
        await bank.debit(Debit())
    assert books.balance() == OPENING
    assert books.records() == [(ACTION, "", "suspended")]


async def test_probe_of_a_rejected_action(bank: Bank, books: Books) -> None:
    """It did not happen, and the rejection stays recorded."""
    bank.script.raises = StepRejected("no")
    with step(), pytest.raises(StepRejected):
        await bank.debit(Debit())
    with step(Role.PROBE):
        assert await bank.find_debit() == DidNotHappen()
    assert books.records() == [(ACTION, "", "rejected")]


async def test_probe_of_a_compensated_action(bank: Bank) -> None:
    """What was compensated does not count as happened."""
    with step():
        posting = await bank.debit(Debit())
    with step(Role.COMPENSATION):
        await bank.refund(done(posting))
    with step(Role.PROBE):
        assert await bank.find_debit() == DidNotHappen()


async def test_probe_by_hand(bank: Bank) -> None:
    """Outside a saga the action's key is given, with or without the role behind it."""
    posting = await bank.debit(Debit(), key="order-7/debit.1")
    assert await bank.find_debit(key="order-7/debit.1") == Happened(output=posting)
    assert await bank.find_debit(key="order-7/debit.1/probe") == Happened(output=posting)
    assert await bank.find_debit(key="order-8/debit.1") == DidNotHappen()


@pytest.mark.parametrize("role", [Role.ACTION, Role.COMPENSATION, Role.CONFIRMATION, Role.FORGET])
async def test_only_a_probe_probes(bank: Bank, books: Books, role: Role) -> None:
    """An action that asks with `barrier.probe` would suspend itself."""
    with step(role), pytest.raises(BarrierError, match="is no probe"):
        await bank.find_debit()
    assert books.records() == []


async def test_probe_runs_no_body(bank: Bank, books: Books) -> None:
    """`barrier.once` in a probe is a mistake, and said to be one."""
    with step(Role.PROBE), pytest.raises(BarrierError, match=r"barrier\.probe"):
        await bank.debit(Debit())
    assert books.records() == []


async def test_action_with_its_own_key_is_no_probe_either(bank: Bank, books: Books) -> None:
    """A key makes a probe only where no step is running."""
    with step() as context, pytest.raises(BarrierError, match="is no probe"):
        await bank.find_debit(key=context.key)
    assert books.records() == []


def test_answer_of_a_probe_is_durable_before_it_is_given(url: str, engines: Callable[..., Engine]) -> None:
    """A caller who does not commit has still made it true."""
    engine = engines(url)
    with step(Role.PROBE), Session(engine) as session:
        assert barrier.probe(session, Posting) == DidNotHappen()
    assert Books(engine).records() == [(ACTION, "", "suspended")]
