"""The first program of README, as a stranger copies it into a file and runs it."""

import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
FIRST_LINE_OF_CODE_BY = 30


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the program in it."""
    (tmp_path / "transfers.py").write_text(README.split("```python\n")[1].split("```")[0], encoding="utf-8")
    return tmp_path


def run(*arguments: str, folder: Path) -> str:
    """Run Python in a folder, and return what it prints."""
    command = [sys.executable, "-W", "error", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=60).stdout


def test_the_program_prints_what_readme_says(folder: Path) -> None:
    """Both runs, and then the two commands about them."""
    printed = README.split("```console\n")[1].split("```")[0]
    told = "".join(f"$ python transfers.py\n{run('transfers.py', folder=folder)}" for _ in range(2))
    assert told == printed
    shown = run("-m", "saga.cli", "show", "transfer-42", "--database", "sqlite:///transfers.db", folder=folder)
    assert "COMPLETED" in shown
    assert "MoneyTransfer can run" in run("-m", "saga.cli", "check", "transfers", folder=folder)


def test_code_comes_early() -> None:
    """A reader sees what it is like before they scroll."""
    assert README[: README.index("```python")].count("\n") < FIRST_LINE_OF_CODE_BY


def test_every_link_leads_somewhere() -> None:
    """Pages that README sends to are there."""
    links = [part.partition(")")[0] for part in README.split("](")[1:]]
    root = Path(__file__).parents[2]
    assert [link for link in links if "//" not in link and not (root / link).exists()] == []
