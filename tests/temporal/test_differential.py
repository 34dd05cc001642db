"""Both engines come to the same: fact by fact, answer by answer, effect by effect."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.client import Client

from saga.temporal import history_of
from tests.temporal._differential import Told, all_told, embedded, temporal
from tests.temporal._scenarios import SCENARIOS
from tests.temporal._shop import World

pytestmark = pytest.mark.timeout(180)


async def run_all(address: str, folder: Path, names: list[str]) -> dict[str, list[Told | str]]:
    """Runs scenarios on both engines, all of them at the same time."""
    for engine in ("embedded", "temporal"):
        (folder / engine).mkdir()
    client, queue, scenarios = await Client.connect(address), uuid4().hex[:8], [SCENARIOS[name] for name in names]
    ours: dict[str, World] = {}
    theirs: dict[str, World] = {}
    async with (
        embedded(folder / "embedded", ours) as one,
        temporal(client, queue, folder / "temporal", theirs) as other,
    ):
        ends = await asyncio.gather(
            all_told(one, scenarios, queue, ours),
            all_told(other, scenarios, queue, theirs, partial(history_of, client)),
        )
    return {name: list(each) for name, *each in zip(names, *ends, strict=True)}


@pytest.fixture(scope="module")
def both(
    temporal_address: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> dict[str, list[Told | str]]:
    """What every scenario that was asked for came to, on the embedded engine and on Temporal."""
    asked = [
        str(item.callspec.params["name"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == request.path and hasattr(item, "callspec")
    ]
    return asyncio.run(run_all(temporal_address, tmp_path_factory.mktemp("both"), list(dict.fromkeys(asked))))


@pytest.mark.parametrize("name", SCENARIOS)
def test_both_engines_do_the_same(both: dict[str, list[Told | str]], name: str) -> None:
    """The same facts in the same order, the same end, the same deliveries and effects; and the end that it should be."""
    scenario, (ours, theirs) = SCENARIOS[name], both[name]
    assert isinstance(ours, Told), ours
    assert isinstance(theirs, Told), theirs
    assert [str(fact) for fact in theirs.facts] == [str(fact) for fact in ours.facts]
    assert theirs == ours
    assert ours.facts[-1]["fact"] == scenario.ends
    assert scenario.net in {None, ours.net}


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_history_alone_tells_the_journal(both: dict[str, list[Told | str]], name: str) -> None:
    """Whoever has no worker reads the same facts from the history on the server."""
    theirs = both[name][1]
    assert isinstance(theirs, Told), theirs
    assert theirs.history == theirs.facts
