"""Attempts in virtual time are made as an engine makes them."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from saga import ReadOnly, Retry, Saga
from saga.kernel import definition_of
from saga.testing._faults import Fault, FaultKind, Scenario
from saga.testing._run import Plan, simulate
from saga.testing._trace import EventKind

SECOND = timedelta(seconds=1)


def look(amount: int) -> int:
    return amount


class Beside(Saga):
    """Keeps asking while two other steps are made."""

    ask = ReadOnly(look, retry=Retry(attempts=None, first=SECOND, factor=2))
    wait = ReadOnly(look, timeout=timedelta(seconds=10))
    last = ReadOnly(look)

    async def run(self, amount: int) -> int:
        asking = asyncio.ensure_future(self.ask(amount))
        await self.wait(amount)
        await self.last(amount)
        return await asking


async def test_waiting_times_grow_over_owners() -> None:
    """The next owner goes on waiting where the one before it stopped, as the embedded engine does."""
    faults = (
        Fault("ask.1", FaultKind.FAILS_LONG),
        Fault("wait.1", FaultKind.SLOW),
        Fault("last.1", FaultKind.CRASH_BEFORE),
    )
    run = await simulate(Plan(definition_of(Beside), "3", dict, {}), Scenario(faults))
    began = [event.at for event in run.trace.of(EventKind.BEGAN) if event.target == "ask.1"]
    answered = [event.at for event in run.trace.of(EventKind.ANSWERED) if event.target == "ask.1"]
    crashed = next(run.trace.of(EventKind.CRASHED)).at
    waits = [after - before for before, after in zip(answered, began[1:], strict=False)]
    before = [wait for wait, answer in zip(waits, answered, strict=False) if answer + wait < crashed]
    assert before == [SECOND, 2 * SECOND, 4 * SECOND]
    assert waits[-1] > before[-1]
