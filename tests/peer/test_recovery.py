"""Peer cases of restarts, changed code, ownership and operators."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from saga import (
    Compensatable,
    Decision,
    DidNotHappen,
    EmbeddedEngine,
    Happened,
    Pivot,
    ReadOnly,
    Retriable,
    Retry,
    Saga,
    SagaCompensatedError,
    SagaHandle,
    SagaState,
    SagaStuckError,
    StepRejected,
)
from saga.embedded import _clock
from saga.embedded._clock import Clock
from saga.errors import ActRefusedError, IdReusedError
from tests.peer.shop import LATER, ONCE, Broken, EmbeddedOpened, Item, Opened, Receipt, Refused, Shop, shop

HOURS = Retry(attempts=None, first=timedelta(hours=1))


async def until(handle: SagaHandle[str], fact: str) -> None:
    """Waits until a fact of this name is durable."""
    async for one in handle.facts():
        if one.fact == fact:
            return


class Two(Saga):
    """A step that is done and one that waits for another attempt."""

    a = Compensatable(shop.do, barrier=True).compensated_by(shop.release)
    b = Compensatable(shop.do, retry=LATER, barrier=True).compensated_by(shop.release)

    async def run(self, name: str) -> str:
        """Does both."""
        first = await self.a(Item(name=f"{name}a"))
        second = await self.b(Item(name=f"{name}b"))
        return f"{first.name} {second.name}"


async def interrupted(opened: Opened, given: Shop) -> None:
    """Leaves an engine while the second step waits for another attempt."""
    given.failing["do xb"] = [Broken("later")]
    async with opened(Two, given=given) as engine:
        await engine.start(Two, "x", id="one")
        await given.delivered("one/b.1")


@pytest.mark.peer("DTM-50", "RST-10", "TFE-20")
async def test_a_restart_repeats_nothing_that_is_recorded(opened: Opened, given: Shop) -> None:
    """The stored output of the first step is used, the second runs."""
    await interrupted(opened, given)
    async with opened(Two, given=given) as engine:
        assert await (await engine.get(Two, "one")).result() == "xa xb"
    assert given.log == ["do xa", "do xb"]


@pytest.mark.peer("LRA-30")
async def test_a_compensation_reaches_a_participant_that_was_restarted(opened: Opened, given: Shop) -> None:
    """After a restart with a new participant object the cancel compensates there."""
    await interrupted(opened, given)
    restarted = Shop()
    restarted.failing["do xb"] = [Broken("still")]
    async with opened(Two, given=restarted) as engine:
        handle = await engine.get(Two, "one")
        await handle.cancel(by="test", why="enough")
        with pytest.raises(SagaCompensatedError, match="cancelled"):
            await handle.result()
    assert restarted.log == ["release xb", "release xa"]


@pytest.mark.peer("PSO-31")
async def test_a_compensation_whose_owner_sleeps_past_its_lease_is_continued(
    embedded: EmbeddedOpened, given: Shop
) -> None:
    """The next owner compensates; the former one is fenced and writes nothing more."""
    given.failing |= {"do xb": [StepRejected("no")], "release xa": [Broken("down")]}

    class Sleeps(Saga, name="Two"):
        a = Compensatable(shop.do, barrier=True).compensated_by(shop.release, retry=HOURS)
        b = Compensatable(shop.do, barrier=True).compensated_by(shop.release)

        async def run(self, name: str) -> str:
            await self.a(Item(name=f"{name}a"))
            return (await self.b(Item(name=f"{name}b"))).name

    async with embedded(Sleeps, given=given, lease=timedelta(milliseconds=200)) as sleeping:
        await until(await sleeping.start(Sleeps, "x", id="one"), "AttemptFailed")
        assert sleeping._open is not None
        await sleeping._open._tending.end()  # no heartbeat from here on
        other = Shop()
        async with embedded(Sleeps, given=other, lease=timedelta(milliseconds=200)) as engine:
            with pytest.raises(SagaCompensatedError):
                await (await engine.get(Sleeps, "one")).result()
        assert other.log == ["release xa"]


@pytest.mark.peer("DBO-20")
async def test_an_id_that_exists_is_refused_to_others(opened: Opened, given: Shop) -> None:
    """Another request or another saga under the same id is refused, and changes nothing."""

    class Other(Saga):
        a = ReadOnly(shop.do)

        async def run(self, name: str) -> str:
            return name

    async with opened(Two, Other, given=given) as engine:
        await engine.run(Two, "x", id="one")
        with pytest.raises(IdReusedError, match="another request"):
            await engine.run(Two, "y", id="one")
        with pytest.raises(IdReusedError, match="as a Two"):
            await engine.start(Other, "x", id="one")
        assert await engine.run(Two, "x", id="one") == "xa xb"
    assert given.log == ["do xa", "do xb"]


def changed(way: str) -> type:
    """Returns other code for the saga `Two`."""

    class Changed(Saga, name="Two"):
        a = Compensatable(shop.do, barrier=True).compensated_by(shop.release)
        b = Compensatable(shop.do, retry=HOURS, barrier=True).compensated_by(shop.release)
        c = Compensatable(shop.do).compensated_by(shop.release)

        async def run(self, name: str) -> str:
            if way == "sleeps":
                await self.sleep(timedelta(seconds=1))
            if way == "other step":
                await self.c(Item(name=f"{name}a"))
            await self.a(Item(name=f"{name}{'z' if way == 'other input' else 'a'}"))
            if way == "no call":
                return name
            return (await self.b(Item(name=f"{name}b"))).name

    return Changed


@pytest.mark.peer("RST-11", "DBO-35", "DBO-36")
@pytest.mark.parametrize(
    ("way", "shown"),
    [
        ("sleeps", "call a.1"),
        ("other step", "call c.1"),
        ("other input", "another input"),
        ("no call", "call b.1"),
    ],
)
async def test_code_that_does_something_else_is_refused(
    embedded: EmbeddedOpened, given: Shop, way: str, shown: str
) -> None:
    """The first difference is shown, nothing is done, and fitting code goes on after a retry."""
    await interrupted(embedded, given)
    done = list(given.log)
    other = changed(way)
    async with embedded(other, given=given) as engine:
        with pytest.raises(SagaStuckError, match="does not fit") as raised:
            await (await engine.get(other, "one")).result()
        assert shown in str(raised.value)
        assert given.log == done
    async with embedded(Two, given=given) as engine:
        handle = await engine.get(Two, "one")
        await handle.retry(by="test", why="the old code is back")
        assert await handle.result() == "xa xb"


@pytest.mark.peer("RST-22")
async def test_what_was_recorded_before_a_bug_stays(embedded: EmbeddedOpened, given: Shop) -> None:
    """A bug moves no money: what is done stays done, and the fixed code goes on from there."""
    fixed = False

    class Buggy(Saga):
        a = Compensatable(shop.do).compensated_by(shop.release)

        async def run(self, name: str) -> str:
            receipt = await self.a(Item(name=name))
            return receipt.name if fixed else receipt.nothing  # type: ignore[attr-defined]

    async with embedded(Buggy, given=given) as engine:
        with pytest.raises(SagaStuckError, match="AttributeError"):
            await engine.run(Buggy, "x", id="one")
        fixed = True
        handle = await engine.get(Buggy, "one")
        await handle.retry(by="test", why="fixed")
        assert await handle.result() == "x"
    assert given.log == ["do x"]


@pytest.mark.peer("DTM-54")
async def test_an_operator_can_do_by_hand_what_would_be_retried_much_later(
    embedded: EmbeddedOpened, given: Shop
) -> None:
    """A compensation whose next attempt is an hour away is skipped; the saga ends at once."""

    class Far(Saga):
        a = Compensatable(shop.do).compensated_by(shop.release, retry=HOURS)

        async def run(self, name: str) -> str:
            await self.a(Item(name="a"))
            raise StepRejected("enough")

    given.failing["release a"] = [Broken("down")]
    async with embedded(Far, given=given) as engine:
        handle = await engine.start(Far, "x", id="one")
        await until(handle, "AttemptFailed")
        await handle.skip(Far.a, by="test", why="refunded by hand")
        with pytest.raises(SagaCompensatedError):
            await handle.result()
        acts = (await handle.view()).acts
    assert [(act.act, act.by, act.why) for act in acts] == [("skip", "test", "refunded by hand")]
    assert given.log == ["do a"]


@pytest.mark.peer("DTM-55", "PSO-40")
async def test_each_act_is_allowed_only_where_it_makes_sense(opened: Opened, given: Shop) -> None:
    """In RUNNING nothing can be skipped, resolved or retried; a pivot in doubt can only be resolved or retried."""

    class Stops(Saga):
        a = Compensatable(shop.do).compensated_by(shop.release)
        pivot = Pivot(shop.do, retry=ONCE)
        after = Retriable(shop.do)
        ask = Decision(bool, within=timedelta(hours=1))

        async def run(self, name: str) -> str:
            await self.a(Item(name="a"))
            await self.ask()
            receipt = await self.pivot(Item(name="pivot"))
            await self.after(Item(name="after"))
            return receipt.name

    given.failing["do pivot"] = [Broken("who knows")]
    async with opened(Stops, given=given) as engine:
        handle = await engine.start(Stops, "x", id="one")
        await until(handle, "DecisionAwaited")
        for act in (
            handle.retry(by="t", why="t"),
            handle.skip(Stops.a, by="t", why="t"),
            handle.resolve(Stops.a, DidNotHappen(), by="t", why="t"),
        ):
            with pytest.raises(ActRefusedError, match="RUNNING"):
                await act
        await handle.decide(Stops.ask, True, by="test")
        with pytest.raises(SagaStuckError, match="nobody knows"):
            await handle.result()
        with pytest.raises(ActRefusedError, match="pivot"):
            await handle.abort(by="t", why="t")
        with pytest.raises(ActRefusedError):
            await handle.skip(Stops.a, by="t", why="t")
        await handle.resolve(Stops.pivot, Happened(output=Receipt(name="by hand")), by="test", why="looked it up")
        assert await handle.result() == "by hand"
        acts = [(act.act, act.by) for act in (await handle.view()).acts]
    assert acts == [("decide", "test"), ("resolve", "test")]
    assert given.log == ["do a", "do after"]


@pytest.mark.peer("NEW-06")
def test_a_wall_clock_that_jumps_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's time moves with the monotonic clock, so no timer fires early and none is lost."""

    class Jumped:
        """A wall clock that was set back by years."""

        now = staticmethod(lambda _: datetime(2000, 1, 1, tzinfo=UTC))

    clock = Clock()
    before = clock.now()
    monkeypatch.setattr(_clock, "datetime", Jumped)
    assert timedelta(0) <= clock.now() - before < timedelta(minutes=1)
    assert Clock().now().year == 2000


