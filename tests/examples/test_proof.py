"""The auditor of the example notices what does not belong, so that its proof means something."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from sqlalchemy import text

from examples.money_transfer.bank import Bank
from examples.money_transfer.chapters import CLOSED, SOURCE, TARGET
from examples.money_transfer.models import Transfer
from examples.money_transfer.proof import prove
from examples.money_transfer.saga import MoneyTransfer
from examples.money_transfer.world import World
from saga import SagaCompensatedError


def transfer(amount: str, *, target: str = TARGET) -> Transfer:
    """Return a transfer from an open account."""
    return Transfer(source=SOURCE, target=target, amount=Decimal(amount), owner="bakery.1@example.org")


def tamper(bank: Bank, statement: str) -> None:
    """Change a bank's books behind its back."""
    with bank.engine.begin() as connection:
        assert connection.execute(text(statement)).rowcount == 1


def post_twice(world: World) -> None:
    """A credit acts twice."""
    world.south.post_by_hand(TARGET, Decimal("5.00"), key="t-1/credit.1")


def lose_a_line(world: World) -> None:
    """A credit leaves the ledger."""
    tamper(world.south, "DELETE FROM ledger WHERE key = 't-1/credit.1'")


def change_a_line(world: World) -> None:
    """A debit is another amount than was asked for."""
    tamper(world.north, "UPDATE ledger SET cents = cents - 1 WHERE key = 't-1/debit.1'")


def change_a_balance(world: World) -> None:
    """A cent appears on an account."""
    tamper(world.south, "UPDATE account SET cents = cents + 1 WHERE number = 'XS15SUED00000001'")


def post_out_of_nowhere(world: World) -> None:
    """Money comes under a key that no transfer has."""
    world.south.post_by_hand(TARGET, Decimal("5.00"), key="t-9/credit.1")


def refund_twice(world: World) -> None:
    """A clerk refunds what the bank refunded."""
    world.north.post_by_hand(SOURCE, Decimal("5.00"), key="t-2/debit.1/by-hand")


def lose_a_letter(world: World) -> None:
    """The outbox is emptied."""
    with world.mail.engine.begin() as connection:
        connection.execute(text("DELETE FROM outbox"))


@pytest.mark.parametrize(
    ("break_something", "fault"),
    [
        (post_twice, "t-1 is COMPLETED and has 2 credits instead of 1"),
        (lose_a_line, "t-1 is COMPLETED and has 0 credits instead of 1"),
        (change_a_line, "t-1 has debits of another amount or account"),
        (change_a_balance, f"the balance of {TARGET} is not what its ledger lines come to"),
        (change_a_balance, "the accounts held"),
        (post_out_of_nowhere, "t-9/credit.1 belongs to no transfer"),
        (refund_twice, "t-2 is COMPENSATED and has 2 refunds instead of 1"),
        (lose_a_letter, "t-1 is COMPLETED and has no letter"),
    ],
)
async def test_auditor_notices(world: World, break_something: Callable[[World], None], fault: str) -> None:
    """The proof holds, then something is changed, and it says what."""
    async with world.engine() as engine:
        await engine.run(MoneyTransfer, transfer("5.00"), id="t-1")
        with pytest.raises(SagaCompensatedError):
            await engine.run(MoneyTransfer, transfer("5.00", target=CLOSED), id="t-2")
        assert (await prove(world, engine)).holds
        break_something(world)
        proof = await prove(world, engine)
    assert not proof.holds
    assert any(fault in one for one in proof.faults), proof.faults


async def test_auditor_notices_a_lost_transfer(world: World) -> None:
    """Whoever was told that a transfer started finds it, or the proof fails."""
    async with world.engine() as engine:
        proof = await prove(world, engine, acknowledged=["t-1"])
    assert proof.faults == ("t-1 was acknowledged and is lost",)


async def test_auditor_wants_every_transfer_ended(world: World) -> None:
    """A transfer that waits for its review is no end."""
    async with world.engine() as engine:
        await engine.start(MoneyTransfer, transfer("20000.00"), id="t-1")
        assert "t-1 is RUNNING" in (await prove(world, engine)).faults
