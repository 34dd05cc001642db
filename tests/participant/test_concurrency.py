from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import TypeVar

import pytest
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import DBAPIError, OperationalError

from saga.errors import StepRejected, SuspendedError
from saga.kernel import DidNotHappen, Happened, Role
from saga.participant import is_recorded
from tests.participant.banks import (
    OPENING,
    Books,
    Debit,
    Found,
    Posting,
    Script,
    SyncBank,
    done,
    in_doubt,
    step,
)

Result = TypeVar("Result")
Engines = Callable[..., Engine]
ACTION = "transfer-42/debit.1"
PATIENCE = 60  # seconds until a hang is a failure; nothing is measured against it
LEVELS = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]


class Race:
    """Two deliveries: the second arrives while the transaction of the first is open."""

    def __init__(self, first: Engine, second: Engine) -> None:
        self.books = Books(first)
        self.script = Script()
        self._first = first
        self._second = SyncBank(second.begin, self.script)
        self._arrived = Event()
        event.listen(second, "before_cursor_execute", self._notice)

    def _notice(self, _: Connection, __: object, statement: str, *___: object) -> None:
        if "saga_barrier" in statement:
            self._arrived.set()

    def run(
        self,
        first: Callable[[SyncBank], object],
        second: Callable[[SyncBank], Result],
        *,
        commit: bool = True,
    ) -> Result:
        """Return what the second one answers, at last; the first one commits or crashes meanwhile."""
        with ThreadPoolExecutor(1) as pool:
            with self._first.connect() as connection:
                first(SyncBank(lambda: _Open(connection), self.script))
                waiting = pool.submit(self._deliver, second)
                self._wait_for(waiting)
                if commit:
                    connection.commit()
            return waiting.result(PATIENCE)

    def _deliver(self, second: Callable[[SyncBank], Result]) -> Result:
        while True:  # as the engine does after a failure that is no answer
            try:
                return second(self._second)
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) != "40001":
                    raise

    def _wait_for(self, waiting: Future[Result]) -> None:
        assert self._arrived.wait(PATIENCE)
        while self._first.dialect.name == "postgresql" and not waiting.done() and not self._blocked():
            time.sleep(0.01)

    def _blocked(self) -> bool:
        with self._first.connect() as connection:
            waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
            return connection.execute(text(f"{waiting} AND wait_event_type = 'Lock'")).first() is not None


class _Open:
    """A transaction that somebody else ends."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __enter__(self) -> Connection:
        return self._connection

    def __exit__(self, *_: object) -> None: ...


@pytest.fixture(params=["sqlite", *LEVELS])
def race(request: pytest.FixtureRequest, engines: Engines) -> Race:
    """On each database, at each isolation level."""
    if request.param == "sqlite":
        url = request.getfixturevalue("sqlite_url")
        options = {"connect_args": {"timeout": PATIENCE}}
        return Race(engines(url, **options), engines(url, **options))
    url = request.getfixturevalue("bank_postgres_url")
    return Race(engines(url), engines(url, isolation_level=request.param))


def act(bank: SyncBank) -> Posting:
    """Deliver the action."""
    with step():
        return bank.debit_now(Debit())


def compensate(bank: SyncBank) -> None:
    """Deliver the compensation of an action that is in doubt."""
    with step(Role.COMPENSATION):
        bank.refund_now(in_doubt())


def ask(bank: SyncBank) -> Found:
    """Deliver the probe."""
    with step(Role.PROBE):
        return bank.find_debit_now()


def test_compensation_waits_for_the_action_in_flight(race: Race) -> None:
    """The action commits, so the compensation finds it and runs."""
    race.run(act, compensate)
    assert race.script.runs == ["debit", "refund"]
    assert race.books.balance() == OPENING
    assert race.books.records() == [(ACTION, "", "compensated")]


def test_compensation_is_empty_if_the_action_in_flight_crashes(race: Race) -> None:
    """The action's transaction is rolled back, so there is nothing to compensate, now or later."""
    race.run(act, compensate, commit=False)
    assert race.script.runs == ["debit"]
    assert race.books.balance() == OPENING
    assert race.books.records() == [(ACTION, "", "suspended")]


def test_action_waits_for_the_compensation_in_flight(race: Race) -> None:
    """The empty compensation commits, so the action comes too late."""

    def act_late(bank: SyncBank) -> None:
        with pytest.raises(SuspendedError):
            act(bank)

    race.run(compensate, act_late)
    assert race.script.runs == []
    assert race.books.balance() == OPENING
    assert race.books.records() == [(ACTION, "", "suspended")]


