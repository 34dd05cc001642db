"""Peer cases that Temporal has in a way of its own: changed code, replayed histories, policies, a worker that stops."""

import asyncio
from datetime import timedelta

import pytest
from temporalio.client import Client, WorkflowHistory
from temporalio.worker import Replayer

from saga import Compensatable, ReadOnly, Retry, Saga
from saga.errors import ParticipantError
from saga.temporal import SagaPlugin, TemporalEngine
from tests.peer.shop import LATER, Broken, Item, Shop, shop, temporal_opener


class Two(Saga):
    """A step that is done and one that waits for another attempt."""

    a = Compensatable(shop.do, barrier=True).compensated_by(shop.release)
    b = Compensatable(shop.do, retry=LATER, barrier=True).compensated_by(shop.release)

    async def run(self, name: str) -> str:
        """Does both."""
        first = await self.a(Item(name=f"{name}a"))
        second = await self.b(Item(name=f"{name}b"))
        return f"{first.name} {second.name}"


def changed(way: str) -> type:
    """Returns other code for the saga `Two`."""

    class Changed(Saga, name="Two"):
        a = Compensatable(shop.do, barrier=True).compensated_by(shop.release)
        b = Compensatable(shop.do, retry=LATER, barrier=True).compensated_by(shop.release)
        c = Compensatable(shop.do).compensated_by(shop.release)

        async def run(self, name: str) -> str:
            if way == "sleeps":
                await self.sleep(timedelta(seconds=1))
            if way == "other step":
                await self.c(Item(name=f"{name}a"))
            await self.a(Item(name=f"{name}a"))
            if way == "no call":
                return name
            return (await self.b(Item(name=f"{name}b"))).name

    return Changed


async def failed_tasks(client: Client, id_: str) -> list[str]:
    """The messages of the workflow tasks that failed."""
    history = await client.get_workflow_handle(id_).fetch_history()
    return [
        one.workflow_task_failed_event_attributes.failure.message
        for one in history.events
        if one.HasField("workflow_task_failed_event_attributes")
    ]


@pytest.mark.peer("RST-11", "DBO-35", "DBO-36")
@pytest.mark.parametrize("way", ["sleeps", "other step", "no call"])
async def test_code_that_does_something_else_is_not_gone_on_with(client: Client, given: Shop, way: str) -> None:
    """Nothing is done by code that does not fit the history, and code that fits goes on by itself."""
    opened = temporal_opener(client)
    given.failing["do xb"] = [Broken("later")]
    async with opened(Two, given=given) as engine:
        await engine.start(Two, "x", id="one")
        await given.delivered("one/b.1")
    done = list(given.log)
    async with opened(changed(way), given=given):
        while not await failed_tasks(client, "one"):
            await asyncio.sleep(0.1)
    assert [one for one in given.log if one != "do xb"] == done
    async with opened(Two, given=given) as engine:
        assert await (await engine.get(Two, "one")).result() == "xa xb"
    assert given.log == ["do xa", "do xb"]


@pytest.mark.peer("SEA-01")
async def test_a_bug_fails_the_workflow_task_until_it_is_fixed(client: Client, given: Shop) -> None:
    """The server shows the exception; nothing is compensated, nothing is done twice, and fixed code goes on."""
    fixed = False

    class Choice(Saga):
        do = ReadOnly(shop.do)

        async def run(self, way: str) -> str:
            receipt = await self.do(Item(name=way))
            if not fixed:
                raise ValueError(way)
            return receipt.name

    opened = temporal_opener(client)
    async with opened(Choice, given=given) as engine:
        await engine.start(Choice, "up", id="one")
        while not (told := await failed_tasks(client, "one")):
            await asyncio.sleep(0.1)
    assert "ValueError: up" in told[0]
    fixed = True
    async with opened(Choice, given=given) as engine:
        assert await (await engine.get(Choice, "one")).result() == "up"
    assert given.log == ["do up"]


