"""Crash points C0 to C14: every one that a run passes, found by itself, with a fault at each, then a restart.

C0 before the start is committed · C1 start committed, no effect · C2 inside an effect · C3 effect done, not recorded ·
C4 result recorded · C5 last result recorded, caller not answered · C6 failure recorded, nothing compensated ·
C7 inside a compensation, or done and not recorded · C8 compensation recorded · C9 inside a flush, before COMMIT ·
C10 COMMIT durable, nobody told · C11 outcome of COMMIT unknown · C12 while opening, taking over, giving signs of life ·
C13 while an act is recorded · C14 concerns the outbox, which the engine has not.
"""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from saga.embedded import _journals, _tending
from saga.embedded._database import Point, Write
from saga.embedded._store import Store
from saga.kernel import _facts as f
from tests.embedded._crash import Story, Topology, scenario
from tests.embedded._machine import ERRORS, POWER_LOSS, Machine, Where
from tests.embedded._topologies import SEQUENCES, TOPOLOGIES

OF_WRITES = {
    Write.TABLES: "C12",
    Write.HEARTBEAT: "C12",
    Write.CLAIM: "C12",
    Write.REQUEST: "C13",
}
"""Purging is cut short by the store's own tests: no instance that it touches can change any more."""

OF_FACTS = {
    "SagaStarted": "C1",
    "CallRegistered": None,
    "CallDone action": "C4",
    "CallDone compensation": "C8",
    "CallDone confirmation": "C4",
    "CallDone forget": "C4",
    "CallProbed action": "C4",
    "CallRejected action": "C6",
    "CallRejected compensation": "C6",
    "CallInDoubt action": "C6",
    "CallInDoubt compensation": "C6",
    "RecoveryStarted": "C6",
    "RecoveryStarted action": "C6",
    "SagaCompleted": "C5",
    "SagaCompensated": "C5",
    "SagaStuck": "C6",
    "Resumed": "C12",
    "CancelRequested": "C13",
    "Retried": "C13",
    "CallResolved action": "C13",
    "DecisionAnswered action": "C13",
    "DecisionIgnored action": "C13",
    "RunContinued": "C13",
    "RecoveryContinued": "C13",
    "DecisionAwaited action": None,
    "AttemptFailed": None,
    "TimerSet": None,
    "TimerFired": None,
}
"""What a flush that carries such a fact is called once it is durable; None where it has no name of its own."""

OF_EFFECTS = {
    ("action", "before effect"): "C2",
    ("action", "after effect"): "C3",
    ("confirmation", "before effect"): "C2",
    ("confirmation", "after effect"): "C3",
    ("forget", "before effect"): "C2",
    ("forget", "after effect"): "C3",
    ("compensation", "before effect"): "C7",
    ("compensation", "after effect"): "C7",
}


def names_of(where: Where, fault: str) -> set[str]:
    """Names of a point in the report. A point without one raises: it has to be named there first."""
    if where.what == "activity":
        [role] = where.facts
        return {OF_EFFECTS[role, where.when]}
    if where.what != Write.FLUSH:
        return {OF_WRITES[Write(where.what)]}
    if where.when != Point.AFTER_COMMIT:
        return {"C9", *(["C0"] if "SagaStarted" in where.facts else [])}
    known = {_of_fact(fact) for fact in where.facts} - {None}
    return {"C10" if fault == POWER_LOSS else "C11", *(name for name in known if name)}


def _of_fact(fact: str) -> str | None:
    alone = fact.partition(" ")[0]
    return OF_FACTS[fact] if fact in OF_FACTS else OF_FACTS[alone]


@dataclass
class Tally:
    """How many scenarios were run, of which kinds, and what was seen in them."""

    scenarios: Counter[str] = field(default_factory=Counter)
    named: Counter[str] = field(default_factory=Counter)
    passed: int = 0
    seen: Counter[str] = field(default_factory=Counter)

    def add(self, topology: Topology, story: Story) -> None:
        """Count a scenario."""
        failed = [life for life in story.lives if life.failed_at is not None]
        if not failed:
            self.passed += 1
            return
        self.scenarios[topology.name] += 1
        for life in failed:
            assert life.failed_at is not None
            self.named.update(names_of(life.failed_at, life.fault))
            self.seen[life.fault] += 1
            if life.failed_at.what == Write.FLUSH and life.fault != POWER_LOSS:
                self.seen["ambiguous" if life.failed_at.when == Point.AFTER_COMMIT else "not durable"] += 1
        self.seen["repeated under its key"] += story.repeated
        self.seen["crash during the recovery of a crash"] += len(failed) > 1


@pytest.fixture(scope="module")
def tally() -> Tally:
    """Shared by the tests of this file."""
    return Tally()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty journal, which is faster to copy than to make."""
    file = tmp_path_factory.mktemp("template") / "journal.db"
    Store.open(f"sqlite:///{file}").close()
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return file


@pytest.fixture(autouse=True)
def _quiet_and_quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Engines log what fails here on purpose, and look for each other more often than they do elsewhere."""
    monkeypatch.setattr(_tending, "_LOOK", 0.005)
    monkeypatch.setattr(_journals, "_LOOK_AGAIN", 0.005)
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def run(topology: Topology, folder: Path, template: Path | None, *faults: tuple[str, int]) -> Story:
    """Run one scenario; a failure says which."""
    try:
        return scenario(topology, folder, template, *faults)
    except BaseException as error:
        error.add_note(f"{topology.name}, cut short by {faults}")
        raise


