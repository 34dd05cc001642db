"""An engine on a file of its own for each test of a peer case."""

from pathlib import Path

import pytest

from tests.peer.shop import Opened, Shop, opener


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """Opens an engine on this test's journal."""
    return opener(tmp_path)


@pytest.fixture
def given() -> Shop:
    """A participant of this test's own."""
    return Shop()
