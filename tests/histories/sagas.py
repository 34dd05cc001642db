"""Which sagas are recorded, with which requests, and what others do meanwhile; one line for each history."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

from examples.expense_report.saga import ExpenseReport
from examples.expense_report.script import CASES
from examples.expense_report.world import World
from examples.money_transfer import models as money
from examples.money_transfer.bank import Bank as RealBank
from examples.money_transfer.bank import OpenAccount
from examples.money_transfer.mail import MailSender
from examples.money_transfer.saga import MoneyTransfer as RealTransfer
from saga import Happened, SagaCompensatedError, SagaHandle, SagaStuckError
from saga.kernel import Runs
from tests.temporal import orders, shop

__all__ = ("BUDGET", "GOLDEN", "Golden", "ended")

BUDGET = 50
"""Events after which a history goes on in a new run: of the long one, that is recorded."""

Script: TypeAlias = Callable[[SagaHandle[Any]], Awaitable[None]]
Participants: TypeAlias = Callable[[Path], dict[str, object]]


@dataclass(frozen=True, slots=True)
class Golden:
    """A history that is recorded.

    Attributes:
        name: Name of the file, and id of the instance.
        saga: The saga class.
        request: Its request.
        participants: Makes its participants, in a folder of their own.
        script: What others do; the end is waited for after that.
        child: The call of a nested saga whose history is recorded instead.
    """

    name: str
    saga: type[Runs[Any, Any]]
    request: object
    participants: Participants
    script: Script | None = None
    child: str = ""


async def ended(handle: SagaHandle[Any]) -> None:
    """Wait for the end, or until it is STUCK."""
    try:
        await handle.result()
    except (SagaCompensatedError, SagaStuckError):
        pass


def _shop(_: Path) -> dict[str, object]:
    return {"source": shop.Bank(nl=100), "target": shop.Bank(de=0)}


def _warehouse(_: Path) -> dict[str, object]:
    return {"warehouse": orders.Warehouse()}


NORTH, SOUTH = "XN26NORD00000001", "XS63SUED00000010"


def _banks(folder: Path) -> dict[str, object]:
    north, south = RealBank(folder / "north.db"), RealBank(folder / "south.db")
    north.open_accounts([OpenAccount(NORTH, Decimal(50_000))])
    south.open_accounts([OpenAccount(SOUTH, Decimal(0))])
    return {"source_bank": north, "target_bank": south, "mail": MailSender(folder / "mail.db")}


def _transfer(amount: int, target: str = SOUTH) -> money.Transfer:
    return money.Transfer(source=NORTH, target=target, amount=Decimal(amount), owner="rita@example.org")


async def _approve(handle: SagaHandle[Any]) -> None:
    await handle.decide(RealTransfer.review, money.Review(approved=True, reason="known customer"), by="rita")


async def _awaited(handle: SagaHandle[Any]) -> None:
    async for fact in handle.facts():
        if fact.fact == "DecisionAwaited":
            return


async def _agree(handle: SagaHandle[Any]) -> None:
    await _awaited(handle)
    await handle.decide(shop.Reviewed.review, answer=True, by="rita")


async def _cancel(handle: SagaHandle[Any]) -> None:
    await _awaited(handle)
    await handle.cancel(by="anna", why="no more")


async def _resolve(handle: SagaHandle[Any]) -> None:
    await ended(handle)
    await handle.resolve(shop.Reviewed.pay, Happened(13), by="olga", why="the bank says so")


def _expenses(folder: Path) -> dict[str, object]:
    world = World.at(folder)
    world.begin()
    return world.participants()


def _expense_report(name: str) -> Golden:
    [case] = [one for one in CASES if one.name == name]

    async def say(handle: SagaHandle[Any]) -> None:
        for one in case.said:
            await one.to(handle)

    return Golden(f"example-expense-report-{name}", ExpenseReport, case.report, _expenses, say)


_OK = shop.Transfer(source="nl", target="de", cents=30)
_UNKNOWN = shop.Transfer(source="nl", target="fr", cents=30)
_POOR = shop.Transfer(source="nl", target="de", cents=3000)

GOLDEN: Sequence[Golden] = (
    Golden("transfer-completed", shop.MoneyTransfer, _OK, _shop),
    Golden("transfer-compensated", shop.MoneyTransfer, _UNKNOWN, _shop),
    Golden("transfer-rejected", shop.MoneyTransfer, _POOR, _shop),
    Golden("nested-completed", shop.Parent, _OK, _shop),
    Golden("nested-compensated", shop.Parent, _UNKNOWN, _shop),
    Golden("nested-child", shop.Parent, _OK, _shop, child="take.1"),
    Golden("decision-given", shop.Reviewed, 5, _shop, _agree),
    Golden("decision-cancelled", shop.Reviewed, 5, _shop, _cancel),
    Golden("stuck-and-resolved", shop.Reviewed, 13, _shop, _resolve),
    Golden("many-runs", shop.Long, 25, _shop),
    Golden("deadline-passed", shop.Hurried, 1, _shop),
    Golden("order-completed", orders.Order, False, _warehouse),
    Golden("example-money-transfer", RealTransfer, _transfer(100), _banks),
    Golden("example-money-transfer-reviewed", RealTransfer, _transfer(20_000), _banks, _approve),
    _expense_report("taxi"),
    _expense_report("typo"),
    _expense_report("yacht"),
    _expense_report("closed"),
    Golden("example-money-transfer-compensated", RealTransfer, _transfer(100, "XS15SUED00000001"), _banks),
)
