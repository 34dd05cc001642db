"""Both sides on a real Temporal server: they do the same, and the jobs measure what they say."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from temporalio.client import WorkflowFailureError

from benchmarks._cells import HAND_WRITTEN_16, OURS_TEMPORAL_16, Cell, Spec
from benchmarks._on_temporal import server_of, side
from benchmarks._parent import Child, ask_once
from benchmarks._sagas import declined_order_of, order_of
from saga import SagaCompensatedError

SIDES = pytest.mark.parametrize("cell", [OURS_TEMPORAL_16, HAND_WRITTEN_16], ids=["ours", "hand-written"])


def spec(address: str, kind: str, cell: Cell, count: int = 0, rounds: int = 0) -> Spec:
    """Return what a child on that server is told."""
    return Spec(kind, cell, f"temporal://{address}/{uuid4().hex}", payload_bytes=256, count=count, rounds=rounds)


@SIDES
async def test_both_sides_carry_the_payload_and_compensate_when_the_pivot_says_no(
    temporal_address: str, cell: Cell
) -> None:
    """Neither is fast because it does less: the history of the declined order has its compensation."""
    told, order = spec(temporal_address, "timed", cell), order_of(256)
    async with side(told) as opened:
        assert await opened.run(order, "done") == order
        declined = await opened.run(declined_order_of(256), "declined")
        assert isinstance(declined, (SagaCompensatedError, WorkflowFailureError))
        history = await opened.client.get_workflow_handle("declined").fetch_history()
    scheduled = [event.activity_task_scheduled_event_attributes.activity_type.name for event in history.events]
    assert [name.removeprefix("shop.") for name in scheduled if name] == ["reserve", "charge", "release"]


def test_a_saga_takes_as_many_events_as_a_hand_written_workflow(temporal_address: str) -> None:
    """P4: 6n + 5 for three steps; two steps and a compensation are three activities too."""
    answer = asyncio.run(ask_once(spec(temporal_address, "histories", OURS_TEMPORAL_16, count=3), 60.0))
    assert set(answer.values()) == {23.0}
    assert len(answer) == 4


def test_histories_are_replayed_in_turns_on_both_sides(temporal_address: str) -> None:
    """P15: each way once in every round, in the sandbox and without it; a replay that fails would raise."""
    answer = asyncio.run(ask_once(spec(temporal_address, "histories", OURS_TEMPORAL_16, count=3, rounds=2), 60.0))
    times = {name: value for name, value in answer.items() if isinstance(value, list)}
    ways = {f"{name}_replay_ms{kind}" for name in ("ours", "hand_written") for kind in ("", "_unsandboxed")}
    assert times.keys() == ways
    assert all(len(rounds) == 2 and min(rounds) > 0 for rounds in times.values())


@SIDES
def test_workflows_that_wait_are_weighed(temporal_address: str, cell: Cell) -> None:
    """M2: a cached workflow holds its objects, on either side."""
    assert asyncio.run(ask_once(spec(temporal_address, "traced", cell, count=5), 60.0))["kib_per_saga"] > 1


def test_one_child_serves_whatever_is_in_flight(temporal_address: str) -> None:
    """On a server each side is one worker, as many sagas as it may have in flight."""

    async def run() -> list[int]:
        child = await Child.start(spec(temporal_address, "timed", OURS_TEMPORAL_16))
        try:
            assert "Temporal server" in (await child.ready()).words
            return [(await child.round(number, 0.1, 0.0)).sagas for number in (1, 16)]
        finally:
            await child.end()

    alone, many = asyncio.run(run())
    assert alone >= 1
    assert many >= 12


def test_the_url_of_a_task_queue_names_server_and_queue() -> None:
    """It travels in the field that holds a database's URL elsewhere."""
    told = spec("127.0.0.1:7233", "timed", OURS_TEMPORAL_16)
    address, queue = server_of(told)
    assert address == "127.0.0.1:7233"
    assert told.url.endswith(f"/{queue}")
