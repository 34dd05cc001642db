"""A process that forks one life after the other, each of which makes money transfers until it is killed.

Run as a program, so that what a kill leaves behind is what the operating system keeps, and nothing else. The parent
of the lives imports everything once: a life then starts within milliseconds.
"""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, cycle
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.orm import Session

from examples.money_transfer.bank import Bank
from examples.money_transfer.batch import answer_review
from examples.money_transfer.models import Credit, Debit, Posting, Transfer
from examples.money_transfer.saga import MoneyTransfer
from examples.money_transfer.transfers import Order, read_transfers
from examples.money_transfer.world import TRANSFERS, World
from saga import Effect, EmbeddedEngine, SagaCompensatedError, SagaState, current_step

AT_ONCE = 24
OPEN = (SagaState.RUNNING, SagaState.COMPENSATING, SagaState.STUCK)


@dataclass(frozen=True, slots=True)
class Life:
    """What one life is told.

    Attributes:
        directory: Where the databases and the logs lie.
        number: Which life it is.
        finish: Whether it starts nothing new and ends when everything has ended.
        barrier: Whether the banks stand behind their barriers.
    """

    directory: str
    number: int
    finish: bool
    barrier: bool


class Log:
    """Lines that survive a kill: each is in the operating system's hands when `write` returns."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, *words: str) -> None:
        """Write one line."""
        os.write(self._file, (" ".join(words) + "\n").encode())


class WitnessedBank(Bank):
    """A bank that notes each delivery, and whether its effect was there already."""

    def __init__(self, path: Path, log: Log) -> None:
        super().__init__(path)
        self._log = log

    def debit(self, debit: Debit) -> Posting:
        """Take money."""
        self._witness()
        return super().debit(debit)

    def refund(self, effect: Effect[Debit, Posting]) -> None:
        """Give it back."""
        self._witness()
        super().refund(effect)

    def credit(self, credit: Credit) -> Posting:
        """Give money."""
        self._witness()
        return super().credit(credit)

    def _witness(self) -> None:
        key = current_step().key
        with self.engine.connect() as connection:
            known = connection.scalar(text("SELECT count(*) FROM ledger WHERE key = :key"), {"key": key})
        self._log.write(str(os.getpid()), "again" if known else "first", key)


class BareBank(Bank):
    """The same bank with its barrier taken away."""

    def debit(self, debit: Debit) -> Posting:
        """Take money, each time."""
        with Session(self.engine) as session, session.begin():
            return self._debit(session, debit)

    def refund(self, effect: Effect[Debit, Posting]) -> None:
        """Give it back, each time."""
        with Session(self.engine) as session, session.begin():
            self._refund(session, effect)

    def credit(self, credit: Credit) -> Posting:
        """Give money, each time."""
        with Session(self.engine) as session, session.begin():
            return self._credit(session, credit)


def main() -> None:
    """Fork a life for each line of standard input, and tell its process id and how it ended."""
    for line in sys.stdin:
        life = Life(**json.loads(line))
        child = os.fork()
        if child == 0:
            asyncio.run(live(life))
            os._exit(0)
        tell("born", child)
        tell("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def tell(*words: object) -> None:
    """Tell the test something."""
    os.write(sys.stdout.fileno(), (" ".join(map(str, words)) + "\n").encode())


async def live(life: Life) -> None:
    """Go on with what earlier lives left, and make new transfers."""
    directory = Path(life.directory)
    with World.at(directory) as world:
        seen = Log(directory / "deliveries.log")
        if life.barrier:
            banks: list[Bank] = [WitnessedBank(directory / name, seen) for name in ("north.db", "south.db")]
        else:
            banks = [BareBank(directory / name) for name in ("north.db", "south.db")]
        async with world.engine(source_bank=banks[0], target_bank=banks[1]) as engine:
            left = [one.id async for one in engine.list(saga=MoneyTransfer, states=OPEN)]
            async with asyncio.TaskGroup() as group:
                for id in left:
                    group.create_task(attend(engine, id))
                if not life.finish:
                    load(engine, life, Log(directory / "answers.log"), group)


async def attend(engine: EmbeddedEngine, id: str) -> None:
    """See a transfer of an earlier life to its end."""
    handle = await engine.get(MoneyTransfer, id)
    view = await handle.view()
    await answer_review(handle, Transfer.model_validate_json(view.request))
    try:
        await handle.result()
    except SagaCompensatedError:
        return


def load(engine: EmbeddedEngine, life: Life, answers: Log, group: asyncio.TaskGroup) -> None:
    """Let clients make transfers without end."""
    accepted = read_transfers(TRANSFERS).accepted
    orders = cycle([*accepted[life.number * 7 :], *accepted])  # each life begins elsewhere in the file
    numbers = count(life.number * 100_000)
    for _ in range(AT_ONCE):
        group.create_task(client(engine, orders, numbers, answers))


async def client(engine: EmbeddedEngine, orders: Iterator[Order], numbers: Iterator[int], answers: Log) -> None:
    """Make one transfer after the other, and note every answer that was given."""
    while True:
        transfer = next(orders).transfer
        handle = await engine.start(MoneyTransfer, transfer, id=f"t-{next(numbers)}")
        answers.write("started", handle.id)
        tell("started")
        await answer_review(handle, transfer)
        try:
            await handle.result()
        except SagaCompensatedError:
            answers.write("compensated", handle.id)
        else:
            answers.write("completed", handle.id)
        tell("answered")


if __name__ == "__main__":
    main()
