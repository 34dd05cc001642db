"""Every protection of the engine has a check that notices when it is gone: each is taken away here once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Connection, false, select

from saga import EmbeddedEngine
from saga.embedded import _address, _clock, _database, _engine, _open, _purge, _schema, _threads
from saga.embedded._address import Address
from saga.embedded._append import Appender, Batch
from saga.embedded._clock import Clock
from saga.embedded._drive import Drive
from saga.embedded._ownership import Ownership
from saga.embedded._performer import Performer
from saga.embedded._requests import Requests
from saga.embedded._stage import Stage
from saga.embedded._tables import JOURNAL_VERSION, instances, requests
from saga.embedded._tending import Tending
from saga.embedded._watch import Watch
from saga.embedded._writer import Writer
from saga.kernel import Codec, Conductor, Instance, Policy, _attempt, _edge
from saga.kernel import _facts as f
from tests.embedded import _checks_at_the_edge as edge
from tests.embedded import _checks_of_the_journal as journal
from tests.embedded._checks import (
    UnprotectedError,
    acts_once,
    broken_journals_stop_everything,
    doubt_after_a_crash,
    durable_before_acknowledged,
    durable_result_before_acknowledged,
    former_owner_fenced,
    nothing_after_closing,
    nothing_recorded_for_closing,
    registered_before_performed,
    same_id_same_request,
    settled_before_compensated,
)

# -- the protections, and how each is taken away -----------------------------------------


@dataclass(frozen=True, slots=True)
class Protection:
    """A protection: what checks it, and how a test takes it away."""

    name: str
    check: Callable[[Path], Awaitable[None]]
    remove: Callable[[pytest.MonkeyPatch], None]


async def _at_once(*_: object) -> None:
    return None


def _ignore(*_: object, **__: object) -> None:
    return None


def _wall_clock(_: Clock) -> datetime:
    wall_clock: Any = vars(_clock)["datetime"]  # which the check puts forward
    now: datetime = wall_clock.now(UTC)
    return now


def _unfenced(monkeypatch: pytest.MonkeyPatch) -> None:
    append = Appender.append

    def any_epoch(self: Appender, batches: Any) -> None:
        for batch in batches:
            row = self._connection.execute("SELECT epoch FROM saga_instances WHERE id = ?", (batch.id,)).fetchone()  # type: ignore[attr-defined]
            batch.epoch = row[0] if row else batch.epoch
        append(self, batches)

    monkeypatch.setattr(Appender, "append", any_epoch)


def _certain(monkeypatch: pytest.MonkeyPatch) -> None:
    fold = Instance.fold

    def forgets(instance: Instance, fact: f.Fact) -> None:
        before = {name: record.unanswered for name, record in instance.calls.items()}
        fold(instance, fact)
        if isinstance(fact, f.Resumed):
            for name, unanswered in before.items():
                instance.calls[name].unanswered = unanswered

    monkeypatch.setattr(Instance, "fold", forgets)


def _ended_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Drive, "at_rest", property(lambda drive: drive.instance.ended))
    tell = Drive._tell

    def record(drive: Drive, facts: Any) -> None:
        real(drive, facts)
        tell(drive)

    real = Drive.record
    monkeypatch.setattr(Drive, "record", record)


def _without_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    request = Drive.request
    monkeypatch.setattr(Drive, "request", lambda drive, asked, _answers=(): request(drive, asked))


def _knows_every_version(monkeypatch: pytest.MonkeyPatch) -> None:
    version = _schema._version

    def known(connection: Connection) -> str | None:
        found = version(connection)
        return None if found is None else min(found, JOURNAL_VERSION)

    monkeypatch.setattr(_schema, "_version", known)


def _shows_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Address, "__str__", lambda address: address.url.render_as_string(hide_password=False))


def _endless(monkeypatch: pytest.MonkeyPatch) -> None:
    resumed = Conductor.resumed

    def again(self: Conductor, epoch: int, *, crashed: bool) -> None:
        resumed(self, epoch, crashed=crashed, limit=10**9)

    monkeypatch.setattr(Conductor, "resumed", again)


def _forgets_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Writer._judge_one

    def forgets(self: Writer, batch: Batch) -> Any:
        error = judge(self, batch)
        self._failed.pop(batch.id, None)
        return error

    monkeypatch.setattr(Writer, "_judge_one", forgets)


def _purges_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_purge, "_ended", lambda *_: select(instances.c.number).order_by(instances.c.number))


def _takes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    take = Requests.take
    monkeypatch.setattr(Requests, "take", lambda self, owner, _in_progress: take(self, owner))


def _numbers_again(monkeypatch: pytest.MonkeyPatch) -> None:
    options: Any = requests.dialect_options["sqlite"]
    monkeypatch.setitem(options, "autoincrement", False)


async def _impatient(task: asyncio.Task[Any], _cancelled: object = None) -> bool:
    await task
    return False


class _Waiting(Thread):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **(options | {"daemon": False}))


PROTECTIONS = [
    Protection("flush before perform", registered_before_performed, lambda m: m.setattr(Drive, "flush", _at_once)),
    Protection(
        "flush before the start is told",
        durable_before_acknowledged,
        lambda m: m.setattr(EmbeddedEngine, "_check_started", _at_once),
    ),
    Protection("flush before the result is told", durable_result_before_acknowledged, _ended_at_once),
    Protection("epochs", former_owner_fenced, _unfenced),
    Protection("unanswered after a resume", doubt_after_a_crash, _certain),
    Protection(
        "settle time",
        settled_before_compensated,
        lambda m: m.setattr(Policy, "settles_after", property(lambda _: timedelta(0))),
    ),
    Protection(
        "closing",
        nothing_after_closing,
        lambda m: m.setattr(Performer, "closing", property(lambda _: False, lambda *_: None), raising=False),
    ),
    Protection("letting go", nothing_recorded_for_closing, lambda m: m.setattr(Stage, "leave", _forgets_to_let_go)),
    Protection("comparison of requests", same_id_same_request, lambda m: m.setattr(Codec, "same", lambda *_: True)),
    Protection("answers within the flush", acts_once, _without_answers),
    Protection("signs of life", journal.signs_of_life_are_given, lambda m: m.setattr(Tending, "_beat", _at_once)),
    Protection(
        "looking for what was lost",
        journal.lost_instances_dropped,
        lambda m: m.setattr(Stage, "check_lost", lambda *_: None),
    ),
    Protection(
        "stopping all drives", broken_journals_stop_everything, lambda m: m.setattr(Stage, "_stop", lambda *_: None)
    ),
    # at the edge
    Protection("file mode", edge.for_its_owner_only, lambda m: m.setattr(Address, "prepare", lambda _: None)),
    Protection(
        "warning of others", edge.warned_of_others, lambda m: m.setattr(_address, "_warn_if_open_to_others", _ignore)
    ),
    Protection(
        "foreign tables", edge.others_tables_left_alone, lambda m: m.setattr(_schema, "_refuse_foreign", _ignore)
    ),
    Protection(
        "shape of the tables", edge.damaged_tables_refused, lambda m: m.setattr(_schema, "_check_shape", _ignore)
    ),
    Protection("version of the tables", edge.newer_tables_refused, _knows_every_version),
    Protection("hidden passwords", edge.password_never_shown, _shows_all),
    Protection("limit of requests", edge.request_within_limit, lambda m: m.setattr(_engine, "size_of", lambda _: 0)),
    Protection("limit of outputs", edge.outputs_within_limit, lambda m: m.setattr(_attempt, "size_of", lambda _: 0)),
    Protection("limit of results", edge.inputs_within_limit, lambda m: m.setattr(_edge, "size_of", lambda _: 0)),
    Protection("ids", edge.ids_name_one_instance, lambda m: m.setattr(_engine, "check_id", _ignore)),
    Protection(
        "participants",
        edge.participants_there_before_anything_begins,
        lambda m: m.setattr(_engine, "missing_participants", lambda *_: []),
    ),
    Protection("clock", edge.clock_never_jumps, lambda m: m.setattr(Clock, "now", _wall_clock)),
    Protection(
        "threads of their own", edge.hanging_thread_keeps_nobody, lambda m: m.setattr(_threads, "Thread", _Waiting)
    ),
    # of the journal
    Protection("only what ended is purged", journal.open_instances_kept, _purges_all),
    Protection(
        "families of open instances",
        journal.children_of_open_parents_kept,
        lambda m: m.setattr(_purge, "_kept", lambda: select(instances.c.id).where(false())),
    ),
    Protection(
        "families go whole",
        journal.children_go_with_their_parent,
        lambda m: m.setattr(_purge, "_with_children", lambda _, numbers: numbers),
    ),
    Protection("numbers of requests", journal.requests_numbered_once, _numbers_again),
    Protection("requests in progress", journal.served_once, _takes_again),
    Protection("failures behind failures", journal.no_gap_behind_a_failure, _forgets_failures),
    Protection(
        "settings of SQLite",
        journal.flushed_to_the_disk,
        lambda m: m.setattr(_database, "event", SimpleNamespace(listen=_ignore)),
    ),
    Protection(
        "who is dead",
        journal.living_owners_keep_what_they_own,
        lambda m: m.setattr(Ownership, "_is_dead", lambda *_: True),
    ),
    Protection(
        "registered before owning",
        journal.living_owners_keep_what_they_own,
        lambda m: m.setattr(Ownership, "beat", lambda _: True),
    ),
    Protection("crashes without end", journal.crashes_have_an_end, _endless),
    Protection("time limits", journal.attempts_end_in_time, lambda m: m.setattr(Watch, "begin", _ignore)),
    Protection("closing to the end", journal.closed_to_the_end, lambda m: m.setattr(_open, "_to_its_end", _impatient)),
]


async def _forgets_to_let_go(stage: Stage, _grace: timedelta) -> None:
    """Leave without telling the conductors, so that they take what ends now for an outcome."""
    stage.leaving = True
    for drive in list(stage.drives.values()):
        assert drive._conductor is not None
        for task in drive._conductor._running.values():
            task.cancel()
    for _ in range(50):
        await asyncio.sleep(0)


@pytest.mark.parametrize("protection", PROTECTIONS, ids=lambda one: one.name)
async def test_the_protection_holds(protection: Protection, tmp_path: Path) -> None:
    """With everything in its place the check has nothing to say."""
    await protection.check(tmp_path)


@pytest.mark.parametrize("protection", PROTECTIONS, ids=lambda one: one.name)
async def test_its_removal_is_noticed(protection: Protection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same check turns red."""
    protection.remove(monkeypatch)
    with pytest.raises(UnprotectedError):
        await protection.check(tmp_path)
