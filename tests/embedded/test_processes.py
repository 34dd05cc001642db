"""Several real processes on one journal: the work is shared, taken over, and a former owner is fenced."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from saga import EmbeddedEngine, SagaState, SagaStuckError
from saga.kernel import Fact
from saga.kernel import _facts as f
from tests.embedded._process import Filed, Files, effects, preload, process

LEASE = timedelta(seconds=0.6)


@pytest.fixture(autouse=True)
def _preloaded() -> None:
    preload()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where the processes write down what they do."""
    made = tmp_path / "files"
    made.mkdir()
    yield made
    (made / "hold").unlink(missing_ok=True)


def journals(url: str, folder: Path) -> dict[str, list[Fact]]:
    """All journals, read after the processes are done."""

    async def read() -> dict[str, list[Fact]]:
        engine = EmbeddedEngine(url, sagas=[], participants={"files": Files(folder)})
        async with engine:
            return {
                one.id: [fact async for fact in (await engine.get(Filed, one.id)).facts()]
                async for one in engine.list(states=[SagaState.COMPLETED, SagaState.COMPENSATED])
            }

    return asyncio.run(read())


def until_effect(folder: Path, key: str) -> None:
    """Wait until an activity has begun."""
    latest = time.monotonic() + 20
    while key not in [one for one, _ in effects(folder)]:
        assert time.monotonic() < latest, f"{key} has not begun"
        time.sleep(0.01)


@pytest.mark.peer("NEW-05", "PSO-32")
def test_two_processes_share_the_work(journal_url: str, folder: Path) -> None:
    """Each drives what it started, no instance is driven by both, and both return the same results."""
    with process(journal_url, folder) as one, process(journal_url, folder) as other:
        for number in range(20):
            (one if number % 2 else other).ask("run", f"s-{number}", 2)
        for number in range(20):
            assert (one if number % 2 else other).answer() == [0, 1]
        one.ask("run", "s-0", 2)
        assert one.answer() == [0, 1]
    by = {key.partition("/")[0]: set() for key, _ in effects(folder)}  # type: ignore[var-annotated]
    for key, pid in effects(folder):
        by[key.partition("/")[0]].add(pid)
    assert all(len(pids) == 1 for pids in by.values())
    assert len(effects(folder)) == 40
    assert not [
        fact for facts in journals(journal_url, folder).values() for fact in facts if isinstance(fact, f.Resumed)
    ]


@pytest.mark.peer("DBO-30", "RST-10", "DTM-50", "PSO-30", "NEW-05")
def test_a_killed_process_is_taken_over(journal_url: str, folder: Path) -> None:
    """At once on the same machine; recorded steps are not performed again, the one in flight is."""
    (folder / "hold").touch()
    with ExitStack() as running:
        one = running.enter_context(process(journal_url, folder))
        other = running.enter_context(process(journal_url, folder, lease=LEASE))
        one.ask("start", "s-1", 1)
        assert one.answer() == "s-1"
        until_effect(folder, "s-1/book.1")
        one.signal(signal.SIGKILL)
        assert one.wait() == -signal.SIGKILL
        (folder / "hold").unlink()
        other.ask("run", "s-1", 1)
        assert other.answer() == [0]
        pids = [one.pid, other.pid]
    assert effects(folder) == [("s-1/book.1", pids[0]), ("s-1/book.1", pids[1])]
    facts = journals(journal_url, folder)["s-1"]
    [resumed] = [fact for fact in facts if isinstance(fact, f.Resumed)]
    assert (resumed.epoch, resumed.crashed) == (2, True)


@pytest.mark.peer("NEW-05", "NEW-06", "PSO-30", "DBO-31")
def test_an_owner_that_slept_past_its_lease_is_fenced(journal_url: str, folder: Path) -> None:
    """What it does when it wakes is neither written nor acknowledged; its callers hear what the new owner did."""
    (folder / "hold").touch()
    with ExitStack() as running:
        one = running.enter_context(process(journal_url, folder, lease=LEASE))
        other = running.enter_context(process(journal_url, folder, lease=LEASE))
        one.ask("run", "s-1", 2)
        until_effect(folder, "s-1/book.1")
        one.signal(signal.SIGSTOP)
        time.sleep(2 * LEASE.total_seconds())
        latest = time.monotonic() + 20
        while effects(folder)[-1][1] != other.pid:  # it has taken over, and holds too
            assert time.monotonic() < latest
            time.sleep(0.02)
        (folder / "hold").unlink()
        other.ask("run", "s-1", 2)
        assert other.answer() == [0, 1]
        (folder / "hold").touch()  # what the first one still performs must not matter
        one.signal(signal.SIGCONT)
        assert one.answer() == [0, 1]
        (folder / "hold").unlink()
        one.ask("run", "s-2", 1)
        assert one.answer() == [0]
        one.ask("leave")
        assert one.wait() == 0
        pids = one.pid, other.pid
    assert [entry for entry in effects(folder) if entry[0].startswith("s-1")] == [
        ("s-1/book.1", pids[0]),
        ("s-1/book.1", pids[1]),
        ("s-1/book.2", pids[1]),
    ]
    facts = journals(journal_url, folder)["s-1"]
    assert [fact.fact for fact in facts] == [
        *("SagaStarted", "CallRegistered", "Resumed", "CallDone", "CallRegistered", "CallDone", "SagaCompleted")
    ]


