"""Runs many transfers at once, follows their facts, and answers the reviews."""

import asyncio
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict

from saga import Engine, SagaHandle, SagaState

from .models import Receipt, Review, Transfer
from .saga import REVIEW_LIMIT, MoneyTransfer
from .transfers import Order

__all__ = ("News", "answer_review", "run_batch")

AT_ONCE = 32
APPROVED_UP_TO = Decimal(100_000)


class News(BaseModel):
    """One thing that happened to one transfer.

    Attributes:
        id: The transfer.
        what: `acknowledged` once its start is durable, `fact` for each fact, and how it ended.
        text: For a fact: its name and the call it is about. For an end: the state.
            A transfer that is STUCK has ended for this batch: only an operator moves it on.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    what: Literal["acknowledged", "fact", "ended"]
    text: str = ""


async def run_batch(engine: Engine, orders: Iterable[Order], tell: Callable[[News], None], *, prefix: str = "") -> None:
    """Start every transfer and follow it to its end, or until it is STUCK.

    Whatever was started before, in this process or another, goes on where its journal ends: the same id with
    the same request is the same saga. An id is the prefix and the order's reference.
    """
    free = asyncio.Semaphore(AT_ONCE)

    async def carry_out(order: Order) -> None:
        async with free:
            handle = await engine.start(MoneyTransfer, order.transfer, id=prefix + order.id)
            tell(News(id=handle.id, what="acknowledged"))
            await _follow(handle, order.transfer, tell)

    async with asyncio.TaskGroup() as group:
        for order in orders:
            group.create_task(carry_out(order))


async def _follow(handle: SagaHandle[Receipt], transfer: Transfer, tell: Callable[[News], None]) -> None:
    async for fact in handle.facts():
        tell(News(id=handle.id, what="fact", text=f"{fact.fact} {getattr(fact, 'call', '')}".strip()))
        if fact.fact == "DecisionAwaited":
            await answer_review(handle, transfer)
        if fact.fact == "SagaStuck":
            break  # until an operator acts, nothing follows
    tell(News(id=handle.id, what="ended", text=(await handle.view()).state))


async def answer_review(handle: SagaHandle[Receipt], transfer: Transfer) -> None:
    """Answer the review of a large transfer, unless somebody did."""
    view = await handle.view()
    if transfer.amount <= REVIEW_LIMIT or view.state is not SagaState.RUNNING:
        return
    if not any(decision.answer for decision in view.decisions):
        approved = transfer.amount <= APPROVED_UP_TO
        reason = "known customer" if approved else f"more than {APPROVED_UP_TO} EUR needs a contract"
        await handle.decide(MoneyTransfer.review, Review(approved=approved, reason=reason), by="demo")
