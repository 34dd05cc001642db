"""The expense report as a program: its script on both engines, its exit codes, and what it refuses."""

import dataclasses
import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from examples.expense_report import play
from examples.expense_report.faults import AnswersGetLost
from examples.expense_report.script import CASES
from saga import SagaState

ROOT = Path(__file__).parents[2]


def played(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the example as a program of its own, from another folder."""
    return subprocess.run(
        [sys.executable, "-m", "examples.expense_report", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_the_script_is_played_and_proven(tmp_path: Path) -> None:
    """One JSON document: every report ends as it has to, and the sums are right."""
    done = played("--json", "--directory", str(tmp_path / "new"), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert [one["state"] for one in told["reports"]] == [case.ends.value for case in CASES]
    assert (told["engine"], told["holds"], told["proof"]["faults"]) == ("embedded", True, [])
    assert told["proof"]["before"] == told["proof"]["after"]
    assert told["proof"]["paid"] == told["proof"]["spent"] == "2290.20"
    databases = {oct(path.stat().st_mode & 0o777) for path in (tmp_path / "new").glob("*.db")}
    assert databases == {"0o600"}


@pytest.mark.slow
def test_the_script_is_played_on_temporal(tmp_path: Path, temporal_address: str) -> None:
    """The same reports end alike, and the same sums are paid."""
    done = played("--json", "--engine", "temporal", "--address", temporal_address, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert [one["state"] for one in told["reports"]] == [case.ends.value for case in CASES]
    assert (told["engine"], told["holds"], told["proof"]["paid"]) == ("temporal", True, "2290.20")


def test_what_cannot_be_played_is_refused(tmp_path: Path) -> None:
    """A folder with something in it stays as it is; an address belongs to Temporal; a server has to be there."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "budget.db").write_text("mine")
    full = played("--directory", "mine", "--json", cwd=tmp_path)
    assert (full.returncode, json.loads(full.stderr)["error"]["exit_code"]) == (2, 2)
    assert (tmp_path / "mine" / "budget.db").read_text() == "mine"
    lone = played("--address", "127.0.0.1:1", cwd=tmp_path)
    assert (lone.returncode, "--address is for --engine temporal" in lone.stderr) == (2, True)
    absent = played("--engine", "temporal", "--address", "127.0.0.1:1", cwd=tmp_path)
    assert (absent.returncode, absent.stdout) == (2, "")
    assert absent.stderr == (
        "no Temporal server answers at 127.0.0.1:1; give its --address, or start one: temporal server start-dev\n"
    )


def test_it_fails_when_the_proof_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bank that posts out of nowhere is shown in words, and by the exit code."""

    class Lavish(AnswersGetLost):
        def total(self) -> Decimal:
            return super().total() + 1

    monkeypatch.setattr(play, "CASES", CASES[:1])
    monkeypatch.setattr(play, "AnswersGetLost", Lavish)
    assert play.main(as_json=False, directory=str(tmp_path / "new"), server=None) == 1
    told = capsys.readouterr().out
    assert "FAULT: 100281.62 EUR and 100282.62 EUR are held before and hold after" in told
    assert told.endswith("The proof fails.\n")


def test_an_ending_that_is_another_one_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sums may be right and the report all the same not what it has to be."""
    monkeypatch.setattr(play, "CASES", [dataclasses.replace(CASES[0], ends=SagaState.COMPENSATED)])
    assert play.main(as_json=False, directory=str(tmp_path / "new"), server=None) == 1
    assert "FAULT: taxi is COMPLETED" in capsys.readouterr().out
