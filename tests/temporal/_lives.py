"""Workers that are killed by SIGKILL at a point that is named, and followed by others: a program, and its sagas.

Each worker is a process of its own, forked from one that has imported everything: a start costs next to nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import sys
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, String, Table, create_engine, insert
from sqlalchemy import select as rows
from temporalio.client import Client
from temporalio.worker import Worker

from saga import Compensatable, Effect, Finding, Pivot, Retriable, Retry, Saga, StepRejected, current_step, participant
from saga.kernel import Runs
from saga.participant import barrier, create_barrier_tables
from saga.temporal import SagaPlugin

__all__ = ("Order", "Till", "Trip", "TripBeating", "TripOnce", "open_till")

DEATH = "SAGA_TEST_DEATH"
"""Where a process finds the point at which it dies."""

_metadata = MetaData()
_effects = Table("effects", _metadata, Column("key", String), Column("amount", Integer))


def die_at(point: str) -> None:
    """End this process here if this is the point."""
    if os.environ.get(DEATH) == point:
        os.kill(os.getpid(), signal.SIGKILL)


def open_till(file: Path) -> Engine:
    """Return the database of a till; its tables are made."""
    database = create_engine(f"sqlite:///{file}")
    with database.begin() as connection:
        create_barrier_tables(connection)
        _metadata.create_all(connection)
    return database


def effects(file: Path) -> list[tuple[str, int]]:
    """Return every effect there was: its key without the saga's id, and the amount."""
    with open_till(file).connect() as connection:
        return [(key.partition("/")[2], amount) for key, amount in connection.execute(rows(_effects))]


class Order(BaseModel):
    """What is to be taken."""

    amount: int
    refused: bool = False


class Till:
    """Takes money and gives it back, behind a barrier; what it does is in its file, whoever dies."""

    def __init__(self, database: Engine) -> None:
        self._database = database

    def take(self, order: Order) -> int:
        """Take it."""
        return self._once(self._take, order)

    def give(self, effect: Effect[Order, int]) -> None:
        """Give it back."""
        self._once(self._give, effect)

    def find(self, order: Order) -> Finding[int]:
        """Say what became of it."""
        die_at(f"{_name()} before")
        with self._database.begin() as connection:
            return barrier.probe(connection, int)

    def _take(self, connection: Connection, order: Order) -> int:
        if order.refused:
            raise StepRejected("no")
        return self._write(connection, order.amount)

    def _give(self, connection: Connection, effect: Effect[Order, int]) -> None:
        self._write(connection, -effect.input.amount)

    def _write(self, connection: Connection, amount: int) -> int:
        connection.execute(insert(_effects).values(key=current_step().key, amount=amount))
        die_at(f"{_name()} within")
        return amount

    def _once(self, body: Any, given: Any) -> Any:  # any of the two, and what it takes
        die_at(f"{_name()} before")
        with self._database.begin() as connection:
            answer = barrier.once(connection, body, given)
        die_at(f"{_name()} after")
        return answer


def _name() -> str:
    return current_step().key.partition("/")[2]


till = participant(Till, "till")
SOON = timedelta(seconds=2)
"""A worker that died is noticed when an attempt's time limit has passed."""


def trip(named: str, retry: Retry, *, timeout: timedelta = SOON) -> type[Runs[bool, str]]:
    """Return a saga whose actions are tried so often, for so long at a time."""

    class Trip(Saga, name=named):
        """Takes twice, pays, ships."""

        a = Compensatable(till.take, timeout=timeout, retry=retry, barrier=True).compensated_by(till.give, timeout=SOON)
        b = Compensatable(till.take, timeout=timeout, retry=retry, barrier=True).compensated_by(till.give, timeout=SOON)
        pay = Pivot(till.take, timeout=timeout, retry=retry, barrier=True).probed_by(
            till.find, every=timedelta(milliseconds=50), timeout=SOON
        )
        ship = Retriable(till.take, timeout=SOON)

        async def run(self, refused: bool) -> str:
            """Do all of it, unless the payment is refused."""
            await self.a(Order(amount=1))
            die_at("run after a.1")
            await self.b(Order(amount=2))
            await self.pay(Order(amount=4, refused=refused))
            die_at("run after pay.1")
            await self.ship(Order(amount=8))
            return "shipped"

    return Trip


Trip = trip("Trip", Retry(attempts=3, first=timedelta(milliseconds=1)))
TripOnce = trip("TripOnce", Retry(attempts=1))
TripBeating = trip("TripBeating", Retry(first=timedelta(milliseconds=1)), timeout=timedelta(minutes=10))
"""Its attempts last so long that a lost worker is noticed by its missing heartbeats."""


# -- the program -------------------------------------------------------------------------


async def live(address: str, queue: str, folder: Path) -> None:
    """Work until this process is killed, or its parent is gone."""
    client = await Client.connect(address)
    plugin = SagaPlugin(
        sagas=[Trip, TripOnce, TripBeating], participants={"till": Till(open_till(folder / f"{queue}.db"))}
    )
    sticky = timedelta(seconds=1)
    async with Worker(
        client,
        task_queue=queue,
        plugins=[plugin],
        sticky_queue_schedule_to_start_timeout=sticky,
        build_id="lives",  # otherwise all code is hashed, which takes longer than a life
    ):
        parent = os.getppid()
        while os.getppid() == parent:  # nothing tells that it is gone
            await asyncio.sleep(1)


def born(address: str, queue: str, folder: Path, death: str) -> int:
    """Fork a worker that dies at this point, and return its process id."""
    child = os.fork()
    if child:
        return child
    try:
        os.environ[DEATH] = death
        asyncio.run(live(address, queue, folder))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)  # what follows is the parent's business


def main() -> None:
    """Keep one worker alive for each queue, until standard input ends."""
    told = json.loads(sys.stdin.readline())
    address, folder = told["address"], Path(told["folder"])
    deaths: dict[str, list[str]] = told["deaths"]
    alive = {born(address, queue, folder, (each or [""])[0]): queue for queue, each in deaths.items()}
    try:
        while not select.select([sys.stdin], [], [], 0.02)[0]:
            child, status = os.waitpid(-1, os.WNOHANG)
            if child:
                queue = alive.pop(child)
                print(queue, os.waitstatus_to_exitcode(status), flush=True)
                deaths[queue] = deaths[queue][1:]
                alive[born(address, queue, folder, (deaths[queue] or [""])[0])] = queue
    finally:
        for child in alive:
            os.kill(child, signal.SIGKILL)


if __name__ == "__main__":
    main()