@pytest.mark.slow
@pytest.mark.peer("DBO-30", "DTM-50", "RST-10", "RST-12", "SEA-30", "NEW-02", "NEW-03", "NEW-04")
@pytest.mark.parametrize("topology", TOPOLOGIES, ids=lambda topology: topology.name)
def test_every_crash_point(topology: Topology, tmp_path: Path, template: Path, tally: Tally) -> None:
    """Nothing acknowledged is lost, nothing recorded is repeated, effects happen once, what is compensated is zero."""
    number = TOPOLOGIES.index(topology)
    for nth, at in enumerate(_of_its_own(run(topology, tmp_path, template).lives[0].points, everything=number == 0)):
        tally.add(topology, run(topology, tmp_path, template, (POWER_LOSS, at)))
        if (nth + number) % 4 == 0:
            error = list(ERRORS)[(nth // 4) % len(ERRORS)]
            tally.add(topology, run(topology, tmp_path, template, (error, at)))


def _of_its_own(points: Sequence[Where], *, everything: bool) -> Iterator[int]:
    """Yield the numbers of the points at which a topology differs from the others.

    Before the first flush and after the last one there is nothing open, so one topology stands for all. A machine that
    dies before BEGIN and one that dies before the first INSERT leave the same behind: of these, each other is taken.
    """
    flushes = [at for at, where in enumerate(points) if where.what == Write.FLUSH]
    begun = 0
    for at, where in enumerate(points):
        begun += where.when == Point.BEFORE_BEGIN
        same = where.when == (Point.BEFORE_BEGIN if begun % 2 else Point.BEFORE_INSERT)
        if everything or (flushes[0] <= at <= flushes[-1] and not same):
            yield at


@pytest.mark.slow
def test_every_crash_point_while_the_tables_are_made(tmp_path: Path, tally: Tally) -> None:
    """The next process makes them, or finds them made."""
    points = run(SEQUENCES[0], tmp_path, None).lives[0].points
    tables = [at for at, where in enumerate(points) if where.what == Write.TABLES]
    assert len(tables) == 4
    for at in tables:
        for fault in (POWER_LOSS, *ERRORS):
            tally.add(SEQUENCES[0], run(SEQUENCES[0], tmp_path, None, (fault, at)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["sequence of 3", "parallel group", "compensating", "nested compensated", "STUCK, retried", "decision pending"],
)
def test_every_crash_point_of_the_recovery_from_a_crash(
    name: str, tmp_path: Path, template: Path, tally: Tally
) -> None:
    """The second crash finds what the first one left."""
    topology = next(one for one in TOPOLOGIES if one.name == name)
    points = run(topology, tmp_path, template).lives[0].points
    first = [at for at, where in enumerate(points) if where.what == "activity"][-1]
    for at in range(len(run(topology, tmp_path, template, (POWER_LOSS, first)).lives[1].points)):
        tally.add(topology, run(topology, tmp_path, template, (POWER_LOSS, first), (POWER_LOSS, at)))


def test_every_crash_point_was_met(tally: Tally, capsys: pytest.CaptureFixture[str]) -> None:
    """The figures are printed; every name of the report was met, and what must sometimes happen did."""
    total = tally.scenarios.total()
    with capsys.disabled():
        print(
            f"\n{total} crash scenarios in {len(tally.scenarios)} topologies, {tally.passed} ended before their fault"
        )
        print("  by name:", ", ".join(f"{name} {tally.named[name]}" for name in sorted(tally.named, key=_number)))
        print("  seen:", ", ".join(f"{what} {count}" for what, count in sorted(tally.seen.items())))
    if len(tally.scenarios) < len(TOPOLOGIES):
        pytest.skip("only some of the topologies were run")
    assert total >= 500
    assert tally.passed <= total // 20
    assert set(tally.named) == {f"C{number}" for number in range(14)}
    for what in (POWER_LOSS, *ERRORS, "ambiguous", "not durable", "repeated under its key"):
        assert tally.seen[what] > 0, what
    assert tally.seen["crash during the recovery of a crash"] > 0


def test_a_point_that_the_report_does_not_name_is_refused() -> None:
    """Neither a write, nor a fact, nor a role may be new without a name there."""
    for unknown in (
        Where("flush", "after commit", frozenset({"SagaTeleported"})),
        Where("purge", "before commit"),
        Where("activity", "before effect", frozenset({"teleportation"})),
    ):
        with pytest.raises((KeyError, ValueError)):
            names_of(unknown, POWER_LOSS)
    assert {*OF_WRITES, Write.FLUSH, Write.PURGE} == set(Write)
    facts = {name.partition(" ")[0] for name in OF_FACTS}
    never_here = {"CallSkipped", "SagaAbortOrdered", "CallInDoubt"}
    assert facts | never_here == {one.__name__ for one in f.Fact.__args__}


def _number(name: str) -> int:
    return int(name[1:])


def test_a_dead_machine_reaches_nobody() -> None:
    """What an engine does after the power loss has no effect: otherwise the scenarios would show nothing."""
    machine = Machine(POWER_LOSS, 0)
    for _ in range(2):
        with pytest.raises(OSError, match="the machine is gone"):
            machine.effect("s-1/book.1", "before")
        with pytest.raises(OSError, match="the machine is gone"):
            machine.seam(Write.FLUSH, Point.BEFORE_COMMIT)
    assert len(machine.points) == 1
