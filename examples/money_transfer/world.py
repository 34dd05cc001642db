"""Where everything of one run lies: two banks, the mail sender, and the journal."""

import csv
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Self

from saga import EmbeddedEngine

from .bank import AccountState, Bank, OpenAccount
from .database import url_of
from .mail import MailSender
from .saga import MoneyTransfer

__all__ = ("ACCOUNTS", "TRANSFERS", "World")

ACCOUNTS = Path(__file__).with_name("accounts.csv")
TRANSFERS = Path(__file__).with_name("transfers.csv")


@dataclass(frozen=True, slots=True)
class World:
    """Two banks, a mail sender and a journal, each with a database of its own.

    Attributes:
        north: The bank that is debited.
        south: The bank that is credited.
        mail: Sends the receipts.
        journal: URL of the journal.
    """

    north: Bank
    south: Bank
    mail: MailSender
    journal: str

    @classmethod
    def at(cls, directory: Path) -> Self:
        """Open what lies in a directory; what is not there is made."""
        return cls(
            north=Bank(directory / "north.db"),
            south=Bank(directory / "south.db"),
            mail=MailSender(directory / "mail.db"),
            journal=url_of(directory / "journal.db").render_as_string(),
        )

    def engine(self, **other: object) -> EmbeddedEngine:
        """Return an engine for money transfers; `other` participants take the place of the usual ones."""
        usual = {"source_bank": self.north, "target_bank": self.south, "mail": self.mail}
        return EmbeddedEngine(self.journal, sagas=[MoneyTransfer], participants={**usual, **other})

    def open_accounts(self, *, times: int = 1) -> None:
        """Open the accounts of `accounts.csv`, with the money for that many times its transfers."""
        with ACCOUNTS.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        for name, bank in (("north", self.north), ("south", self.south)):
            bank.open_accounts(_account(row, times) for row in rows if row["bank"] == name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in (self.north, self.south, self.mail):
            one.close()


def _account(row: dict[str, str], times: int) -> OpenAccount:
    return OpenAccount(row["account"], Decimal(row["balance"]) * times, AccountState(row["state"]))