def test_a_former_owner_whose_activity_ends_first_is_refused(journal_url: str, folder: Path) -> None:
    """It wakes, its activity has ended, and its flush meets the new epoch."""
    (folder / "hold").touch()
    with ExitStack() as running:
        one = running.enter_context(process(journal_url, folder, lease=LEASE))
        other = running.enter_context(process(journal_url, folder, lease=LEASE))
        one.ask("run", "s-1", 1)
        until_effect(folder, "s-1/book.1")
        one.signal(signal.SIGSTOP)
        latest = time.monotonic() + 20
        while effects(folder)[-1][1] != other.pid:
            assert time.monotonic() < latest
            time.sleep(0.02)
        other.signal(signal.SIGSTOP)  # within its lease: it stays the owner
        (folder / "hold").unlink()
        one.signal(signal.SIGCONT)
        assert one.silent(0.3)  # it has nothing to acknowledge
        other.signal(signal.SIGCONT)
        assert one.answer() == [0]
        logged = (folder / f"log-{one.pid}").read_text()
        assert "another process took an instance over" in logged
    [facts] = journals(journal_url, folder).values()
    assert [fact.fact for fact in facts].count("CallDone") == 1


def test_acts_reach_the_process_that_drives(journal_url: str, folder: Path) -> None:
    """A cancel in one process, a caller who waits in the other."""
    (folder / "hold").touch()
    with process(journal_url, folder) as one, process(journal_url, folder) as other:
        one.ask("run", "s-1", 1)
        until_effect(folder, "s-1/book.1")
        other.ask("cancel", "s-1")
        assert other.answer() == "cancelled"
        assert one.answer().startswith("SagaCompensatedError: Filed s-1 was compensated (cancelled)")
    facts = journals(journal_url, folder)["s-1"]
    assert [fact.by for fact in facts if isinstance(fact, f.CancelRequested)] == ["the other process"]


@pytest.mark.peer("DBO-33")
def test_an_instance_that_keeps_killing_its_process_is_put_aside(tmp_path: Path, folder: Path) -> None:
    """After ten crashes in a row it is STUCK; other instances were driven all along, and a retry goes on."""
    url = f"sqlite:///{tmp_path}/journal.db"
    (folder / "crash").touch()
    with process(url, folder) as first:
        first.ask("start", "poison", 1)
        first.wait()
    for _ in range(9):
        with process_that_crashes(url, folder) as one:
            assert one == 9
    (folder / "crash").unlink()

    async def look() -> None:
        async with EmbeddedEngine(url, sagas=[Filed], participants={"files": Files(folder)}) as engine:
            handle = await engine.get(Filed, "poison")
            with pytest.raises(SagaStuckError, match="owners keep ending before it progresses"):
                await handle.result()
            assert [key for key, _ in effects(folder)] == ["poison/book.1"] * 10
            assert await engine.run(Filed, 2, id="healthy") == [0, 1]
            await handle.retry(by="olga", why="bought memory")
            assert await handle.result() == [0]

    asyncio.run(look())


def process_that_crashes(url: str, folder: Path):  # type: ignore[no-untyped-def]
    """Open an engine whose first instance ends its process; yields the exit code."""
    from contextlib import contextmanager  # noqa: PLC0415

    from tests.embedded._process import Process  # noqa: PLC0415

    @contextmanager
    def opened() -> Iterator[int | None]:
        one = Process(url, folder)
        try:
            yield one.wait()
        finally:
            one.end()

    return opened()


HANGING = """
import asyncio, sys, time
from datetime import timedelta
from saga import EmbeddedEngine, ReadOnly, Saga

def hang(seconds: int) -> int:
    print("hanging", flush=True)
    time.sleep(seconds)
    return seconds

class Hanging(Saga):
    hang = ReadOnly(hang)
    async def run(self, seconds: int) -> int:
        return await self.hang(seconds)

async def main() -> None:
    async with EmbeddedEngine(sys.argv[1], sagas=[Hanging], grace=timedelta(0)) as engine:
        await engine.start(Hanging, 3600, id="h-1")
        await asyncio.sleep(0.1)

asyncio.run(main())
print("closed", flush=True)
"""


def test_a_process_ends_although_an_activity_hangs_in_a_thread(tmp_path: Path) -> None:
    """The interpreter does not wait for the thread."""
    url = f"sqlite:///{tmp_path}/journal.db"
    done = subprocess.run([sys.executable, "-c", HANGING, url], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split() == ["hanging", "closed"]
