"""A former owner that was paused, by a collector, a stop or a slow disk, and goes on as if nothing had happened."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from saga import EmbeddedEngine, SagaCompensatedError, SagaState
from saga.embedded._append import DuplicateInstanceError
from saga.errors import OwnershipLostError
from saga.kernel import definition_of
from tests.embedded._shop import Booking, Journey, Shop, handle_of
from tests.embedded.conftest import MakeEngine

CHILD = "j-1~booking.1"


class SlowLook:
    """Lets one engine wait whenever it looks for one instance, as on a slow disk."""

    def __init__(self, engine: EmbeddedEngine, id: str) -> None:
        assert engine._open is not None
        self.stage = engine._open.stage
        self.looked = threading.Event()
        self._go = threading.Event()
        self._get = self.stage.store.get
        self._id = id
        self.stage.store.get = self._slow  # type: ignore[method-assign]

    def _slow(self, id: str) -> Any:
        if id != self._id:
            return self._get(id)
        found = self._get(id)
        self.looked.set()
        assert self._go.wait(20)
        return found

    async def has_looked(self) -> None:
        """Wait until it looks."""
        assert await asyncio.to_thread(self.looked.wait, 20)

    def go(self) -> None:
        """Let it go on."""
        self._go.set()


async def believed_dead(engine: EmbeddedEngine) -> None:
    """Let the others believe that an engine lives no more, which it does not notice."""
    assert engine._open is not None
    opened = engine._open
    with opened.store._database.engine.begin() as connection:
        statement = text("UPDATE saga_owners SET beat_at = 0 WHERE owner = :owner")
        connection.execute(statement, {"owner": opened._ownership.owner})


async def compensated_by_another(former: EmbeddedEngine, other: EmbeddedEngine) -> SlowLook:
    """Let `other` take a journey over and compensate it while `former` is about to start the child of it."""
    paused = SlowLook(former, CHILD)
    await former.start(Journey, 1, id="j-1")
    await paused.has_looked()
    await believed_dead(former)
    looking = SlowLook(other, CHILD)
    assert other._open is not None
    assert await other._open._tending.claim() == 1
    await looking.has_looked()
    handle = handle_of(other, Journey, "j-1")
    await handle.cancel(by="anna")
    looking.go()
    with pytest.raises(SagaCompensatedError, match="cancelled"):
        await handle.result()
    return paused


@pytest.mark.peer("NEW-05", "DBO-31")
async def test_a_child_never_starts_after_its_parent_was_compensated(make_engine: MakeEngine, shop: Shop) -> None:
    """The former owner looked for the child before it was paused, and starts it after the parent has ended (S16)."""
    async with make_engine() as former, make_engine() as other:
        paused = await compensated_by_another(former, other)
        drive = paused.stage.drives["j-1"]
        paused.go()
        await asyncio.wait({drive.task}, timeout=20)  # type: ignore[type-var]
        assert isinstance(drive.error, OwnershipLostError)
        child = await (await other.get(Booking, CHILD)).view()
    assert child.state is SagaState.COMPENSATED
    assert shop.deliveries == []


async def test_a_child_that_was_not_started_is_suspended(make_engine: MakeEngine) -> None:
    """Its id is taken, durably, by an instance that has ended: whoever starts it later is refused."""
    async with make_engine() as former, make_engine() as other:
        paused = await compensated_by_another(former, other)
        late = paused.stage.launch(definition_of(Booking), CHILD, "1")
        await late.start()
        assert isinstance(late.error, DuplicateInstanceError)
        paused.go()


async def test_a_suspended_child_is_an_instance_like_any_other(make_engine: MakeEngine) -> None:
    """It is listed, shown with what became of it, and purged with its parent."""
    async with make_engine() as former, make_engine() as other:
        (await compensated_by_another(former, other)).go()
        listed = {one.id: (one.state, one.parent) async for one in other.list()}
        view = await (await other.get(Booking, CHILD)).view()
        with pytest.raises(SagaCompensatedError, match="parent"):
            await (await other.get(Booking, CHILD)).result()
        await asyncio.sleep(0.01)  # it ended earlier than now
        purged = await other.purge(older_than=timedelta(0))
    assert listed == {"j-1": (SagaState.COMPENSATED, None), CHILD: (SagaState.COMPENSATED, "j-1")}
    assert (view.calls, view.reason, [act.by for act in view.acts]) == ((), "cancelled", ["j-1"])
    assert purged.instances == 2
