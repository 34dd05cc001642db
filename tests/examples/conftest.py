"""Two banks with money in them, for each test anew."""

from collections.abc import Generator
from pathlib import Path

import pytest
from rich.console import Console

from examples.money_transfer.chapters import Stage
from examples.money_transfer.world import World


@pytest.fixture
def world(tmp_path: Path) -> Generator[World]:
    """The banks, the mail sender and the journal."""
    with World.at(tmp_path) as found:
        found.open_accounts()
        yield found


@pytest.fixture
def stage(world: World, tmp_path: Path) -> Stage:
    """Where chapters play, with nobody watching."""
    return Stage(tmp_path, world, Console(quiet=True))
