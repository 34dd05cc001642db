"""Where everything lies: the budgets, two banks, the archive and the mail sender, each with a database of its own."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Self

from examples.money_transfer.bank import AccountState, Bank, OpenAccount
from examples.money_transfer.database import url_of
from examples.money_transfer.engines import Embedded, Engines
from examples.money_transfer.mail import MailSender
from saga import Engine

from .archive import Archive
from .budget import Budget
from .payroll import PayrollBank
from .saga import CLEARING, COMPANY, ExpenseReport, Funding

__all__ = ("CLOSED", "COLLEAGUE", "EMPLOYEE", "World")

EMPLOYEE = "XS85SUED00000002"
COLLEAGUE = "XS58SUED00000003"
CLOSED = "XS89SUED00000027"


@dataclass(frozen=True, slots=True)
class World:
    """Everybody who takes part.

    Attributes:
        budget: Keeps the departments' budgets.
        house_bank: Has the company's account.
        payroll_bank: Has the accounts of the employees, and one of the company's that is filled for each payment.
        archive: Keeps what was paid.
        mail: Tells the employees.
        engines: Which engine carries the reports out.
    """

    budget: Budget
    house_bank: Bank
    payroll_bank: PayrollBank
    archive: Archive
    mail: MailSender
    engines: Engines

    @classmethod
    def at(cls, directory: Path, engines: Engines | None = None, *, payroll: type[PayrollBank] = PayrollBank) -> Self:
        """Open what lies in a directory; what is not there is made, and so is a journal if no engine is given."""
        return cls(
            budget=Budget(directory / "budget.db"),
            house_bank=Bank(directory / "house.db"),
            payroll_bank=payroll(directory / "payroll.db"),
            archive=Archive(directory / "archive.db"),
            mail=MailSender(directory / "mail.db"),
            engines=engines or Embedded(url_of(directory / "journal.db").render_as_string()),
        )

    def participants(self) -> dict[str, object]:
        """Return everybody by the names that the sagas give them."""
        return {
            "budget": self.budget,
            "house_bank": self.house_bank,
            "payroll_bank": self.payroll_bank,
            "archive": self.archive,
            "mail": self.mail,
        }

    def id_of(self, name: str) -> str:
        """Return the id of a report of this run."""
        return f"{self.engines.prefix}{name}"

    def engine(self) -> AbstractAsyncContextManager[Engine]:
        """Return an engine for expense reports."""
        return self.engines.open([ExpenseReport, Funding], self.participants())

    def begin(self) -> None:
        """Grant the budgets and open the accounts."""
        self.budget.grant({"sales": Decimal("9000.00"), "research": Decimal("150.00")})
        self.house_bank.open_accounts([OpenAccount(COMPANY, Decimal("100000.00"))])
        self.payroll_bank.open_accounts(
            [
                OpenAccount(CLEARING, Decimal("0.00")),
                OpenAccount(EMPLOYEE, Decimal("250.00")),
                OpenAccount(COLLEAGUE, Decimal("31.62")),
                OpenAccount(CLOSED, Decimal("0.00"), AccountState.CLOSED),
            ]
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in (self.budget, self.house_bank, self.payroll_bank, self.archive, self.mail):
            one.close()
