"""30 real SIGKILLs of a process that makes money transfers under load: every cent is accounted for."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from examples.money_transfer.bank import LedgerLine
from examples.money_transfer.proof import Proof, prove
from examples.money_transfer.world import World
from tests.reliability import transfer_load

KILLS = 30
ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the lives are forked, which this system cannot"),
]


class Lives:
    """The process that forks one life after the other, and what the parent does to them."""

    def __init__(self, process: subprocess.Popen[str], directory: Path, *, barrier: bool) -> None:
        self._process = process
        self._directory = directory
        self._barrier = barrier
        self._number = 0
        self._chance = random.Random(20260304)  # noqa: S311 - a moment is no secret
        self.endings: list[int] = []

    def be_killed(self) -> None:
        """Kill a life at a random moment: after its birth, its first start, or its first answer."""
        pid = self._born(finish=False)
        after = ("", "started", "answered", "started", "answered")[self._number % 5]
        if after:
            self._read_until(after)
        time.sleep(self._chance.uniform(0.0, 0.4))
        os.kill(pid, signal.SIGKILL)
        self._read_until("ended")

    def finish(self) -> None:
        """Let a last life bring everything that is open to its end."""
        self._born(finish=True)
        self._read_until("ended")

    def _born(self, *, finish: bool) -> int:
        self._number += 1
        assert self._process.stdin is not None
        life = {"directory": str(self._directory), "number": self._number, "finish": finish}
        self._process.stdin.write(json.dumps({**life, "barrier": self._barrier}) + "\n")
        self._process.stdin.flush()
        return int(self._read_until("born"))

    def _read_until(self, word: str) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said, _, rest = line.rstrip("\n").partition(" ")
            if said == "ended":
                self.endings.append(int(rest))
                assert word == "ended", f"a life ended by itself with {rest}; standard error says why"
            if said == word:
                return rest
        pytest.fail(f"the process of all lives ended before it said {word!r}; standard error says why")


@contextmanager
def lives(directory: Path, *, barrier: bool) -> Generator[Lives]:
    """Start the process of all lives on two banks with money for many transfers."""
    with World.at(directory) as world:
        world.open_accounts(times=20)
    process = subprocess.Popen(
        [sys.executable, transfer_load.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with process:
        try:
            yield Lives(process, directory, barrier=barrier)
        finally:
            process.kill()


@dataclass(frozen=True)
class Evidence:
    """What is there after everything: what clients were told, what banks saw, what the auditor found."""

    endings: list[int]
    proof: Proof
    ledger: list[LedgerLine]
    answers: list[tuple[str, str]]
    deliveries: list[tuple[str, str, str]]

    def told(self, answer: str) -> set[str]:
        """Ids of the transfers for which a client got this answer."""
        return {one for said, one in self.answers if said == answer}

    def effects(self) -> Counter[str]:
        """How often each idempotency key had an effect at a bank."""
        return Counter(line.key for line in self.ledger)


def evidence(directory: Path, endings: list[int]) -> Evidence:
    """Collect it."""
    answers = [line.split() for line in _lines(directory / "answers.log")]
    deliveries = [line.split() for line in _lines(directory / "deliveries.log")]
    started = [one for said, one in answers if said == "started"]
    with World.at(directory) as world:
        return Evidence(
            endings=endings,
            proof=asyncio.run(_proof(world, started)),
            ledger=[*world.north.ledger(), *world.south.ledger()],
            answers=[(said, one) for said, one in answers],
            deliveries=[(pid, seen, key) for pid, seen, key in deliveries],
        )


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


async def _proof(world: World, started: list[str]) -> Proof:
    async with world.engine() as engine:
        return await prove(world, engine, acknowledged=started)


@pytest.fixture(scope="module")
def after_30_kills(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """What 30 kills under load left, once a last life has finished."""
    directory = tmp_path_factory.mktemp("kills")
    with lives(directory, barrier=True) as load:
        for _ in range(KILLS):
            load.be_killed()
        load.finish()
    return evidence(directory, load.endings)


def test_every_life_but_the_last_was_killed(after_30_kills: Evidence) -> None:
    """30 lives ended by SIGKILL, and the last one by itself."""
    assert after_30_kills.endings == [*[-signal.SIGKILL] * KILLS, 0]


def test_no_effect_is_duplicated(after_30_kills: Evidence) -> None:
    """No idempotency key has two lines in a ledger, and no key is missing or too many."""
    assert {key: times for key, times in after_30_kills.effects().items() if times > 1} == {}
    assert after_30_kills.proof.faults == ()


def test_kills_hit_between_effect_and_record(after_30_kills: Evidence) -> None:
    """At least once a bank had acted for a life that died before it recorded so; the repeat did nothing."""
    first = {key: pid for pid, seen, key in after_30_kills.deliveries if seen == "first"}
    repeats = {key for pid, seen, key in after_30_kills.deliveries if seen == "again" and first.get(key) != pid}
    assert repeats
    assert {after_30_kills.effects()[key] for key in repeats} == {1}


def test_kills_hit_every_kind_of_call(after_30_kills: Evidence) -> None:
    """Debits, refunds and credits were all delivered to banks, and calls of dead lives were made again."""
    roles = {key.partition("/")[2] for _, _, key in after_30_kills.deliveries}
    assert roles == {"debit.1", "debit.1/compensation", "credit.1"}
    assert after_30_kills.proof.repeated > 0


def test_no_acknowledged_saga_is_lost(after_30_kills: Evidence) -> None:
    """Every start that a client was told of is in the journal, and there were many."""
    started = after_30_kills.told("started")
    assert len(started) > KILLS
    assert not [fault for fault in after_30_kills.proof.faults if "lost" in fault]


def test_every_saga_has_ended(after_30_kills: Evidence) -> None:
    """The last life left nothing RUNNING, COMPENSATING or STUCK; both ends occurred."""
    assert set(after_30_kills.proof.states) == {"COMPLETED", "COMPENSATED"}


@pytest.mark.peer("JEP-02")
def test_bank_checker(after_30_kills: Evidence) -> None:
    """The total is that of the start; what clients were told holds: applied once, or zero times."""
    assert after_30_kills.proof.after == after_30_kills.proof.before
    completed, compensated = after_30_kills.told("completed"), after_30_kills.told("compensated")
    assert completed
    assert compensated
    effects = after_30_kills.effects()
    assert {(effects[f"{one}/debit.1"], effects[f"{one}/credit.1"]) for one in completed} == {(1, 1)}
    assert {effects[f"{one}/credit.1"] for one in compensated} == {0}
    assert {effects[f"{one}/debit.1"] - effects[f"{one}/debit.1/compensation"] for one in compensated} == {0}


def test_without_the_barrier_kills_duplicate_effects(tmp_path: Path) -> None:
    """The same load on banks that trust the network: the ledgers show it, so the tests above can fail."""
    with lives(tmp_path, barrier=False) as load:
        for _ in range(KILLS):
            load.be_killed()
            if _duplicates(tmp_path):
                break
        load.finish()
    found = evidence(tmp_path, load.endings)
    assert [key for key, times in found.effects().items() if times > 1]
    assert any("instead of" in fault for fault in found.proof.faults)


def _duplicates(directory: Path) -> bool:
    with World.at(directory) as world:
        keys = Counter(line.key for line in [*world.north.ledger(), *world.south.ledger()])
    return any(times > 1 for times in keys.values())
