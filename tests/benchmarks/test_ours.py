"""Our engine behind the harness: the counts that never flake, and the jobs on small numbers."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import BaseModel

from benchmarks._cells import OURS_1, OURS_64, Cell, Spec
from benchmarks._figures import STEPS
from benchmarks._parent import ROOT, Child, ask_once
from benchmarks._payload import Fields, payload
from benchmarks._sagas import Order, order_of

pytestmark = pytest.mark.timeout(60)


def spec(path: Path, kind: str, cell: Cell, count: int = 0, completed: int = 0) -> Spec:
    """Return what a child of our engine is told."""
    url = f"sqlite:///{path / 'ours.db'}"
    return Spec(kind, cell, url, payload_bytes=256, count=count, completed=completed)


def answer(told: Spec) -> dict[str, float]:
    """Run a job that has one answer."""
    return asyncio.run(ask_once(told, 30.0))


def test_a_saga_alone_takes_a_flush_per_step_and_one_more(tmp_path: Path) -> None:
    """P1: an intent is durable before its step, and the last outcome comes with the end.

    Now and then a heartbeat adds one for all sagas together.
    """
    counts = answer(spec(tmp_path, "counted", OURS_1, 50))
    assert counts["flushes_per_saga"] == pytest.approx(STEPS + 1, abs=0.05)
    assert counts["statements_per_saga"] <= 2 * (STEPS + 1)


def test_sagas_in_flight_share_flushes(tmp_path: Path) -> None:
    """P2: with activities of 0 to 5 ms, 64 sagas need a fraction of a flush each."""
    jittered = replace(spec(tmp_path, "counted", OURS_64, 500), jitter_ms=5.0)
    assert answer(jittered)["flushes_per_saga"] < (STEPS + 1) / 4


def test_a_timed_cell_of_ours_is_as_durable_as_the_bare_reference(tmp_path: Path) -> None:
    """Read back from its own connections: a write-ahead log, flushed at every commit."""

    async def run() -> tuple[str, int]:
        child = await Child.start(spec(tmp_path, "timed", OURS_64))
        try:
            return (await child.ready()).words, (await child.round(64, 1.0, 0.0)).sagas
        finally:
            await child.end()

    durability, sagas = asyncio.run(run())
    assert durability == "wal, synchronous=FULL"
    assert sagas > 0


def test_recovery_finds_every_open_saga_and_none_of_the_completed(tmp_path: Path) -> None:
    """The job refuses to answer if a read finds another number."""
    seconds = answer(spec(tmp_path, "recovery", OURS_64, count=70, completed=200))
    names = {"raw", "raw_bodies_only", "scan", "replay", "opened", "opened_beside_completed", "engine_opened"}
    assert seconds.keys() == names
    assert all(value > 0 for value in seconds.values())


def test_open_idle_sagas_are_weighed(tmp_path: Path) -> None:
    """An instance that waits is held in memory, so it weighs something."""
    assert answer(spec(tmp_path, "memory", OURS_64, count=300))["kib_per_saga"] > 0


def test_a_cold_start_ends_with_a_number(tmp_path: Path) -> None:
    """Whatever happens on the way out comes after it."""
    command = [sys.executable, "-m", "benchmarks._cold", "ours", f"sqlite:///{tmp_path / 'cold.db'}"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    assert float(ended.stdout) > 0


def test_our_request_is_the_peers_request() -> None:
    """Same fields, same bytes: a model here, a dictionary there."""
    order: BaseModel = order_of(256)
    assert order.model_dump() == payload(256)
    assert list(Order.model_fields) == list(Fields.__annotations__)
    assert len(order.model_dump_json()) == 256
