"""Peer cases of retries, time limits and deadlines."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from saga import (
    Compensatable,
    Decision,
    DecisionTimedOut,
    ReadOnly,
    Retry,
    Saga,
    SagaCompensatedError,
    SagaHandle,
    SagaState,
    SagaStuckError,
)
from saga.errors import SagaDefinitionError
from tests.peer.shop import LATER, ONCE, Broken, EmbeddedOpened, Item, Opened, Refused, Shop, shop


def saga_with(retry: Retry, *, timeout: timedelta = timedelta(seconds=30)) -> type:
    """Returns a saga of one step under a policy."""

    class One(Saga):
        do = Compensatable(shop.do, rejects=[Refused], retry=retry, timeout=timeout, barrier=True).compensated_by(
            shop.release
        )

        async def run(self, name: str) -> str:
            return (await self.do(Item(name=name))).name

    return One


@pytest.mark.peer("DTM-21", "DTM-22")
def test_waiting_times_are_even_or_double() -> None:
    """A factor of one waits evenly; the default doubles up to the cap."""
    even = Retry(first=timedelta(seconds=2), factor=1.0)
    assert [even.wait(n).total_seconds() for n in (1, 2, 3)] == [2, 2, 2]
    doubling = Retry(first=timedelta(seconds=1), cap=timedelta(seconds=3))
    assert [doubling.wait(n).total_seconds() for n in (1, 2, 3, 100)] == [1, 2, 3, 3]


@pytest.mark.peer("DTM-25", "MTC-30", "MTC-32")
@pytest.mark.parametrize(("attempts", "completes"), [(3, True), (1, False)])
async def test_a_limit_of_attempts_decides(opened: Opened, given: Shop, attempts: int, *, completes: bool) -> None:
    """Two attempts are needed: with three allowed it completes, with one it is in doubt and compensated."""
    given.failing["do a"] = [Broken("first")]
    one = saga_with(Retry(attempts=attempts, first=timedelta(milliseconds=1)))
    async with opened(one, given=given) as engine:
        if completes:
            assert await engine.run(one, "a", id="one") == "a"
            assert given.log == ["do a"]
        else:
            with pytest.raises(SagaCompensatedError, match="in doubt"):
                await engine.run(one, "a", id="one")
            assert given.log == ["release a"]
        view = await (await engine.get(one, "one")).view()
    assert view.calls[0].attempts == min(attempts, 2)


@pytest.mark.peer("TFE-02", "DBO-11")
async def test_an_error_that_no_attempt_can_cure_is_not_retried(opened: Opened, given: Shop) -> None:
    """An exception type in `never` ends the attempts at once."""
    given.failing["do a"] = [Broken("for good"), Broken("not reached")]
    one = saga_with(Retry(attempts=5, first=timedelta(milliseconds=1), never=(Broken,)))
    async with opened(one, given=given) as engine:
        with pytest.raises(SagaCompensatedError, match="for good"):
            await engine.run(one, "a", id="one")
    assert given.keys.count("one/do.1") == 1


@pytest.mark.peer("TFE-03", "SEA-21")
async def test_attempts_go_on_counting_after_a_restart(opened: Opened, given: Shop) -> None:
    """A wait between attempts is left with the engine; the next owner's attempt has a higher number."""
    given.failing["do a"] = [Broken("first")]
    one = saga_with(replace(LATER, attempts=3))
    async with opened(one, given=given) as engine:
        await engine.start(one, "a", id="one")
        await given.delivered("one/do.1")
    async with opened(one, given=given) as engine:
        handle: SagaHandle[str] = await engine.get(one, "one")
        assert await handle.result() == "a"
        assert (await handle.view()).calls[0].attempts >= 2
    assert len(given.keys) == 2


@pytest.mark.peer("TFE-04", "SEA-30")
async def test_after_a_restart_only_what_is_not_recorded_runs_again(opened: Opened, given: Shop) -> None:
    """Of two parallel calls the recorded one is not repeated, the retrying one is."""

    class Parallel(Saga):
        good = Compensatable(shop.do).compensated_by(shop.release)
        bad = Compensatable(shop.do, retry=LATER).compensated_by(shop.release)

        async def run(self, name: str) -> str:
            await asyncio.gather(self.good(Item(name="good")), self.bad(Item(name="bad")))
            return name

    given.failing["do bad"] = [Broken("later")]
    async with opened(Parallel, given=given) as engine:
        handle = await engine.start(Parallel, "x", id="one")
        await given.delivered("one/bad.1")
        async for fact in handle.facts():
            if fact.fact == "CallDone":
                break
    async with opened(Parallel, given=given) as engine:
        assert await (await engine.get(Parallel, "one")).result() == "x"
    assert given.log == ["do good", "do bad"]


@pytest.mark.peer("DTM-23", "DBO-12")
async def test_the_deadline_compensates_and_survives_a_restart(opened: Opened, given: Shop) -> None:
    """A deadline that passes while nobody drives the saga is honoured by the next owner."""

    class Slow(Saga):
        deadline = timedelta(seconds=2)

        a = Compensatable(shop.do).compensated_by(shop.release)

        async def run(self, name: str) -> str:
            await self.a(Item(name="a"))
            await self.sleep(timedelta(hours=1))
            return name

    async with opened(Slow, given=given) as engine:
        handle = await engine.start(Slow, "x", id="one")
        async for fact in handle.facts():
            if fact.fact == "TimerSet":
                break
    async with opened(Slow, given=given) as engine:
        with pytest.raises(SagaCompensatedError, match="deadline"):
            await (await engine.get(Slow, "one")).result()
    assert given.log == ["do a", "release a"]


