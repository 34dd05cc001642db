"""What the tests of the command line share: the command, a journal at rest, and an engine in another process."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, cast

import pytest
from typer.testing import CliRunner

from saga import SagaState
from saga.cli._app import application
from saga.embedded import Journal
from tests.cli import _bank

SETTINGS = ("SAGA_DATABASE", "SAGA_TRACEBACK", "NO_COLOR", "FORCE_COLOR", "COLUMNS")


class Ended(NamedTuple):
    """How a command ended, and what it printed where."""

    code: int
    out: str
    err: str


Command: TypeAlias = Callable[..., Ended]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests has settings of their own."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def saga() -> Command:
    """Runs the command in this process: `saga("show", id, database=url, input=..., env=...)`."""

    def run(*arguments: str, database: str = "", **options: Any) -> Ended:  # what `invoke` takes
        named = ("--database", database) if database else ()
        ended = CliRunner().invoke(application(), [*arguments, *named], **options)
        if ended.exception is not None and not isinstance(ended.exception, SystemExit):
            raise ended.exception
        return Ended(ended.exit_code, ended.stdout, ended.stderr)

    return run


def shown(value: object) -> str:
    """Name a test by the beginning of its command line, not by what it expects."""
    if not isinstance(value, tuple):
        return ""
    words = cast("tuple[str, ...]", value)
    return " ".join(word for word in words if word not in {"--by", "me", "--why", "because"})[:40]


def at_rest(journal: Journal, id: str) -> bool:
    """Tell whether nothing will happen to an instance by itself."""
    view = journal.view(id)
    waits = any(one.due is not None and one.answer is None for one in view.decisions)
    return view.state.ended or view.state is SagaState.STUCK or waits


def wait_until_at_rest(url: str) -> None:
    """Return once every transfer has ended, is STUCK, or waits for a decision."""
    with Journal.open(url) as journal:
        while not all(at_rest(journal, one) for one in _bank.TRANSFERS):
            time.sleep(0.02)


@contextmanager
def driving(url: str, folder: Path) -> Generator[None]:
    """Drive the journal in another process; leaving the block closes the engine there."""
    command = (sys.executable, "-W", "error", "-m", "tests.cli._bank", url, str(folder))
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "started\n"
            yield
        finally:
            process.communicate(timeout=30)
    assert process.returncode == 0


def filled(folder: Path) -> str:
    """Make a journal of all transfers, frozen account included, and let go of it."""
    url = f"sqlite:///{folder / 'journal.db'}"
    (folder / "frozen").touch()
    with driving(url, folder):
        wait_until_at_rest(url)
    return url


@pytest.fixture(scope="session")
def journal(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a journal that no engine drives; for tests that only read."""
    return filled(tmp_path_factory.mktemp("journal"))
