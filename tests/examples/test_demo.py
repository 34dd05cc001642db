"""The demo's chapters end as they say, and its exit code tells whether the proof holds."""

import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias

import pytest

from examples.money_transfer import chapters, demo
from examples.money_transfer.bank import AccountState, Bank
from examples.money_transfer.batch import News, run_batch
from examples.money_transfer.chapters import CLOSED, SOURCE, TARGET, Stage
from examples.money_transfer.models import Debit, Posting, Transfer
from examples.money_transfer.proof import prove
from examples.money_transfer.transfers import Order
from saga import SagaHandle, SagaState, SagaView
from saga.kernel import CallState

ROOT = Path(__file__).parents[2]

Chapter: TypeAlias = Callable[[Stage], Awaitable[list[SagaView]]]


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
    assert databases == dict.fromkeys(("journal.db", "north.db", "south.db", "mail.db", "run.db"), "0o600")


@pytest.mark.parametrize("transfers", [0, -5, 1_000_001])
def test_demo_refuses_a_number_that_cannot_be(transfers: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A number of transfers that cannot be is said to be none, before anything is made."""
    assert demo.main(transfers=transfers, kill=False, as_json=False, directory=None) == 2
    assert "give 1 or more, at most 1,000,000" in capsys.readouterr().err


async def quick(stage: Stage) -> list[SagaView]:
    """Nothing happens."""
    return []


async def interrupting(stage: Stage) -> list[SagaView]:
    """Somebody presses Ctrl-C."""
    raise KeyboardInterrupt


def interrupted_in(chapter: Chapter, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make a run of three transfers that ends in a chapter."""
    monkeypatch.setattr(demo, "CHAPTERS", (quick, chapter))
    assert demo.main(transfers=3, kill=False, as_json=False, directory=str(folder)) == 130
    monkeypatch.setattr(demo, "CHAPTERS", (quick, quick))


def test_an_interrupted_demo_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C ends with 130 and the command that goes on; that tells no chapter twice and keeps its own number."""
    folder = tmp_path / "a b"
    interrupted_in(interrupting, monkeypatch, folder)
    told = capsys.readouterr()
    assert told.err == f"interrupted; nothing is lost. It goes on with: saga demo --directory '{folder}'\n"
    assert demo.main(transfers=200, kill=False, as_json=False, directory=str(folder)) == 0
    story = capsys.readouterr().out
    assert "A run of 3 rows was interrupted here; it goes on." in story
    assert story.count("It was told before the interruption.") == 1
    assert "3 rows = 3 carried out" in story


def test_a_folder_takes_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that came to its end stays as it is, and where it lies is said."""
    monkeypatch.setattr(demo, "CHAPTERS", ())
    assert demo.main(transfers=1, kill=False, as_json=False, directory=str(tmp_path)) == 0
    before = (tmp_path / "journal.db").read_bytes()
    capsys.readouterr()
    assert demo.main(transfers=1, kill=False, as_json=True, directory=str(tmp_path)) == 2
    told = json.loads(capsys.readouterr().err)["error"]
    assert told["exit_code"] == 2
    assert (
        f"holds a run that came to its end; look at it with saga list --database sqlite:///{tmp_path}/"
        in told["message"]
    )
    assert (tmp_path / "journal.db").read_bytes() == before


@pytest.mark.parametrize("moment", ["decided", "refunded"])
async def test_an_interrupted_chapter_can_be_told_again(
    stage: Stage, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever an interrupted run did already for the last chapter, the clerk refunds once."""

    class Interrupted(Exception):
        pass

    def interrupt(*_: object, **__: object) -> None:
        raise Interrupted

    with monkeypatch.context() as patched:
        if moment == "decided":
            patched.setattr(stage.world.north.__class__, "post_by_hand", interrupt)
        else:
            patched.setattr(SagaHandle, "skip", interrupt)
        with pytest.raises(Interrupted):
            await chapters.stuck(stage)
    (view,) = await chapters.stuck(stage)
    assert view.state is SagaState.COMPENSATED
    assert [view.state for view in await chapters.stuck(stage)] == [SagaState.COMPENSATED]
    async with stage.world.engine() as engine:
        assert (await prove(stage.world, engine)).holds


def test_demo_without_its_server_says_so(tmp_path: Path) -> None:
    """Nothing is tried, and the command that starts one is told; nothing but the error is printed."""
    done = run_demo("--engine", "temporal", "--address", "127.0.0.1:1", "--json", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    told = json.loads(done.stderr)["error"]["message"]
    assert told == (
        "no Temporal server answers at 127.0.0.1:1; give its --address, or start one: temporal server start-dev"
    )
    lone = run_demo("--address", "127.0.0.1:1", cwd=tmp_path)
    assert (lone.returncode, "--address is for --engine temporal" in lone.stderr) == (2, True)


def test_an_interrupted_demo_on_a_server_says_how_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command names the engine and the server again."""
    monkeypatch.setattr(demo, "CHAPTERS", (interrupting,))
    monkeypatch.setattr(demo, "prepare", lambda: None)  # it belongs to the whole process
    assert (
        demo.main(transfers=3, kill=False, as_json=False, directory=str(tmp_path / "new"), server="127.0.0.1:7233")
        == 130
    )
    again = "python -m examples.money_transfer --engine temporal --address 127.0.0.1:7233"
    assert f"It goes on with: {again} --directory {tmp_path / 'new'}\n" in capsys.readouterr().err


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
