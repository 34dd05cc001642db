"""The example's saga does what its page says, and every cent stays accounted for under every fault."""

from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack
from decimal import Decimal
from itertools import count
from pathlib import Path
from shutil import copytree

import pytest

from examples.money_transfer.bank import Bank
from examples.money_transfer.models import Review, Transfer
from examples.money_transfer.proof import prove
from examples.money_transfer.saga import MoneyTransfer
from examples.money_transfer.world import World
from saga import SagaCompensatedError, SagaState, SagaView
from saga.testing import explore

ROOT = Path(__file__).parents[2]
SOURCE = "XN26NORD00000001"
TARGET = "XS15SUED00000001"
CLOSED = "XS89SUED00000027"


def transfer(amount: str, *, source: str = SOURCE, target: str = TARGET) -> Transfer:
    """Return a transfer, between open accounts unless said otherwise."""
    return Transfer(source=source, target=target, amount=Decimal(amount), owner="bakery.1@example.org")


async def test_transfer_moves_the_money_and_sends_one_letter(world: World) -> None:
    """The receipt names the ledger lines that moved it."""
    async with world.engine() as engine:
        receipt = await engine.run(MoneyTransfer, transfer("12.50"), id="t-1")
        assert (await prove(world, engine, acknowledged=["t-1"])).holds
    assert (receipt.debit, receipt.credit) == (1, 1)
    assert [(line.key, line.amount) for line in world.north.ledger()] == [("t-1/debit.1", Decimal("-12.50"))]
    assert [(line.key, line.amount) for line in world.south.ledger()] == [("t-1/credit.1", Decimal("12.50"))]
    assert world.mail.letters() == {"t-1/notify.1": 1}


@pytest.mark.parametrize(
    ("wanted", "type_", "lines"),
    [
        (transfer("999999.00", target=TARGET), "InsufficientFunds", 0),
        (transfer("1.00", source="XN23NORD00004711"), "UnknownAccount", 0),
        (transfer("1.00", target=CLOSED), "AccountClosed", 2),
        (transfer("1.00", target="XS64OSTB00000022"), "UnknownAccount", 2),
    ],
)
async def test_refusals_leave_no_trace_but_the_ledgers(world: World, wanted: Transfer, type_: str, lines: int) -> None:
    """The caller learns who said no; what was debited is refunded, and no letter is sent."""
    async with world.engine() as engine:
        with pytest.raises(SagaCompensatedError) as caught:
            await engine.run(MoneyTransfer, wanted, id="t-1")
        assert (await prove(world, engine)).holds
    assert (caught.value.reason, caught.value.type) == ("rejected", type_)
    assert len(world.north.ledger()) == lines
    assert world.south.ledger() == []
    assert world.mail.letters() == {}


@pytest.mark.parametrize(("approved", "state"), [(True, SagaState.COMPLETED), (False, SagaState.COMPENSATED)])
async def test_large_transfer_waits_for_a_review(world: World, *, approved: bool, state: SagaState) -> None:
    """The answer decides, and both ends are proven."""
    async with world.engine() as engine:
        handle = await engine.start(MoneyTransfer, transfer("10000.01"), id="t-1")
        await handle.decide(MoneyTransfer.review, Review(approved=approved, reason="because"), by="test")
        async for _ in handle.facts():
            pass
        assert (await handle.view()).state is state
        assert (await prove(world, engine)).holds


async def test_limit_itself_needs_no_review(world: World) -> None:
    """Above the limit means above it."""
    async with world.engine() as engine:
        await engine.run(MoneyTransfer, transfer("10000.00"), id="t-1")
        assert (await (await engine.get(MoneyTransfer, "t-1")).view()).decisions == ()


@pytest.fixture
def fresh_banks(tmp_path: Path) -> Generator[Callable[[], Mapping[str, object]]]:
    """Makes banks that nobody has used, quickly: copies of ones that were opened before."""
    template, numbers = tmp_path / "template", count()
    template.mkdir()
    with World.at(template) as world:
        world.open_accounts()
    with ExitStack() as stack:

        def fresh() -> Mapping[str, object]:
            directory = tmp_path / str(next(numbers))
            copytree(template, directory)
            world = stack.enter_context(World.at(directory))
            return {"source_bank": world.north, "target_bank": world.south, "mail": world.mail}

        yield fresh


def money_is_there(participants: Mapping[str, Bank], view: SagaView) -> bool:
    """Whether a run ended with every cent where it belongs, and nothing posted twice."""
    north, south = participants["source_bank"], participants["target_bank"]
    times = Counter(line.key.partition("/")[2] for line in (*north.ledger(), *south.ledger()))
    if view.state is SagaState.COMPLETED:
        return times == {"debit.1": 1, "credit.1": 1}
    return times["debit.1"] == times["debit.1/compensation"] <= 1 and times["credit.1"] == 0


@pytest.mark.parametrize("amount", ["10.00", "20000.00"])
async def test_every_fault_at_every_point(fresh_banks: Callable[[], Mapping[str, object]], amount: str) -> None:
    """The real banks behind their barriers keep every cent, whatever fails, and wherever."""
    answers = [Review(approved=True, reason="known"), Review(approved=False, reason="unknown")]
    report = await explore(
        MoneyTransfer,
        transfer(amount),
        participants=fresh_banks,
        decisions={MoneyTransfer.review: answers},
        invariant=money_is_there,
        limit=80,
    )
    assert report.seen["crash between effect and record"] > 0
    assert {"COMPLETED", "COMPENSATED"} <= set(report.endings)