@pytest.mark.peer("DTM-24")
async def test_a_step_may_take_as_long_as_its_own_limit_allows(opened: Opened, given: Shop) -> None:
    """A longer limit is not cut off by any default; a shorter one is, and the attempt counts as unanswered."""

    async def slow(milliseconds: int) -> int:
        await asyncio.sleep(milliseconds / 1000)
        return milliseconds

    class Two(Saga):
        patient = ReadOnly(slow, timeout=timedelta(seconds=30))
        hasty = ReadOnly(slow, timeout=timedelta(milliseconds=200), retry=ONCE)

        async def run(self, milliseconds: int) -> int:
            await self.patient(milliseconds)
            return await self.hasty(100 * milliseconds)

    async with opened(Two, given=given) as engine:
        with pytest.raises(SagaCompensatedError, match=r"hasty\.1: TimeoutError"):
            await engine.run(Two, 100, id="one")


@pytest.mark.peer("PSO-12")
async def test_a_compensation_waits_as_long_as_its_policy_says(opened: Opened, given: Shop) -> None:
    """A compensation that cannot yet be done is retried, across a restart too."""

    class Waits(Saga):
        a = Compensatable(shop.do).compensated_by(shop.release, retry=LATER)
        b = Compensatable(shop.do, rejects=[Refused]).compensated_by(shop.release)

        async def run(self, name: str) -> str:
            await self.a(Item(name="a"))
            return (await self.b(Item(name="b"))).name

    given.failing |= {"do b": [Refused("no")], "release a": [Broken("not yet")]}
    async with opened(Waits, given=given) as engine:
        handle = await engine.start(Waits, "x", id="one")
        await given.delivered("one/a.1/compensation")
        assert (await handle.view()).state is SagaState.COMPENSATING
    async with opened(Waits, given=given) as engine:
        with pytest.raises(SagaCompensatedError):
            await (await engine.get(Waits, "one")).result()
    assert given.log == ["do a", "release a"]


@pytest.mark.peer("TFE-33", "TFE-32")
async def test_an_early_answer_is_kept_across_a_restart(opened: Opened, given: Shop) -> None:
    """A decision that is answered before it is awaited is not lost, whoever drives the saga then."""

    class Asks(Saga):
        do = ReadOnly(shop.do)
        review = Decision(bool, within=timedelta(minutes=1))

        async def run(self, name: str) -> str:
            await self.sleep(timedelta(milliseconds=200))
            try:
                return "yes" if await self.review() else "no"
            except DecisionTimedOut:
                return "nobody"

    async with opened(Asks, given=given) as engine:
        handle = await engine.start(Asks, "x", id="one")
        await handle.decide(Asks.review, True, by="test")
    async with opened(Asks, given=given) as engine:
        assert await (await engine.get(Asks, "one")).result() == "yes"


@pytest.mark.peer("NEW-11")
async def test_a_payload_above_the_limit_is_refused_at_the_edge(embedded: EmbeddedOpened, given: Shop) -> None:
    """A request is refused before anything is written; a step's input names its step."""
    from saga.errors import PayloadTooLargeError  # noqa: PLC0415 - one test uses it

    class Big(Saga):
        do = ReadOnly(shop.do)

        async def run(self, size: int) -> str:
            return (await self.do(Item(name="x" * size))).name

    class Takes(Saga):
        do = ReadOnly(shop.do)

        async def run(self, text: str) -> int:
            return len(text)

    async with embedded(Big, Takes, given=given) as engine:
        assert await engine.run(Takes, "x" * (2 * 1024 * 1024 - 2), id="fits") == 2 * 1024 * 1024 - 2
        with pytest.raises(PayloadTooLargeError, match="Takes too-large"):
            await engine.run(Takes, "x" * (2 * 1024 * 1024), id="too-large")
        assert [one.id async for one in engine.list()] == ["fits"]
        with pytest.raises(SagaStuckError, match="do: .* bytes of JSON"):
            await engine.run(Big, 2 * 1024 * 1024, id="stuck")
    assert given.log == []


@pytest.mark.peer("LRA-31")
async def test_a_participant_that_was_down_gets_its_compensation_later(opened: Opened, given: Shop) -> None:
    """While it is down the compensation is retried; when it is back the saga ends."""
    given.failing |= {"release a": [Broken("down")] * 2}

    class Down(Saga):
        deadline = timedelta(milliseconds=50)
        a = Compensatable(shop.do).compensated_by(
            shop.release, retry=Retry(attempts=None, first=timedelta(milliseconds=1))
        )

        async def run(self, name: str) -> str:
            await self.a(Item(name="a"))
            await self.sleep(timedelta(hours=1))
            return name

    async with opened(Down, given=given) as engine:
        with pytest.raises(SagaCompensatedError, match="deadline"):
            await engine.run(Down, "x", id="one")
    assert given.keys.count("one/a.1/compensation") == 3


def test_a_policy_that_makes_no_sense_is_refused() -> None:
    """No attempts, negative times and shrinking waits are faults of the class."""
    with pytest.raises(SagaDefinitionError) as refused:

        class Wrong(Saga):  # pyright: ignore[reportUnusedClass] - it is never made
            do = ReadOnly(shop.do, retry=Retry(attempts=0, factor=0.5), timeout=timedelta(0))
            ask = Decision(bool, within=timedelta(0))

            async def run(self, name: str) -> str:
                return name

    assert len(refused.value.faults) == 4
