"""Cancelling at every step of the event loop: the caller, and the saga itself; once and once more."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from saga import EmbeddedEngine, SagaCompensatedError, SagaState
from saga.errors import ActRefusedError, UnknownSagaError
from saga.kernel import Cancel
from tests.embedded._shop import Booking, Journey
from tests.embedded._steps import ENOUGH, Slow, engine_on, steps, told, undisturbed

pytestmark = pytest.mark.usefixtures("alike")
CANCEL = "CancelRequested"
STRIDE = 6
"""Of the second cancel, in steps; it begins elsewhere for each step of the first one."""


async def test_cancelling_the_caller_at_every_step_changes_nothing(saga: Any, slow: Slow, tmp_path: Path) -> None:
    """Once, or again a step later: the journal is that of a run that nobody cancelled."""
    async with engine_on(tmp_path, slow) as engine:
        count, facts = await undisturbed(engine, saga)
        for at in range(count):
            for again in (False, True):
                id = f"s-{at}-{again}"
                caller = asyncio.create_task(engine.run(saga, 2, id=id))
                await steps(at)
                caller.cancel()
                if again:
                    await steps(1)
                    caller.cancel()
                with pytest.raises((asyncio.CancelledError, SagaCompensatedError)):
                    await caller
                if at == 0:
                    continue  # it had not begun
                with pytest.raises(SagaCompensatedError):
                    await engine.run(saga, 2, id=id)
                assert await told(engine, saga, id) == facts
    assert slow.effects == {}
    assert slow.repeated == set()


@pytest.mark.peer("LRA-41", "TPY-10", "TPY-11")
async def test_cancelling_the_saga_at_every_step_compensates_it(saga: Any, slow: Slow, tmp_path: Path) -> None:
    """Every action is compensated once, in order, and the end is COMPENSATED; within a recovery it changes nothing."""
    within = 0
    async with engine_on(tmp_path, slow) as engine:
        count, facts = await undisturbed(engine, saga)
        for at in range(1, count):
            cancelled, _ = await _cancelled(engine, saga, slow, at)
            if CANCEL in cancelled and "RecoveryStarted pay.1" in cancelled[: cancelled.index(CANCEL)]:
                assert [one for one in cancelled if one != CANCEL] == facts
                within += 1
    assert within > 10, "too few steps to have met every await of a recovery"
    assert slow.effects == {}
    assert slow.repeated == set()


async def test_a_second_cancel_at_every_step_changes_nothing(saga: Any, slow: Slow, tmp_path: Path) -> None:
    """Wherever the first one came: parent and child do what they do without it."""
    pairs = 0
    async with engine_on(tmp_path, slow) as engine:
        count, _ = await undisturbed(engine, saga)
        for at in range(1, count):
            once, child = await _cancelled(engine, saga, slow, at)
            for again in range(1 + at % STRIDE, count, STRIDE):
                twice, same_child = await _cancelled(engine, saga, slow, at, again)
                if twice.count(CANCEL) < 2:
                    break  # it had ended
                last = len(twice) - twice[::-1].index(CANCEL) - 1
                assert twice[:last] + twice[last + 1 :] == once, (at, again)
                assert same_child == child, (at, again)
                pairs += 1
    assert pairs > count, "too few to have met every await of a recovery"
    assert slow.effects == {}
    assert slow.repeated == set()


async def _cancelled(
    engine: EmbeddedEngine, saga: Any, slow: Slow, at: int, again: int = 0
) -> tuple[list[str], list[str]]:
    """Run an instance that is cancelled at a step, and so many steps later again; return its facts and its child's."""
    id = f"s-{at}-{again}"
    running = asyncio.create_task(engine.run(saga, 2, id=id))
    await steps(at)
    asking = [asyncio.create_task(_ask(engine, id, "anna"))]
    if again:
        await steps(again)
        asking.append(asyncio.create_task(_ask(engine, id, "otto")))
    await asyncio.wait_for(asyncio.gather(*asking), ENOUGH)
    with pytest.raises(SagaCompensatedError):
        await asyncio.wait_for(running, ENOUGH)
    view = await (await engine.get(saga, id)).view()
    assert view.state is SagaState.COMPENSATED
    done = [key for key in slow.deliveries if key.startswith((f"{id}/", f"{id}~"))]
    compensated = [key.removesuffix("/compensation") for key in done if key.endswith("/compensation")]
    booked = [key for key in done if key.endswith(("book.1", "book.2")) and key in compensated]
    assert compensated == booked[::-1]
    child = view.calls[0].call if view.calls and saga is Journey else ""
    try:
        return await told(engine, saga, id), await told(engine, Booking, f"{id}~{child}")
    except UnknownSagaError:
        return await told(engine, saga, id), []


async def _ask(engine: EmbeddedEngine, id: str, by: str) -> None:
    """Ask the drive of an instance to cancel, if there is one."""
    with suppress(ActRefusedError):
        await engine._open.stage.journals.hand_over(id, Cancel(by=by))  # type: ignore[union-attr]
