"""Where everything of one run lies: two banks, the mail sender, and the engine."""

import csv
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Self

from saga import Engine

from .bank import AccountState, Bank, OpenAccount
from .database import url_of
from .engines import Embedded, Engines
from .mail import MailSender
from .saga import MoneyTransfer

__all__ = ("ACCOUNTS", "TRANSFERS", "World")

ACCOUNTS = Path(__file__).with_name("accounts.csv")
TRANSFERS = Path(__file__).with_name("transfers.csv")


@dataclass(frozen=True, slots=True)
class World:
    """Two banks and a mail sender, each with a database of its own, and the engine of the transfers.

    Attributes:
        north: The bank that is debited.
        south: The bank that is credited.
        mail: Sends the receipts.
        engines: Which engine carries out the transfers.
    """

    north: Bank
    south: Bank
    mail: MailSender
    engines: Engines

    @classmethod
    def at(cls, directory: Path, engines: Engines | None = None) -> Self:
        """Open what lies in a directory; what is not there is made, and so is a journal if no engine is given."""
        return cls(
            north=Bank(directory / "north.db"),
            south=Bank(directory / "south.db"),
            mail=MailSender(directory / "mail.db"),
            engines=engines or Embedded(url_of(directory / "journal.db").render_as_string()),
        )

    def id_of(self, name: str) -> str:
        """Return the id of a transfer of this run."""
        return f"{self.engines.prefix}{name}"

    def participants(self) -> dict[str, object]:
        """Return both banks and the mail sender, by the names that the saga gives them."""
        return {"source_bank": self.north, "target_bank": self.south, "mail": self.mail}

    def engine(self, **other: object) -> AbstractAsyncContextManager[Engine]:
        """Return an engine for money transfers; `other` participants take the place of the usual ones."""
        return self.engines.open([MoneyTransfer], {**self.participants(), **other})

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
