"""A flush takes only so much: what waits for it is not kept waiting by what is large."""

from __future__ import annotations

import asyncio

import pytest

from saga.embedded import _writer
from saga.embedded._append import Appender, Batch
from saga.embedded._writer import MOST_BYTES, MOST_FACTS
from tests.embedded.store.conftest import Pens
from tests.embedded.store.journals import Gate, first, more


def large(id: str, seq: int, size: int) -> Batch:
    """Return a batch of one large fact."""
    return Batch(id, 1, seq, [("{}", "x" * size)])


async def test_large_payloads_are_spread_over_flushes(pens: Pens, monkeypatch: pytest.MonkeyPatch) -> None:
    """By their bytes, however few facts they are; a batch is never torn apart."""
    sizes: list[list[int]] = []
    append = Appender.append

    def noted(self: Appender, batches: list[Batch]) -> None:
        sizes.append([sum(len(payload or "") for _, payload in batch.facts) for batch in batches])
        append(self, batches)

    monkeypatch.setattr(Appender, "append", noted)
    monkeypatch.setattr(_writer, "MOST_BYTES", 10_000)
    gate = Gate()
    pen = pens(seam=gate)
    await pen.write(first("a"))
    gate.shut()
    filler = pen.submitted(first("filler"))
    await gate.occupied()
    sizes.clear()
    said = [pen.submitted(large("a", 2 + number, 4_000)) for number in range(7)]
    gate.open()
    assert await asyncio.gather(filler, *said) == [None] * 8
    assert sizes[-3:] == [[4_000] * 3, [4_000] * 3, [4_000]]


async def test_what_one_flush_takes_is_bounded(pens: Pens) -> None:
    """A batch above the bound goes alone, and is written."""
    pen = pens()
    await pen.write(first("a"))
    await pen.write(large("a", 2, MOST_BYTES + 1), more("a", 3))
    assert [seq for seq, _, _ in pen.store.load("a")] == [0, 1, 2, 3]
    assert (MOST_BYTES, MOST_FACTS) == (4 * 1024 * 1024, 1024)
