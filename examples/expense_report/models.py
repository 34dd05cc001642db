"""What is asked, answered and paid: frozen, typed, checked where it enters. All amounts are in euros."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from examples.money_transfer.models import AccountNumber, Address, Euros

__all__ = (
    "Answer",
    "BudgetExceeded",
    "Filed",
    "Line",
    "Payment",
    "Reimbursement",
    "Report",
    "Reservation",
    "Reserved",
    "Ruling",
    "UnknownDepartment",
)

MOST = Decimal(1_000_000)

Department = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,20}$")]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Line(_Model):
    """One thing that an employee paid for."""

    what: str = Field(min_length=1, max_length=200)
    amount: Euros


class Report(_Model):
    """What an employee asks to get back, and where to."""

    employee: Address
    department: Department
    account: AccountNumber
    lines: tuple[Line, ...] = Field(min_length=1, max_length=100)

    @property
    def total(self) -> Decimal:
        """What all lines come to."""
        return sum((line.amount for line in self.lines), Decimal("0.00"))

    @model_validator(mode="after")
    def _can_be_paid(self) -> Self:
        if self.total > MOST:
            msg = f"the lines come to more than {MOST} EUR"
            raise ValueError(msg)
        return self


class Answer(StrEnum):
    """What somebody who decides can say."""

    APPROVE = "approve"
    REFUSE = "refuse"
    SEND_BACK = "send back"


class Ruling(_Model):
    """What somebody says about a report, and why."""

    answer: Answer
    reason: str = Field(max_length=500)


class Reservation(_Model):
    """Keep this much of a department's budget for one report."""

    department: Department
    amount: Euros


class Reserved(_Model):
    """What was kept for the report before; None for nothing."""

    before: Reservation | None


class Payment(_Model):
    """Move this amount between two accounts of one bank."""

    source: AccountNumber
    target: AccountNumber
    amount: Euros


class Filed(_Model):
    """A report as it was approved, and the ledger line that paid it."""

    report: Report
    payment: int


class Reimbursement(_Model):
    """What the employee gets: how much, by which ledger line, and after how many rounds."""

    amount: Decimal
    payment: int
    rounds: int


class BudgetExceeded(Exception):
    """The department has not that much left."""


class UnknownDepartment(Exception):
    """No budget has that name."""
