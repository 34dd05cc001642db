"""The demo's chapters end as they say, and its exit code tells whether the proof holds."""

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from examples.money_transfer import chapters, demo
from examples.money_transfer.bank import AccountState, Bank
from examples.money_transfer.batch import News, run_batch
from examples.money_transfer.chapters import CLOSED, SOURCE, TARGET, Stage
from examples.money_transfer.models import Debit, Posting, Transfer
from examples.money_transfer.proof import prove
from examples.money_transfer.transfers import Order
from saga import SagaState, SagaView
from saga.kernel import CallState

ROOT = Path(__file__).parents[2]


async def test_chapter_happy_path(stage: Stage) -> None:
    """It completes, and starting it again moves nothing."""
    (view,) = await chapters.happy_path(stage)
    assert view.state is SagaState.COMPLETED
    assert len(stage.world.north.ledger()) == 1


async def test_chapter_in_doubt(stage: Stage) -> None:
    """Once the probe finds the credit and the transfer completes; once it finds none and refunds."""
    arrived, lost = await chapters.in_doubt(stage)
    assert (arrived.state, lost.state) == (SagaState.COMPLETED, SagaState.COMPENSATED)
    for view in (arrived, lost):
        calls = {call.name: call for call in view.calls}
        assert calls["credit.1"].attempts == 3
        assert calls["credit.1/probe"].state is CallState.DONE


async def test_chapter_killed(stage: Stage) -> None:
    """Each debit was asked for twice and made once."""
    views = await chapters.killed(stage)
    assert {view.state for view in views} == {SagaState.COMPLETED}
    debits = [call for view in views for call in view.calls if call.name == "debit.1"]
    assert {call.attempts for call in debits} == {2}
    assert len(stage.world.north.ledger()) == len(views)


async def test_batch_does_not_wait_for_an_operator(stage: Stage) -> None:
    """A transfer that is STUCK is told like an end, so the proof can fail instead of never coming."""

    class FreezesAtOnce(Bank):
        def debit(self, debit: Debit) -> Posting:
            posting = super().debit(debit)
            self.set_state(debit.account, AccountState.FROZEN)
            return posting

    told: list[News] = []
    wanted = Transfer(source=SOURCE, target=CLOSED, amount=Decimal(5), owner="bakery.1@example.org")
    bank = FreezesAtOnce(stage.directory / "north.db")
    async with stage.world.engine(source_bank=bank) as engine:
        await run_batch(engine, [Order(line=2, id="T-0001", transfer=wanted)], told.append)
        assert "T-0001 is STUCK" in (await prove(stage.world, engine)).faults
    bank.close()
    assert told[-1] == News(id="T-0001", what="ended", text="STUCK")


async def test_chapter_stuck(stage: Stage) -> None:
    """The refund is refused, a clerk makes it, the act is in the journal, and the account stays frozen."""
    (view,) = await chapters.stuck(stage)
    assert view.state is SagaState.COMPENSATED
    assert [(act.act, act.by) for act in view.acts] == [("decide", "demo"), ("skip", "demo")]
    async with stage.world.engine() as engine:
        assert (await prove(stage.world, engine)).holds


def run_demo(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run it as a program of its own, far from the checkout, under the name that the wheel gives it."""
    return subprocess.run(
        [sys.executable, "-m", "saga._examples.money_transfer", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


@pytest.mark.slow
def test_demo_kills_resumes_and_proves(tmp_path: Path) -> None:
    """One JSON document: every row accounted for, workers killed, calls repeated, and the proof holds."""
    folder = tmp_path / "kept"
    done = run_demo("--transfers", "60", "--kill", "--json", "--directory", str(folder), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert report["holds"]
    assert report["accepted"] + len(report["refused"]) == report["rows"] == 60
    assert sum(report["states"].values()) == report["accepted"]
    assert report["kills"] >= 2
    assert report["proof"]["repeated"] >= 8
    assert report["proof"]["before"] == report["proof"]["after"]
    databases = {path.name: oct(path.stat().st_mode & 0o777) for path in folder.glob("*.db")}
    assert databases == dict.fromkeys(("journal.db", "north.db", "south.db", "mail.db"), "0o600")


def test_demo_refuses_a_folder_that_was_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another run's journal is left alone."""
    (tmp_path / "journal.db").touch()
    assert demo.main(transfers=1, kill=False, as_json=False, directory=str(tmp_path)) == 2
    assert "holds the journal of another run" in " ".join(capsys.readouterr().err.split())
    assert [path.name for path in tmp_path.iterdir()] == ["journal.db"]


@pytest.mark.parametrize("transfers", [0, -5])
def test_demo_refuses_no_transfers(transfers: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A number that cannot be is said to be none."""
    assert demo.main(transfers=transfers, kill=False, as_json=False, directory=None) == 2
    assert "give 1 or more" in capsys.readouterr().err


def test_demo_tells_the_story_and_fails_when_the_proof_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bank that posts out of nowhere is shown in words, and by the exit code."""

    async def lavish(stage: Stage) -> list[SagaView]:
        """A bank gives money away."""
        stage.world.south.set_state(TARGET, AccountState.FROZEN)
        stage.world.south.post_by_hand(TARGET, Decimal("5.00"), key="gift")
        return []

    monkeypatch.setattr(demo, "CHAPTERS", (lavish,))
    assert demo.main(transfers=3, kill=False, as_json=False, directory=str(tmp_path / "new")) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "1. A bank gives money away." in told
    assert "3 rows = 3 carried out" in told
    assert "gift belongs to no transfer" in told
    assert "The proof fails" in told