async def recorded(client: Client, saga: type, given: Shop) -> WorkflowHistory:
    """Returns the history of a saga that has ended."""
    async with temporal_opener(client)(saga, given=given) as engine:
        await engine.run(saga, "x", id="one")
    return await client.get_workflow_handle("one").fetch_history()


async def replayed(history: WorkflowHistory, saga: type) -> Exception | None:
    """Returns why a history does not replay, or None."""
    replayer = Replayer(workflows=[], plugins=[SagaPlugin(sagas=[saga])])
    return (await replayer.replay_workflow(history, raise_on_replay_failure=False)).replay_failure


@pytest.mark.peer("TPY-01")
async def test_a_complete_history_replays_with_the_same_code(client: Client, given: Shop) -> None:
    """Nothing is performed for it."""
    history = await recorded(client, Two, given)
    given.log.clear()
    assert await replayed(history, Two) is None
    assert given.log == []


@pytest.mark.peer("TPY-02")
@pytest.mark.parametrize("way", ["sleeps", "other step", "no call"])
async def test_a_history_that_does_not_fit_the_code_is_reported(client: Client, given: Shop, way: str) -> None:
    """Code that does something else when it is replayed is found out."""
    history = await recorded(client, Two, given)
    assert await replayed(history, changed(way)) is not None


@pytest.mark.peer("LRA-01")
async def test_a_worker_whose_participants_lack_something_does_not_start(client: Client) -> None:
    """All that is missing is named at once, and nothing is polled."""

    class Empty:
        """Has no method."""

    with pytest.raises(ParticipantError, match="Empty") as raised:
        async with TemporalEngine(client, task_queue="peer", sagas=[Two], participants={"shop": Empty()}):
            pass
    assert "do" in str(raised.value)
    assert "release" in str(raised.value)


@pytest.mark.peer("DTM-21", "DTM-22")
async def test_the_server_waits_as_the_policy_says(client: Client, given: Shop) -> None:
    """Even waits stay even, the default doubles up to its cap, and a limit of attempts is kept."""

    class Three(Saga):
        even = ReadOnly(shop.do, retry=Retry(attempts=7, first=timedelta(seconds=2), factor=1.0))
        doubling = ReadOnly(shop.do, retry=Retry(first=timedelta(seconds=1), cap=timedelta(seconds=3)))
        endless = ReadOnly(shop.do, retry=Retry(attempts=None))

        async def run(self, name: str) -> str:
            for step in (self.even, self.doubling, self.endless):
                await step(Item(name=name))
            return name

    history = await recorded(client, Three, given)
    scheduled = [one.activity_task_scheduled_event_attributes for one in history.events]
    policies = {one.activity_id: one.retry_policy for one in scheduled if one.activity_id}
    told = {
        name: (one.initial_interval.ToTimedelta(), one.backoff_coefficient, one.maximum_attempts)
        for name, one in policies.items()
    }
    assert told == {
        "even.1": (timedelta(seconds=2), 1.0, 7),
        "doubling.1": (timedelta(seconds=1), 2.0, 3),
        "endless.1": (timedelta(milliseconds=200), 2.0, 0),
    }
    assert policies["doubling.1"].maximum_interval.ToTimedelta() == timedelta(seconds=3)


@pytest.mark.peer("TFE-23")
async def test_an_activity_that_runs_when_its_worker_stops_runs_again(client: Client, given: Shop) -> None:
    """It is told to stop; the next worker delivers it again under the same key, and the attempt counts."""
    opened = temporal_opener(client)
    given.gates["do xa"] = asyncio.Event()
    async with opened(Two, given=given) as engine:
        await engine.start(Two, "x", id="one")
        await given.delivered("one/a.1")
    assert given.log == []
    given.gates["do xa"].set()
    async with opened(Two, given=given) as engine:
        handle = await engine.get(Two, "one")
        assert await handle.result() == "xa xb"
        view = await handle.view()
    assert given.keys == ["one/a.1", "one/a.1", "one/b.1"]
    assert [call.attempts for call in view.calls] == [2, 1]
