"""How each protection of the engine is taken away."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import select

from saga.embedded import _clock, _purge, _versions
from saga.embedded._address import Address
from saga.embedded._append import Appender, Batch
from saga.embedded._clock import Clock
from saga.embedded._drive import Drive
from saga.embedded._requests import Requests
from saga.embedded._stage import Stage
from saga.embedded._tables import JOURNAL_VERSION, instances, requests
from saga.embedded._tenure import Tenure
from saga.embedded._writer import Writer
from saga.kernel import Conductor, Instance
from saga.kernel import _facts as f


async def at_once(*_: object) -> None:
    """Return at once."""
    return


def ignore(*_: object, **__: object) -> None:
    """Do nothing."""
    return


def wall_clock(_: Clock) -> datetime:
    """Tell the time by the wall clock."""
    wall_clock: Any = vars(_clock)["datetime"]  # which the check puts forward
    now: datetime = wall_clock.now(UTC)
    return now


def unfenced(monkeypatch: pytest.MonkeyPatch) -> None:
    """An append is made under whatever epoch holds."""
    append = Appender.append

    def any_epoch(self: Appender, batches: Any) -> None:
        for batch in batches:
            row = self._connection.execute("SELECT epoch FROM saga_instances WHERE id = ?", (batch.id,)).fetchone()  # type: ignore[attr-defined]
            batch.epoch = row[0] if row else batch.epoch
        append(self, batches)

    monkeypatch.setattr(Appender, "append", any_epoch)


def certain(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resume is no reason for doubt."""
    fold = Instance.fold

    def forgets(instance: Instance, fact: f.Fact) -> None:
        before = {name: record.unanswered for name, record in instance.calls.items()}
        fold(instance, fact)
        if isinstance(fact, f.Resumed):
            for name, unanswered in before.items():
                instance.calls[name].unanswered = unanswered

    monkeypatch.setattr(Instance, "fold", forgets)


def ended_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An instance is at rest before that is durable."""
    monkeypatch.setattr(Drive, "at_rest", property(lambda drive: drive.instance.ended))
    tell = Drive._tell

    def record(drive: Drive, facts: Any) -> None:
        real(drive, facts)
        tell(drive)

    real = Drive.record
    monkeypatch.setattr(Drive, "record", record)


def without_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request is answered apart from its fact."""
    request = Drive.request
    monkeypatch.setattr(Drive, "request", lambda drive, asked, _answers=(): request(drive, asked))


def knows_every_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables of a later version pass for tables of this one."""
    monkeypatch.setattr(_versions, "_checked", lambda _, found: min(found[0], JOURNAL_VERSION))


def shows_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A place is shown with its password."""
    monkeypatch.setattr(Address, "__str__", lambda address: address.url.render_as_string(hide_password=False))


def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """No number of crashes is too many."""
    resumed = Conductor.resumed

    def again(self: Conductor, epoch: int, *, crashed: bool) -> None:
        resumed(self, epoch, crashed=crashed, limit=10**9)

    monkeypatch.setattr(Conductor, "resumed", again)


def forgets_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows a batch that failed is written."""
    judge = Writer._judge_one

    def forgets(self: Writer, batch: Batch) -> Any:
        error = judge(self, batch)
        self._failed.pop(batch.id, None)
        return error

    monkeypatch.setattr(Writer, "_judge_one", forgets)


def purges_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has not ended is purged too."""
    monkeypatch.setattr(_purge, "_ended", lambda *_: select(instances.c.number).order_by(instances.c.number))


def takes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that is worked on is taken again."""
    take = Requests.take
    monkeypatch.setattr(Requests, "take", lambda self, owner, _in_progress: take(self, owner))


def numbers_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of a request is used again."""
    options: Any = requests.dialect_options["sqlite"]
    monkeypatch.setitem(options, "autoincrement", False)


async def impatient(task: asyncio.Task[Any], _cancelled: object = None) -> bool:
    """Wait for a task, and leave when cancelled."""
    await task
    return False


class Waiting(Thread):
    """A thread that the interpreter waits for."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **(options | {"daemon": False}))


async def forgets_to_let_go(stage: Stage, _grace: timedelta) -> None:
    """Leave without telling the conductors, so that they take what ends now for an outcome."""
    stage.leaving = True
    for drive in list(stage.drives.values()):
        assert drive._conductor is not None
        for task in drive._conductor._running.values():
            task.cancel()
    for _ in range(50):
        await asyncio.sleep(0)


def never_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine believes that what it owned is its own, however long it was paused."""
    monkeypatch.setattr(Tenure, "holds", property(lambda _: True))


def starts_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child starts, whoever owns its parent by now."""
    append = Appender.append

    def unconditional(self: Appender, batches: Any) -> None:
        for batch in batches:
            batch.new = batch.new and replace(batch.new, parent_epoch=None)
        append(self, batches)

    monkeypatch.setattr(Appender, "append", unconditional)
