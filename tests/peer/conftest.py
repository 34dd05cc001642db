"""An engine of its own for each test of a peer case: embedded on a file, or on Temporal in a namespace."""

from pathlib import Path

import pytest
from temporalio.client import Client

from tests.peer.shop import EmbeddedOpened, Opened, Shop, namespace, opener, temporal_opener


@pytest.fixture(params=["embedded", "temporal"])
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    """Opens an engine on this test's journal, whichever engine it is."""
    if request.param == "embedded":
        return opener(tmp_path)
    return temporal_opener(await namespace(request.getfixturevalue("temporal_address")))


@pytest.fixture
def embedded(tmp_path: Path) -> EmbeddedOpened:
    """Opens an embedded engine on this test's journal: for what only it does, or does in another way."""
    return opener(tmp_path)


@pytest.fixture
async def client(temporal_address: str) -> Client:
    """A client of a namespace that only this test uses."""
    return await namespace(temporal_address)


@pytest.fixture
def given() -> Shop:
    """A participant of this test's own."""
    return Shop()
