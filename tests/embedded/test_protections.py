"""Every protection of the engine has a check that notices when it is gone: each is taken away here once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import false, select

from saga import EmbeddedEngine
from saga.embedded import _address, _database, _engine, _open, _purge, _schema, _threads
from saga.embedded._address import Address
from saga.embedded._clock import Clock
from saga.embedded._drive import Drive
from saga.embedded._ownership import Ownership
from saga.embedded._running import Limits
from saga.embedded._stage import Stage
from saga.embedded._tables import instances
from saga.embedded._tending import Tending
from saga.embedded._watch import Watch
from saga.kernel import Codec, Policy, _attempt, _edge
from tests.embedded import _checks_at_the_edge as edge
from tests.embedded import _checks_of_the_journal as journal
from tests.embedded import _removals as gone
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


@dataclass(frozen=True, slots=True)
class Protection:
    """A protection: what checks it, and how a test takes it away."""

    name: str
    check: Callable[[Path], Awaitable[None]]
    remove: Callable[[pytest.MonkeyPatch], None]


PROTECTIONS = [
    Protection("flush before perform", registered_before_performed, lambda m: m.setattr(Drive, "flush", gone.at_once)),
    Protection(
        "flush before the start is told",
        durable_before_acknowledged,
        lambda m: m.setattr(EmbeddedEngine, "_check_started", gone.at_once),
    ),
    Protection("flush before the result is told", durable_result_before_acknowledged, gone.ended_at_once),
    Protection("epochs", former_owner_fenced, gone.unfenced),
    Protection("unanswered after a resume", doubt_after_a_crash, gone.certain),
    Protection(
        "settle time",
        settled_before_compensated,
        lambda m: m.setattr(Policy, "settles_after", property(lambda _: timedelta(0))),
    ),
    Protection(
        "an attempt that was stopped is the last",
        nothing_after_closing,
        lambda m: m.setattr(Limits, "stopped", property(lambda _: False, lambda *_: None)),
    ),
    Protection("letting go", nothing_recorded_for_closing, lambda m: m.setattr(Stage, "leave", gone.forgets_to_let_go)),
    Protection("comparison of requests", same_id_same_request, lambda m: m.setattr(Codec, "same", lambda *_: True)),
    Protection("answers within the flush", acts_once, gone.without_answers),
    Protection("signs of life", journal.signs_of_life_are_given, lambda m: m.setattr(Tending, "_beat", gone.at_once)),
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
        "warning of others",
        edge.warned_of_others,
        lambda m: m.setattr(_address, "_warn_if_open_to_others", gone.ignore),
    ),
    Protection(
        "foreign tables", edge.others_tables_left_alone, lambda m: m.setattr(_schema, "check_foreign", gone.ignore)
    ),
    Protection(
        "shape of the tables", edge.damaged_tables_refused, lambda m: m.setattr(_schema, "check_table", gone.ignore)
    ),
    Protection("version of the tables", edge.newer_tables_refused, gone.knows_every_version),
    Protection("hidden passwords", edge.password_never_shown, gone.shows_all),
    Protection("limit of requests", edge.request_within_limit, lambda m: m.setattr(_edge, "size_of", lambda _: 0)),
    Protection("limit of outputs", edge.outputs_within_limit, lambda m: m.setattr(_attempt, "size_of", lambda _: 0)),
    Protection("limit of results", edge.inputs_within_limit, lambda m: m.setattr(_edge, "size_of", lambda _: 0)),
    Protection("ids", edge.ids_name_one_instance, lambda m: m.setattr(_edge, "check_id", gone.ignore)),
    Protection(
        "participants",
        edge.participants_there_before_anything_begins,
        lambda m: m.setattr(_engine, "missing_participants", lambda *_: []),
    ),
    Protection("clock", edge.clock_never_jumps, lambda m: m.setattr(Clock, "now", gone.wall_clock)),
    Protection(
        "threads of their own", edge.hanging_thread_keeps_nobody, lambda m: m.setattr(_threads, "Thread", gone.Waiting)
    ),
    # of the journal
    Protection("only what ended is purged", journal.open_instances_kept, gone.purges_all),
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
    Protection("numbers of requests", journal.requests_numbered_once, gone.numbers_again),
    Protection("requests in progress", journal.served_once, gone.takes_again),
    Protection("failures behind failures", journal.no_gap_behind_a_failure, gone.forgets_failures),
    Protection(
        "settings of SQLite",
        journal.flushed_to_the_disk,
        lambda m: m.setattr(_database, "event", SimpleNamespace(listen=gone.ignore)),
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
    Protection("a pause longer than the lease", journal.paused_engines_begin_nothing, gone.never_paused),
    Protection("children of those who own the parent", journal.late_children_never_start, gone.starts_late),
    Protection("crashes without end", journal.crashes_have_an_end, gone.endless),
    Protection("time limits", journal.attempts_end_in_time, lambda m: m.setattr(Watch, "begin", gone.ignore)),
    Protection(
        "closing to the end", journal.closed_to_the_end, lambda m: m.setattr(_open, "_to_its_end", gone.impatient)
    ),
]


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
