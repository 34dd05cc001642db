"""The chapters of the demo: each lets one thing happen to real transfers and shows what became of them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from rich.console import Console
from rich.text import Text

from saga import SagaCompensatedError, SagaHandle, SagaState, SagaStuckError, SagaView

from .bank import AccountState, Bank
from .child import Child
from .faults import AnswersGetLost, RequestsGetLost
from .models import Receipt, Review, Transfer
from .proof import BY_HAND
from .saga import MoneyTransfer
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
        self.console.print(Text(text), soft_wrap=True)

    def show(self, view: SagaView) -> None:
        """Show a transfer as `saga show` would."""
        self.console.print(Text(view.page()), style="dim", soft_wrap=True)


def _transfer(amount: str, *, target: str = TARGET) -> Transfer:
    return Transfer(source=SOURCE, target=target, amount=Decimal(amount), owner="bakery.1@example.org")


async def happy_path(stage: Stage) -> Sequence[SagaView]:
    """Everything works."""
    id = stage.world.id_of("happy-path")
    async with stage.world.engine() as engine:
        receipt = await engine.run(MoneyTransfer, _transfer("120.00"), id=id)
        again = await engine.run(MoneyTransfer, _transfer("120.00"), id=id)
        view = await (await engine.get(MoneyTransfer, id)).view()
    stage.show(view)
    same = "the same receipt" if again == receipt else "ANOTHER RECEIPT"
    stage.say(f"Started again with the same id, it returns {same}: nothing moves twice.")
    return [view]


async def compensated(stage: Stage) -> Sequence[SagaView]:
    """The target account is closed: the debit is refunded."""
    id = stage.world.id_of("closed-account")
    async with stage.world.engine() as engine:
        handle = await engine.start(MoneyTransfer, _transfer("80.00", target=CLOSED), id=id)
        stage.say(await _ending(handle))
        view = await handle.view()
    stage.show(view)
    return [view]


async def in_doubt(stage: Stage) -> Sequence[SagaView]:
    """The credit gets no answer: the bank is asked what became of it."""
    south = stage.directory / "south.db"
    arrived = await _credited_by(AnswersGetLost(south), stage, "answer-lost")
    stage.say("The bank had credited it: the transfer went on. Another request never even arrived:")
    lost = await _credited_by(RequestsGetLost(south), stage, "request-lost")
    never = "The probe made sure that it never will: the debit was refunded."
    stage.say(never if lost.state is SagaState.COMPENSATED else "After an interruption it arrived all the same.")
    return [arrived, lost]


async def _credited_by(bank: Bank, stage: Stage, name: str) -> SagaView:
    async with stage.world.engine(target_bank=bank) as engine:
        handle = await engine.start(MoneyTransfer, _transfer("200.00"), id=stage.world.id_of(name))
        await _ending(handle)
        view = await handle.view()
        facts = [fact async for fact in handle.facts() if getattr(fact, "call", "").startswith("credit.1")]
    bank.close()
    stage.show(view)
    stage.say(f"Its journal about the credit: {', '.join(fact.fact for fact in facts)}.")
    return view


async def killed(stage: Stage) -> Sequence[SagaView]:
    """The process is killed when the bank has acted and nobody knows yet."""
    references = [f"T-{number}" for number in range(9001, 9009)]
    path = stage.directory / "eight.csv"
    rows = [f"{one},{SOURCE},{TARGET},{10 + n}.00,bakery.1@example.org" for n, one in enumerate(references)]
    path.write_text("\n".join(["reference,source,target,amount,owner", *rows, ""]), encoding="utf-8")
    engines = stage.world.engines
    async with Child.running(stage.directory, path, engines, late=timedelta(minutes=1)) as child:
        await _until_debited(stage.world, references, child)
        await child.kill()
    stage.say(f"Process {child.pid} got SIGKILL. The bank made {len(rows)} debits; the journal knows of none.")
    async with Child.running(stage.directory, path, engines) as child:
        async for _ in child.news():
            pass
    stage.say(f"Process {child.pid} went on where the journal ends, and ran to the end.")
    views = await _views(stage, references)
    calls = sum(call.attempts for view in views for call in view.calls if call.name == "debit.1")
    stage.show(views[0])
    stage.say(f"{calls} times a debit was asked for; {_debits(stage.world, references)} were made.")
    return views


async def _until_debited(world: World, references: Sequence[str], child: Child) -> None:
    async with asyncio.timeout(60):
        while _debits(world, references) < len(references):
            child.check()
            await asyncio.sleep(0.05)


def _debits(world: World, references: Sequence[str]) -> int:
    keys = {f"{world.id_of(one)}/debit.1" for one in references}
    return sum(line.key in keys for line in world.north.ledger())


async def stuck(stage: Stage) -> Sequence[SagaView]:
    """A refund is refused: the saga is STUCK and waits for an operator."""
    id = stage.world.id_of("frozen-account")
    async with stage.world.engine() as engine:
        handle = await engine.start(MoneyTransfer, _transfer("25000.00"), id=id)
        await _until_fact(handle, "DecisionAwaited")
        if (await handle.view()).state is SagaState.RUNNING:  # else an interrupted run came further than this
            stage.say("While a large transfer waits for its review, the source account is frozen.")
            stage.world.north.set_state(SOURCE, AccountState.FROZEN)
            refusal = Review(approved=False, reason="the owner did not order this")
            await handle.decide(MoneyTransfer.review, refusal, by="demo")
        stage.say(await _ending(handle))
        if (await handle.view()).state is SagaState.STUCK:
            stage.say("A clerk refunds it over the counter, and then does what `saga skip` does.")
            _refund_by_hand(stage.world.north, handle.id)
            await handle.skip(MoneyTransfer.debit, by="demo", why="refunded over the counter")
            stage.say(await _ending(handle))
        return [await handle.view()]


def _refund_by_hand(bank: Bank, id: str) -> None:
    key = f"{id}/{BY_HAND}"
    if all(line.key != key for line in bank.ledger()):  # before an interruption, perhaps
        bank.post_by_hand(SOURCE, _transfer("25000.00").amount, key=key)


async def _until_fact(handle: SagaHandle[Receipt], name: str) -> None:
    async for fact in handle.facts():
        if fact.fact == name:
            return


async def _ending(handle: SagaHandle[Receipt]) -> str:
    """Wait for the end, or until the transfer is STUCK, and say what happened."""
    try:
        return f"{handle.id} completed: {await handle.result()}"
    except (SagaCompensatedError, SagaStuckError) as error:
        return str(error)


async def _views(stage: Stage, references: Sequence[str]) -> list[SagaView]:
    async with stage.world.engine() as engine:
        handles = [await engine.get(MoneyTransfer, stage.world.id_of(one)) for one in references]
        return [await handle.view() for handle in handles]