@pytest.mark.peer("NEW-13")
async def test_stuck_sagas_cost_the_healthy_ones_nothing(embedded: EmbeddedOpened, given: Shop) -> None:
    """After a restart a STUCK saga is not replayed, has no task that polls, and the others go on."""

    class Sticks(Saga):
        a = Compensatable(shop.do).compensated_by(shop.release, retry=ONCE)
        b = Compensatable(shop.do, rejects=[Refused]).compensated_by(shop.release)

        async def run(self, name: str) -> str:
            EXECUTED.append(name)
            await self.a(Item(name="poison" if name == "bad" else name))
            return (await self.b(Item(name=f"{name} b"))).name

    many = 200
    given.failing |= {"do bad b": [Refused("no")] * many, "release poison": [Broken("poison")] * many}
    async with embedded(Sticks, given=given) as engine:
        handles = [await engine.start(Sticks, "bad", id=f"bad-{number}") for number in range(many)]
        for handle in handles:
            with pytest.raises(SagaStuckError):
                await handle.result()
    EXECUTED.clear()
    async with embedded(Sticks, given=given) as engine:
        assert await engine.run(Sticks, "good", id="good") == "good b"
        stuck = [one async for one in engine.list(states=[SagaState.STUCK])]
    assert len(stuck) == many
    assert EXECUTED == ["good"]


