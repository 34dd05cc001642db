"""When an instance was found STUCK because of changed code, and where its journal says so (S3, S15)."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from saga import EmbeddedEngine, SagaCompensatedError, SagaState, SagaStuckError
from saga.embedded._clock import Clock
from saga.kernel import Reason
from saga.kernel import facts as f
from tests.embedded._shop import Booking, Purchase, Shop, hangs, until_delivered
from tests.embedded.conftest import MakeEngine

WHO: dict[str, Any] = {"by": "olga", "why": "deployed a fix"}
YEARS = timedelta(days=1000)


class Order(Purchase):
    """The code that is deployed first; it books and waits for the answer."""

    async def run(self, bookings: int) -> list[str]:
        return [await self.book(0), await self.book(1), await self.pay(0)]


def another_version(change: str) -> type:
    """The code that is deployed next."""

    class Changed(Purchase, name="Order"):
        async def run(self, bookings: int) -> list[str]:
            if change == "another input":
                await self.book(7)
            both = asyncio.gather(self.book(0), fails())
            return [*await both, await self.pay(0)]

    async def fails() -> str:
        raise KeyError("a bug in what runs beside")

    return Changed


@pytest.fixture
def years_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every engine that is made after the first believes to live years later than the one before."""
    made: list[Clock] = []
    now = Clock.now

    def later(clock: Clock) -> datetime:
        if clock not in made:
            made.append(clock)
        return now(clock) + YEARS * made.index(clock)

    monkeypatch.setattr(Clock, "now", later)


async def left_hanging(make_engine: MakeEngine, shop: Shop, call: str) -> None:
    """Start an instance of the first code, and leave it while a call of it runs."""
    shop.before[call] = [hangs]
    async with make_engine(sagas=[Order], grace=timedelta(0)) as engine:
        await engine.start(Order, 1, id="o-1")
        await until_delivered(shop, f"o-1/{call}")


async def journal_of(engine: EmbeddedEngine, saga: Any) -> list[f.Fact]:
    """Return the facts of the instance, once it is STUCK."""
    handle = await engine.get(saga, "o-1")
    with pytest.raises(SagaStuckError):
        await handle.result()
    return await handle._journals.journal("o-1")


def check_found_at_the_resume(facts: list[f.Fact], reason: Reason, *, before: int) -> None:
    """Check that the journal says that it was taken over first, and then that it was found STUCK, when it was."""
    resumed, stuck = facts[-2:]
    assert len(facts) == before + 2
    assert isinstance(resumed, f.Resumed)
    assert isinstance(stuck, f.SagaStuck)
    assert [one.reason for one in stuck.reasons] == [reason]
    assert stuck.at - facts[before - 1].at > YEARS / 2
    assert [fact.at for fact in facts] == sorted(fact.at for fact in facts)


@pytest.mark.parametrize("change", ["another input", "a bug beside"])
async def test_an_instance_is_stuck_from_when_it_was_found(
    make_engine: MakeEngine, shop: Shop, years_later: None, change: str
) -> None:
    """Not from the fact before: nothing was wrong with it until other code came."""
    await left_hanging(make_engine, shop, "book.1")
    changed = another_version(change)
    async with make_engine(sagas=[changed]) as engine:
        facts = await journal_of(engine, changed)
        check_found_at_the_resume(facts, Reason.MISMATCH if change == "another input" else Reason.BUG, before=2)
        view = await (await engine.get(changed, "o-1")).view()
        [listed] = [one async for one in engine.list()]
        assert (listed.state, listed.changed_at) == (SagaState.STUCK, facts[-1].at)
        assert view.since == facts[-1].at
    assert shop.deliveries == ["o-1/book.1"]


async def test_backward_recovery_that_lacks_a_step_is_stuck_from_when_it_was_found(
    make_engine: MakeEngine, shop: Shop, years_later: None
) -> None:
    """Its class has lost what the journal needs, and `run` is not asked."""
    shop.before["book.1/compensation"] = [hangs]
    shop.before["book.2"] = [hangs]
    async with make_engine(sagas=[Booking], grace=timedelta(0)) as engine:
        handle = await engine.start(Booking, 2, id="o-1")
        await until_delivered(shop, "o-1/book.2")
        await handle.cancel()
        await until_delivered(shop, "o-1/book.1/compensation")
        before = (await handle.view()).facts

    class Empty(Purchase, name="Booking"):
        book = None  # type: ignore[assignment]

        async def run(self, bookings: int) -> list[str]:
            return []

    async with make_engine(sagas=[Empty]) as engine:
        check_found_at_the_resume(await journal_of(engine, Empty), Reason.MISMATCH, before=before)


@pytest.mark.parametrize("change", ["another input", "a bug beside"])
@pytest.mark.parametrize("act", ["retry", "abort"])
async def test_the_old_code_goes_on_from_there(
    make_engine: MakeEngine, shop: Shop, years_later: None, change: str, act: str
) -> None:
    """Its journal replays with the code that fits, whatever other code was found not to."""
    await left_hanging(make_engine, shop, "book.2")
    changed = another_version(change)
    async with make_engine(sagas=[changed]) as engine:
        await journal_of(engine, changed)
    async with make_engine(sagas=[Order]) as engine:
        handle = await engine.get(Order, "o-1")
        if act == "retry":
            await handle.retry(**WHO)
            assert await handle.result() == ["o-1/book.1", "o-1/book.2", "o-1/pay.1"]
        else:
            await handle.abort(**WHO)
            with pytest.raises(SagaCompensatedError):
                await handle.result()
            assert shop.effects == {}
    async with make_engine(sagas=[Order]) as engine:
        assert [one.state async for one in engine.list()] != [SagaState.STUCK]


async def test_it_is_found_again_by_the_next_engine_only_if_somebody_acted(
    make_engine: MakeEngine, shop: Shop, years_later: None
) -> None:
    """An engine that takes a STUCK instance over writes that it did, and nothing else."""
    await left_hanging(make_engine, shop, "book.1")
    changed = another_version("another input")
    for taken in range(1, 3):
        async with make_engine(sagas=[changed]) as engine:
            kinds = [fact.fact for fact in await journal_of(engine, changed)]
        assert kinds.count("SagaStuck") == 1
        assert kinds.count("Resumed") == taken


async def test_a_retry_that_finds_the_code_unfit_says_when(
    make_engine: MakeEngine, shop: Shop, years_later: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time is that of the look, though the retry came before it."""
    await left_hanging(make_engine, shop, "book.1")
    changed = another_version("another input")
    async with make_engine(sagas=[changed]) as engine:
        await journal_of(engine, changed)
        handle = await engine.get(changed, "o-1")
        stage = engine._open.stage  # type: ignore[union-attr]
        load, now = stage.store.load, stage.now

        def later(*args: Any, **options: Any) -> Any:  # as the store's
            monkeypatch.setattr(stage, "now", lambda: now() + YEARS)
            return load(*args, **options)

        monkeypatch.setattr(stage.store, "load", later)
        await handle.retry(**WHO)
        with pytest.raises(SagaStuckError):
            await handle.result()
        retried, continued, stuck = (await handle._journals.journal("o-1"))[-3:]
    assert [fact.fact for fact in (retried, continued, stuck)] == ["Retried", "RunContinued", "SagaStuck"]
    assert stuck.at - retried.at > YEARS / 2
