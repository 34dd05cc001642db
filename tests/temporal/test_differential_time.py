"""Hours pass, on a server whose time skips: deadlines, decisions, naps and settle times are durable timers."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.client import Client

from tests.temporal._differential import Scenario, Told, all_told, temporal
from tests.temporal._plans import SAGAS, Wish
from tests.temporal._shop import Fault, World

HOUR = 3600.0


LONG: dict[str, tuple[Scenario, list[str], float]] = {
    "a nap of three hours": (Scenario("patient", "SagaCompleted", wish=Wish(nap=3 * HOUR)), ["timer.1"], 3 * HOUR),
    "a nap past the deadline": (
        Scenario("patient", "SagaCompensated", wish=Wish(nap=9 * HOUR), net=0), ["deadline"], 4 * HOUR,
    ),
    "a decision that nobody makes": (
        Scenario("patient", "SagaCompensated", wish=Wish(review="review"), net=0), ["review.1"], HOUR,
    ),
    "an hour to settle": (
        Scenario("patient", "SagaCompensated", {"a.1": [Fault.SILENT]}, net=0), ["a.1/settle"], HOUR,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LONG)
async def test_hours_pass(temporal_time_skipping_address: str, tmp_path: Path, name: str) -> None:
    """The timer that has to fire does, not before its time, and what it starts comes to its end."""
    scenario, timers, seconds = LONG[name]
    client, queue = await Client.connect(temporal_time_skipping_address), uuid4().hex[:8]
    worlds: dict[str, World] = {}
    async with temporal(client, queue, tmp_path, worlds) as engine:
        [told] = await all_told(engine, [scenario], queue, worlds)
        assert isinstance(told, Told), told
        view = await (await engine.get(SAGAS["patient"], f"{queue}-0")).view()
    assert told.facts[-1]["fact"] == scenario.ends
    assert [one["timer"] for one in told.facts if one["fact"] == "TimerFired"] == timers
    assert view.since - view.started_at >= timedelta(seconds=seconds)
    assert scenario.net in {None, told.net}
