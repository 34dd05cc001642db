"""The chapters of the demo: each lets one thing happen to real transfers and shows what became of them."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from saga import Engine, SagaCompensatedError, SagaHandle, SagaStuckError, SagaView

from .bank import AccountState, Bank
from .child import Child
from .faults import AnswersGetLost, RequestsGetLost
from .models import Receipt, Review, Transfer
from .proof import BY_HAND
from .saga import MoneyTransfer
from .transfers import read_transfers
from .world import World

__all__ = ("Stage", "compensated", "happy_path", "in_doubt", "killed", "stuck")

SOURCE = "XN26NORD00000001"
TARGET = "XS15SUED00000001"
CLOSED = "XS89SUED00000027"


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the chapters play.

    Attributes:
        directory: Where the databases lie.
        world: The banks, the mail sender and the journal in it.
        console: Who watches.
    """

    directory: Path
    world: World
    console: Console

    def say(self, text: str) -> None:
        """Tell the reader something."""
        self.console.print(text, highlight=False)

    def show(self, page: str) -> None:
        """Show the page of a transfer, as `saga show` would."""
        self.console.print(Padding(Text(page, style="dim"), (0, 0, 0, 2)))


def _transfer(amount: str, *, target: str = TARGET) -> Transfer:
    return Transfer(source=SOURCE, target=target, amount=Decimal(amount), owner="bakery.1@example.org")


async def happy_path(stage: Stage) -> Sequence[SagaView]:
    """Everything works."""
    async with stage.world.engine() as engine:
        receipt = await engine.run(MoneyTransfer, _transfer("120.00"), id="happy-path")
        again = await engine.run(MoneyTransfer, _transfer("120.00"), id="happy-path")
        handle = await engine.get(MoneyTransfer, "happy-path")
        stage.show((await handle.view()).page())
        same = "the same receipt" if again == receipt else "ANOTHER RECEIPT"
        stage.say(f"Started again with the same id, it returns {same}: nothing moves twice.")
        return [await handle.view()]


async def compensated(stage: Stage) -> Sequence[SagaView]:
    """The target account is closed: what was debited is refunded."""
    async with stage.world.engine() as engine:
        handle = await engine.start(MoneyTransfer, _transfer("80.00", target=CLOSED), id="closed-account")
        stage.say(await _ending(handle))
        stage.show((await handle.view()).page())
        return [await handle.view()]


async def in_doubt(stage: Stage) -> Sequence[SagaView]:
    """The credit gets no answer: the bank is asked what became of it."""
    south = stage.directory / "south.db"
    arrived = await _with_target(stage, AnswersGetLost(south), "answer-lost")
    stage.say("The bank had credited it, so the transfer went on. Another request never even arrived:")
    lost = await _with_target(stage, RequestsGetLost(south), "request-lost")
    stage.say("The probe made sure that it never will, so the debit was refunded.")
    return [arrived, lost]


async def _with_target(stage: Stage, bank: Bank, id: str) -> SagaView:
    async with stage.world.engine(target_bank=bank) as engine:
        handle = await engine.start(MoneyTransfer, _transfer("200.00"), id=id)
        await _ending(handle)
        stage.show((await handle.view()).page())
    bank.close()
    return await _view(stage, id)


async def killed(stage: Stage) -> Sequence[SagaView]:
    """The process is killed after the bank has acted and before the journal knows."""
    ids = [f"T-{number:04d}" for number in range(9001, 9009)]
    path = stage.directory / "eight.csv"
    rows = [f"{id},{SOURCE},{TARGET},{10 + number}.00,bakery.1@example.org" for number, id in enumerate(ids)]
    path.write_text("\n".join(["reference,source,target,amount,owner", *rows, ""]), encoding="utf-8")
    async with Child.running(stage.directory, path, late=timedelta(minutes=1)) as child:
        async with asyncio.timeout(60):
            while len(_debits(stage.world, ids)) < len(ids):
                await asyncio.sleep(0.02)
        await child.kill()
    stage.say(
        f"Process {child.pid} got SIGKILL: the bank has debited {len(ids)} transfers, the journal does not know it."
    )
    async with Child.running(stage.directory, path) as child:
        async for _ in child.news():
            pass
    stage.say(f"Process {child.pid} went on where the journal ends, and ran to the end.")
    views = [await _view(stage, id) for id in ids]
    calls = sum(call.attempts for view in views for call in view.calls if call.name == "debit.1")
    stage.show(views[0].page())
    stage.say(f"{calls} debits were asked for under {len(ids)} keys; {len(_debits(stage.world, ids))} were posted.")
    return views


def _debits(world: World, ids: Sequence[str]) -> list[str]:
    keys = {f"{id}/debit.1" for id in ids}
    return [line.key for line in world.north.ledger() if line.key in keys]


async def stuck(stage: Stage) -> Sequence[SagaView]:
    """A refund is refused: the saga waits for an operator."""
    transfer, north = _transfer("25000.00"), stage.world.north
    async with stage.world.engine() as engine:
        handle = await engine.start(MoneyTransfer, transfer, id="frozen-account")
        await _until(handle, "DecisionAwaited")
        stage.say("The transfer is large and was debited. While it waits for its review, the account is frozen.")
        north.set_state(SOURCE, AccountState.FROZEN)
        no = Review(approved=False, reason="the owner did not order this")
        await handle.decide(MoneyTransfer.review, no, by="demo")
        stage.show(await _ending(handle))
        stage.say("A clerk refunds it over the counter, and says so: saga skip frozen-account debit.1 --by ...")
        north.post_by_hand(SOURCE, transfer.amount, key=f"{handle.id}/{BY_HAND}")
        await handle.skip(MoneyTransfer.debit, by="demo", why="refunded over the counter")
        stage.say(await _ending(handle))
        return [await handle.view()]


async def _until(handle: SagaHandle[Receipt], name: str) -> None:
    async for fact in handle.facts():
        if fact.fact == name:
            return


async def _ending(handle: SagaHandle[Receipt]) -> str:
    try:
        return f"{handle.id} completed: {await handle.result()}"
    except (SagaCompensatedError, SagaStuckError) as error:
        return str(error)


async def _view(stage: Stage, id: str) -> SagaView:
    async with stage.world.engine() as engine:
        return await (await engine.get(MoneyTransfer, id)).view()
