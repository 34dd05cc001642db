"""Checks of what protects a journal from its surroundings: other users, other databases, other versions, bad input."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import stat
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Self
from unittest.mock import patch

from saga.embedded import _clock
from saga.embedded._clock import Clock
from saga.embedded._store import Store
from saga.embedded._threads import Threads
from saga.errors import (
    ForeignJournalError,
    InvalidIdError,
    JournalError,
    JournalVersionError,
    ParticipantError,
    PayloadTooLargeError,
    SagaError,
)
from tests.embedded._checks import Doubtful, engine_on, facts_in, must
from tests.embedded._shop import Booking, Purchase, Shop

PASSWORD = "correct-horse"  # noqa: S105 - it must never be shown


def _journal(folder: Path) -> Path:
    """Make an empty journal."""
    Store.open(f"sqlite:///{folder}/journal.db").close()
    return folder / "journal.db"


def _execute(file: Path, statement: str) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute(statement)
    connection.close()


def _modes(folder: Path) -> dict[str, int]:
    """What a journal consists of, and who may read it."""
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.glob("journal.db*")}


async def for_its_owner_only(folder: Path) -> None:
    """Nobody else may read the file, nor what SQLite puts beside it."""
    before = os.umask(0o022)
    try:
        async with engine_on(folder, Shop()) as engine:
            await engine.run(Booking, 1, id="s-1")
            modes = _modes(folder)
    finally:
        os.umask(before)
    must(len(modes) == 3, f"there are other files than those that are looked at: {modes}")
    must(set(modes.values()) == {0o600}, f"others may read the journal: {modes}")


async def warned_of_others(folder: Path) -> None:
    """Whoever opened a journal to other users is told so."""
    _journal(folder).chmod(0o644)
    said: list[str] = []

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    logger, ear = logging.getLogger("saga.embedded._address"), Listening()
    logger.addHandler(ear)
    try:
        async with engine_on(folder, Shop()):
            pass
    finally:
        logger.removeHandler(ear)
    must(any("open to other users" in one for one in said), "nobody was told that others may read the journal")


async def others_tables_left_alone(folder: Path) -> None:
    """A file that holds something else is refused, and left as it was."""
    file = folder / "journal.db"
    _execute(file, "CREATE TABLE customers (name TEXT)")
    with suppress(ForeignJournalError):
        async with engine_on(folder, Shop()):
            pass
    with sqlite3.connect(file) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    connection.close()
    must(names == {"customers"}, f"a journal was put beside other tables: {names}")


async def damaged_tables_refused(folder: Path) -> None:
    """A journal that lacks a column is refused when it is opened, not later."""
    _execute(_journal(folder), "ALTER TABLE saga_requests DROP COLUMN answer")
    try:
        async with engine_on(folder, Shop()):
            pass
    except ForeignJournalError:
        return
    must(condition=False, text="a journal that lacks a column was opened")


async def newer_tables_refused(folder: Path) -> None:
    """A journal of a later version is not written to."""
    _execute(_journal(folder), "UPDATE saga_journal_version SET version_num = '9999'")
    try:
        async with engine_on(folder, Shop()):
            pass
    except JournalVersionError:
        return
    must(condition=False, text="a journal of a later version was opened")


async def password_never_shown(folder: Path) -> None:
    """An error names the place without the password."""
    try:
        Store.open(f"postgresql://anna:{PASSWORD}@127.0.0.1:1/bank", patience=timedelta(seconds=1))
    except JournalError as error:
        must("127.0.0.1" in str(error), "the place is not named")
        must(PASSWORD not in str(error), "a password is in an error")
    else:
        must(condition=False, text="there is a server where none can be")


async def request_within_limit(folder: Path) -> None:
    """A request above the limit is refused, and nothing is written."""
    async with engine_on(folder, Shop(), payload_limit=50) as engine:
        with suppress(PayloadTooLargeError):
            await engine.start(Doubtful, 10**50, id="s-1")
    must(facts_in(folder) == [], "a request above the limit was written")


async def outputs_within_limit(folder: Path) -> None:
    """What an activity returns above the limit is not written."""
    async with engine_on(folder, Shop(), payload_limit=8) as engine:
        with suppress(SagaError):
            await engine.run(Doubtful, 1, id="s-1")
    written = [fact.payload or "" for fact in facts_in(folder)]
    must(max(map(len, written)) <= 8, f"an output above the limit was written: {written}")


async def inputs_within_limit(folder: Path) -> None:
    """What `run` makes above the limit is neither written nor sent."""
    shop = Shop()
    async with engine_on(folder, shop, payload_limit=16) as engine:
        with suppress(SagaError):
            await engine.run(Purchase, 2, id="s-1")  # returns four keys
    written = [fact.payload or "" for fact in facts_in(folder)]
    must(max(map(len, written)) <= 16, f"a result above the limit was written: {written}")


async def ids_name_one_instance(folder: Path) -> None:
    """An id that could be taken for the key of a call is refused."""
    async with engine_on(folder, Shop()) as engine:
        for id in ("s-1/book.1", "s-1~booking.1"):
            with suppress(InvalidIdError):
                await engine.start(Booking, 1, id=id)
    must(facts_in(folder) == [], "an id was taken that could be a key")


async def participants_there_before_anything_begins(folder: Path) -> None:
    """What is missing is told before the journal is made."""
    with suppress(ParticipantError):
        async with engine_on(folder, Shop(), participants={}):
            pass
    must(not _modes(folder), "an engine without its participants made a journal")


async def clock_never_jumps(folder: Path) -> None:
    """A wall clock that is set forward fires no deadline."""
    clock, now = Clock(), datetime.now(UTC)

    class Forward(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) + timedelta(days=1)

    with patch.object(_clock, "datetime", Forward):
        must(clock.now() - now < timedelta(hours=1), "the engine's time jumped")


async def hanging_thread_keeps_nobody(folder: Path) -> None:
    """A thread that never ends does not keep the process from ending."""
    threads, gate, found = Threads(1, name="checked"), threading.Event(), list[threading.Thread]()

    def hang() -> None:
        found.append(threading.current_thread())
        gate.wait()

    future = threads.submit(hang)
    while not found:
        await asyncio.sleep(0.002)
    gate.set()
    await asyncio.wrap_future(future)
    threads.shutdown()
    must(found[0].daemon, "the interpreter would wait for a thread that hangs")
