"""A process that runs an engine for the tests of the command line, and the sagas that it runs.

A transfer's target says what goes wrong: `closed` is refused, `lost` gets no answer. A source `frozen` takes nothing
back as long as the file `frozen` is in the folder that the process was given.
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel

from saga import (
    Compensatable,
    Decision,
    Effect,
    EmbeddedEngine,
    Pivot,
    Retriable,
    Retry,
    Saga,
    StepRejected,
    participant,
)


class Transfer(BaseModel):
    """Asks for money to be moved."""

    source: str
    target: str
    cents: int


class Review(BaseModel):
    """Says whether a large transfer may go on."""

    approved: bool


class Bank:
    """Both banks at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def debit(self, transfer: Transfer) -> str:
        """Take the money; from the source `slow` it takes a while."""
        if transfer.source == "slow":
            (self._folder / "debiting").touch()
            await asyncio.sleep(1)
            (self._folder / "debited").touch()
        return f"debit of {transfer.source}"

    async def refund(self, effect: Effect[Transfer, str]) -> None:
        """Give it back."""
        if effect.input.source == "frozen" and (self._folder / "frozen").exists():
            raise StepRejected("account frozen\x1b[2J", details={"secret": "s3cret"})

    async def credit(self, transfer: Transfer) -> str:
        """Bring it to where it belongs."""
        if transfer.target == "closed":
            raise StepRejected("NL02 is closed")
        if transfer.target == "lost":
            raise ConnectionError("no answer")
        return f"credit of {transfer.target}"

    async def tell(self, text: str) -> None:
        """Write to the owner."""


bank = participant(Bank, "bank")


class MoneyTransfer(Saga):
    """Moves money; a large transfer waits for a review."""

    debit = Compensatable(bank.debit).compensated_by(bank.refund)
    review = Decision(Review, within=timedelta(hours=4))
    credit = Pivot(bank.credit, retry=Retry(attempts=1), settle_time=timedelta(0))
    notify = Retriable(bank.tell)

    async def run(self, transfer: Transfer) -> str:
        """Take, ask, bring, tell."""
        await self.debit(transfer)
        if transfer.cents > 1000:
            await self.review()
        credited = await self.credit(transfer)
        await self.notify("done")
        return credited


TRANSFERS = {
    "done-1": Transfer(source="NL01", target="DE01", cents=1),
    "refused-1": Transfer(source="NL01", target="closed", cents=2),
    "frozen-1": Transfer(source="frozen", target="closed", cents=3),
    "lost-1": Transfer(source="NL01", target="lost", cents=4),
    "lost-2": Transfer(source="NL01", target="lost", cents=5),
    "large-1": Transfer(source="NL01", target="DE01", cents=2000),
    "large-2": Transfer(source="NL01", target="DE01", cents=3000),
    "large-3": Transfer(source="NL01", target="DE01", cents=4000),
}


def participants() -> dict[str, object]:
    """The bank of a worker, which looks into the folder that the environment names."""
    return {"bank": Bank(Path(os.environ["BANK_FOLDER"]))}


def engine(url: str, folder: Path) -> EmbeddedEngine:
    """An engine that is not entered yet."""
    return EmbeddedEngine(url, sagas=[MoneyTransfer], participants={"bank": Bank(folder)})


async def drive(url: str, folder: Path) -> None:
    """Start the transfers, say so, and drive until standard input ends."""
    async with engine(url, folder) as running:
        for name, transfer in TRANSFERS.items():
            await running.start(MoneyTransfer, transfer, id=name)
        print("started", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(drive(sys.argv[1], Path(sys.argv[2])))