def test_action_runs_if_the_compensation_in_flight_crashes(race: Race) -> None:
    """Nothing was suspended; the compensation will be delivered again."""
    race.run(compensate, act, commit=False)
    assert race.books.balance() == 90
    race.run(lambda _: None, compensate)
    assert race.books.balance() == OPENING


def test_action_delivered_twice_at_the_same_time_runs_once(race: Race) -> None:
    """The second waits and returns what the first recorded."""
    assert race.run(act, act) == Posting(account="anna", amount=-10, balance=90)
    assert race.script.runs == ["debit"]
    assert race.books.balance() == 90


@pytest.mark.peer("DTM-34")
def test_compensation_delivered_twice_at_the_same_time_runs_once(race: Race) -> None:
    """The second waits and finds that nothing is left to do."""
    race.run(lambda _: None, act)
    race.run(compensate, compensate)
    assert race.script.runs == ["debit", "refund"]
    assert race.books.balance() == OPENING


@pytest.mark.peer("DTM-34")
def test_second_compensation_runs_if_the_first_crashes(race: Race) -> None:
    """What was rolled back is still to be done."""
    race.run(lambda _: None, act)
    race.run(compensate, compensate, commit=False)
    assert race.script.runs == ["debit", "refund", "refund"]
    assert race.books.balance() == OPENING


@pytest.mark.parametrize("commit", [True, False])
def test_confirmation_and_compensation_at_the_same_time_are_never_both(race: Race, *, commit: bool) -> None:
    """Whichever commits wins, and the other is refused."""
    posting = race.run(lambda _: None, act)

    def confirm(bank: SyncBank) -> None:
        with step(Role.CONFIRMATION):
            asyncio.run(bank.confirm(posting))

    def confirm_late(bank: SyncBank) -> None:
        if not commit:
            return confirm(bank)
        with pytest.raises(SuspendedError):
            confirm(bank)
        return None

    race.run(compensate, confirm_late, commit=commit)
    assert race.books.records() == [(ACTION, "", "compensated" if commit else "confirmed")]
    assert race.books.balance() == (OPENING if commit else 89)


@pytest.mark.parametrize("commit", [True, False])
def test_probe_waits_for_the_action_in_flight(race: Race, *, commit: bool) -> None:
    """It never says that the action did not happen while the action may still commit."""
    found = race.run(act, ask, commit=commit)
    if commit:
        assert found == Happened(output=Posting(account="anna", amount=-10, balance=90))
    else:
        assert found == DidNotHappen()
    assert race.books.balance() == (90 if commit else OPENING)
    assert race.books.records() == [(ACTION, "", "done" if commit else "suspended")]


def test_probe_that_cannot_wait_gives_no_answer(sqlite_url: str, engines: Engines) -> None:
    """SQLite's busy timeout ends it with an error, which a saga takes for `AskAgain`."""
    bank, hasty = engines(sqlite_url), engines(sqlite_url, connect_args={"timeout": 0})
    with bank.connect() as connection:
        act(SyncBank(lambda: _Open(connection)))
        with pytest.raises(OperationalError, match="locked"):
            ask(SyncBank(hasty.begin))
        connection.commit()
    assert isinstance(ask(SyncBank(hasty.begin)), Happened)


def test_repeat_that_waited_for_a_rejection_gets_it(race: Race) -> None:
    """The first delivery refuses while the second waits."""
    race.script.raises = StepRejected("no")
    caught: list[StepRejected] = []

    def act_and_keep(bank: SyncBank) -> None:
        with pytest.raises(StepRejected) as error:
            act(bank)
        caught.append(error.value)

    race.run(act_and_keep, act_and_keep)
    assert race.script.runs == ["debit"]
    assert all(is_recorded(error) for error in caught)
    assert race.books.records() == [(ACTION, "", "rejected")]
    assert race.books.balance() == OPENING


def test_late_repeat_meets_a_compensated_action(race: Race) -> None:
    """The repeat of an action waits for the compensation in flight, and is refused after it."""
    posting = race.run(lambda _: None, act)

    def refund(bank: SyncBank) -> None:
        with step(Role.COMPENSATION):
            bank.refund_now(done(posting))

    def act_late(bank: SyncBank) -> None:
        with pytest.raises(SuspendedError):
            act(bank)

    race.run(refund, act_late)
    assert race.books.balance() == OPENING