EXECUTED: list[str] = []


@pytest.mark.peer("MTC-10")
async def test_calls_with_the_same_key_of_work_can_be_kept_apart(opened: Opened, given: Shop) -> None:
    """A lock inside `run` is durable, so parallel branches of one saga can take turns."""
    running: list[str] = []
    most = 0

    async def work(name: str) -> str:
        nonlocal most
        running.append(name)
        most = max(most, len(running))
        await asyncio.sleep(0.01)
        running.remove(name)
        return name

    class Turns(Saga):
        turn = ReadOnly(work)

        async def run(self, count: int) -> int:
            lock = asyncio.Lock()

            async def one(number: int) -> None:
                async with lock:
                    await self.turn(str(number))

            async with asyncio.TaskGroup() as group:
                for number in range(count):
                    group.create_task(one(number))
            return count

    async with opened(Turns, given=given) as engine:
        assert await engine.run(Turns, 4, id="one") == 4
    assert most == 1


@pytest.mark.peer("EVT-15")
async def test_a_compensation_may_tell_others_and_is_awaited_itself(opened: Opened, given: Shop) -> None:
    """Whatever a compensation sends beside its work, the saga waits for its own answer only."""
    told: list[str] = []

    class Tells(Shop):
        async def release(self, effect: object) -> None:
            told.append("event")
            await super().release(effect)  # type: ignore[arg-type]

    telling = Tells()
    telling.failing["do xb"] = [StepRejected("no")]
    async with opened(Two, given=telling) as engine:
        with pytest.raises(SagaCompensatedError):
            await engine.run(Two, "x", id="one")
    assert (told, telling.log) == (["event"], ["do xa", "release xa"])


@pytest.mark.peer("DBO-34")
async def test_an_empty_id_cannot_exist(tmp_path: Path) -> None:
    """It is refused before anything is written, so there is no row that a recovery could copy."""
    from saga.errors import InvalidIdError  # noqa: PLC0415 - one test uses it

    url = f"sqlite:///{tmp_path / 'journal.db'}"
    async with EmbeddedEngine(url, sagas=[Two], participants={"shop": Shop()}) as engine:
        for id_ in ("", " ", "a/b", "a~b", "a\nb", "x" * 256):
            with pytest.raises(InvalidIdError):
                await engine.start(Two, "x", id=id_)
        assert [one async for one in engine.list()] == []
