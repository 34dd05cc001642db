"""Peer cases of the happy path and of results."""

import asyncio
from datetime import timedelta

import pytest
from pydantic import BaseModel

from saga import (
    Compensatable,
    Nested,
    Pivot,
    ReadOnly,
    Retriable,
    Saga,
    SagaDefinitionError,
    SagaState,
    SagaStuckError,
    current_step,
)
from tests.peer.shop import EmbeddedOpened, Item, Opened, Shop, shop


class TwoSteps(Saga):
    """Two steps with compensations."""

    first = Compensatable(shop.do, barrier=True).compensated_by(shop.release)
    second = Compensatable(shop.do, barrier=True).compensated_by(shop.release)

    async def run(self, name: str) -> str:
        """Does both."""
        await self.first(Item(name=f"{name}1"))
        return (await self.second(Item(name=f"{name}2"))).name


@pytest.mark.peer("DTM-01", "DTM-03", "LRA-21")
async def test_two_steps_complete_in_order_without_a_compensation(opened: Opened, given: Shop) -> None:
    """Both are done in order, nothing is compensated, and the caller returns when it has ended."""
    async with opened(TwoSteps, given=given) as engine:
        assert await engine.run(TwoSteps, "a", id="one") == "a2"
        view = await (await engine.get(TwoSteps, "one")).view()
    assert given.log == ["do a1", "do a2"]
    assert (view.state, view.reason, view.failure) == (SagaState.COMPLETED, None, None)


@pytest.mark.peer("DTM-04", "DTM-30", "SEA-31")
async def test_the_same_id_again_returns_the_stored_result(opened: Opened, given: Shop) -> None:
    """A second start with the id runs no step, neither while the first runs nor after a restart."""
    async with opened(TwoSteps, given=given) as engine:
        results = await asyncio.gather(*(engine.run(TwoSteps, "a", id="one") for _ in range(5)))
    async with opened(TwoSteps, given=given) as engine:
        results.append(await engine.run(TwoSteps, "a", id="one"))
    assert results == ["a2"] * 6
    assert given.log == ["do a1", "do a2"]


@pytest.mark.peer("DTM-05", "LRA-46", "LRA-49")
async def test_every_activity_learns_saga_id_and_key(opened: Opened, given: Shop) -> None:
    """Context that is common to all steps reaches every activity, those of a nested saga included."""

    class Outer(Saga):
        inner = Nested(TwoSteps)

        async def run(self, name: str) -> str:
            return await self.inner(name)

    async with opened(Outer, given=given) as engine:
        await engine.run(Outer, "a", id="outer")
    assert given.keys == ["outer~inner.1/first.1", "outer~inner.1/second.1"]


@pytest.mark.peer("MTC-02", "LRA-50", "DTM-17", "SEA-03", "MTC-24")
async def test_the_stream_of_facts_tells_how_everything_went(opened: Opened, given: Shop) -> None:
    """A subscriber sees inputs, outputs, times and the end, once, after all participants."""
    async with opened(TwoSteps, given=given) as engine:
        handle = await engine.start(TwoSteps, "a", id="one")
        facts = [fact async for fact in handle.facts()]
    names = [fact.fact for fact in facts]
    assert names[0] == "SagaStarted"
    assert names.count("SagaCompleted") == 1
    assert names[-1] == "SagaCompleted"
    assert next(fact.payload for fact in facts if fact.fact == "CallRegistered") == '{"name":"a1","amount":1.0}'
    assert facts[-1].at >= facts[0].at


@pytest.mark.peer("MTC-04")
@pytest.mark.parametrize("amount", [0.1, 1e-300, 123456789.123456789, 0.1 + 0.2])
async def test_floats_survive_bit_for_bit(opened: Opened, given: Shop, amount: float) -> None:
    """What `run` receives is what the activity returned."""

    class Echo(Saga):
        do = ReadOnly(shop.do)

        async def run(self, value: float) -> float:
            return (await self.do(Item(name="x", amount=value))).amount

    async with opened(Echo, given=given) as engine:
        assert await engine.run(Echo, amount, id="one") == amount


class Leaf(BaseModel):
    """The end of a graph."""

    values: dict[str, list[int]]


class Tree(BaseModel):
    """A nested graph."""

    left: "Tree | None" = None
    leaf: Leaf | None = None


def echo_tree(tree: Tree) -> Tree:
    """Returns what it is given."""
    return tree


@pytest.mark.peer("MTC-05", "TFE-42")
async def test_a_nested_graph_survives(opened: Opened, given: Shop) -> None:
    """A graph of models comes back equal, empty parts included."""

    class Echo(Saga):
        do = ReadOnly(echo_tree)

        async def run(self, tree: Tree) -> Tree:
            return await self.do(tree)

    tree = Tree(left=Tree(leaf=Leaf(values={"a": [1, 2], "": []})))
    async with opened(Echo, given=given) as engine:
        assert await engine.run(Echo, tree, id="one") == tree


@pytest.mark.peer("EVT-03", "LRA-51")
async def test_sync_and_async_activities_answer_alike(opened: Opened, given: Shop) -> None:
    """Each call gets its own answer once, whether the activity is asynchronous or runs in a thread."""

    class Both(Saga):
        there = ReadOnly(shop.do)
        threaded = ReadOnly(shop.do_in_thread)

        async def run(self, count: int) -> list[str]:
            calls = [(self.there, self.threaded)[n % 2](Item(name=str(n))) for n in range(count)]
            return [one.name for one in await asyncio.gather(*calls)]

    async with opened(Both, given=given) as engine:
        assert await engine.run(Both, 6, id="one") == [str(n) for n in range(6)]
    assert sorted(given.log) == [f"do {n}" for n in range(6)]


@pytest.mark.peer("EVT-05", "SEA-32")
async def test_a_nested_saga_and_its_parent_both_end(opened: Opened, given: Shop) -> None:
    """The parent goes on with the child's result; both are listed as COMPLETED."""

    class Outer(Saga):
        inner = Nested(TwoSteps)
        after = Retriable(shop.do)

        async def run(self, name: str) -> str:
            result = await self.inner(name)
            await self.after(Item(name="after"))
            return result

    async with opened(Outer, given=given) as engine:
        assert await engine.run(Outer, "a", id="outer") == "a2"
        states = {one.id: one.state async for one in engine.list()}
    assert states == {"outer": SagaState.COMPLETED, "outer~inner.1": SagaState.COMPLETED}


class Choice(Saga):
    """Goes one of two ways."""

    left = ReadOnly(shop.do)

    async def run(self, way: str) -> str:
        """Chooses."""
        match way:
            case "left":
                return (await self.left(Item(name="left"))).name
            case "nothing":
                return "nothing"
            case _:
                raise ValueError(way)


@pytest.mark.peer("SEA-01")
async def test_a_choice_takes_the_right_way(opened: Opened, given: Shop) -> None:
    """Whatever the request says."""
    async with opened(Choice, given=given) as engine:
        assert await engine.run(Choice, "left", id="1") == "left"
        assert await engine.run(Choice, "nothing", id="2") == "nothing"


@pytest.mark.peer("SEA-01")
async def test_a_way_that_is_missing_fails_clearly(embedded: EmbeddedOpened, given: Shop) -> None:
    """A way that nobody wrote is a bug: STUCK, with the exception on the page."""
    async with embedded(Choice, given=given) as engine:
        with pytest.raises(SagaStuckError, match="ValueError: up"):
            await engine.run(Choice, "up", id="3")


def tell_key(prefix: str) -> str:
    """Answers with the id that it can read from its context."""
    return f"{prefix}-{current_step().id}"


@pytest.mark.peer("SEA-02")
async def test_a_step_reads_the_business_key_from_its_context(opened: Opened, given: Shop) -> None:
    """Input that `run` computed arrives, and the id is readable in the activity."""

    class Tell(Saga):
        tell = ReadOnly(tell_key)

        async def run(self, name: str) -> str:
            return await self.tell(name.upper())

    async with opened(Tell, given=given) as engine:
        assert await engine.run(Tell, "a", id="order-7") == "A-order-7"


class Loop(Saga):
    """A call for each item."""

    each = Compensatable(shop.do).compensated_by(shop.release)

    async def run(self, names: list[str]) -> int:
        """Adds them up."""
        return len([await self.each(Item(name=name)) for name in names])


@pytest.mark.peer("SEA-04", "DTM-38", "LRA-20")
async def test_a_loop_makes_one_call_for_each_item(opened: Opened, given: Shop) -> None:
    """Each use of a step has its own number and its own key, so none is taken for another."""
    async with opened(Loop, given=given) as engine:
        assert await engine.run(Loop, ["a", "b", "a"], id="one") == 3
    assert given.log == ["do a", "do b", "do a"]
    assert given.keys == ["one/each.1", "one/each.2", "one/each.3"]


@pytest.mark.peer("DBO-02")
async def test_an_activity_outside_any_saga_is_a_plain_function(given: Shop) -> None:
    """It runs, and nothing is recorded."""
    assert (await given.do(Item(name="x"))).name == "x"
    assert given.keys == [""]


def takes_text(value: str) -> str:
    """Takes something else."""
    return value


@pytest.mark.peer("PSO-01", "LRA-01", "LRA-02")
def test_wrong_pairs_are_refused_when_the_class_is_made() -> None:
    """Wrong argument, wrong probe, too many arguments and a missing compensation: all at once, by name."""

    def two_arguments(one: str, two: str) -> str:
        return one + two

    with pytest.raises(SagaDefinitionError) as refused:

        class Wrong(Saga):  # pyright: ignore[reportUnusedClass] - it is never made
            missing = Compensatable(shop.do)
            pair = Compensatable(shop.do).compensated_by(takes_text)  # type: ignore[arg-type]
            many = Compensatable(two_arguments).compensated_by(shop.release)  # type: ignore[var-annotated,arg-type]
            probe = Pivot(shop.do).probed_by(takes_text)  # type: ignore[arg-type]

            async def run(self, name: str) -> str:
                return name

    text = str(refused.value)
    assert len(refused.value.faults) == 4
    assert "takes str" in text
    assert "Effect[Item, Receipt]" in text
    assert "no compensation" in text


@pytest.mark.peer("EVT-04")
async def test_a_notification_at_the_end_needs_no_answer(opened: Opened, given: Shop) -> None:
    """A last step that returns nothing completes the saga."""
    NOTIFIED.clear()

    class Notify(Saga):
        notify = Retriable(given_notify)

        async def run(self, text: str) -> None:
            await self.notify(text)

    async with opened(Notify, given=given) as engine:
        assert await engine.run(Notify, "x", id="one") is None  # type: ignore[func-returns-value]
    assert NOTIFIED == ["x"]


NOTIFIED: list[str] = []


async def given_notify(text: str) -> None:
    """Notes that it was told."""
    NOTIFIED.append(text)


@pytest.mark.peer("DTM-28")
async def test_a_saga_may_wait_before_its_first_step(opened: Opened, given: Shop) -> None:
    """A delayed start is a durable sleep; nothing runs before it is over, not even after a restart."""

    class Later(Saga):
        do = ReadOnly(shop.do)

        async def run(self, milliseconds: int) -> str:
            began = self.now()
            await self.sleep(timedelta(milliseconds=milliseconds))
            assert self.now() - began >= timedelta(milliseconds=milliseconds)
            return (await self.do(Item(name="late"))).name

    async with opened(Later, given=given) as engine:
        handle = await engine.start(Later, 300, id="one")
        assert given.log == []
    async with opened(Later, given=given) as engine:
        handle = await engine.get(Later, "one")
        assert given.log == []
        assert await handle.result() == "late"


@pytest.mark.peer("MTC-27", "MTC-28", "LRA-22", "EVT-16")
async def test_run_decides_which_steps_there_are(opened: Opened, given: Shop) -> None:
    """Steps can be added or left out by `run`; what never ran is neither awaited nor compensated."""

    class Revised(Saga):
        plan = ReadOnly(shop.do)
        extra = Compensatable(shop.do).compensated_by(shop.release)
        never = Compensatable(shop.do).compensated_by(shop.release)

        async def run(self, count: int) -> int:
            await self.plan(Item(name="plan"))
            for number in range(count):
                await self.extra(Item(name=f"extra{number}"))
            return count

    async with opened(Revised, given=given) as engine:
        await engine.run(Revised, 2, id="two")
        await engine.run(Revised, 0, id="none")
    assert given.log == ["do plan", "do extra0", "do extra1", "do plan"]


@pytest.mark.peer("MTC-06")
async def test_a_large_value_goes_by_reference(opened: Opened, given: Shop) -> None:
    """The journal refuses what is too large; a reference to it passes, and the activity reads the content."""
    stored = {"blob": "x" * 100_000}

    async def read(reference: str) -> int:
        return len(stored[reference])

    class ByReference(Saga):
        size = ReadOnly(read)

        async def run(self, reference: str) -> int:
            return await self.size(reference)

    async with opened(ByReference, given=given, payload_limit=1000) as engine:
        assert await engine.run(ByReference, "blob", id="one") == 100_000
        facts = [fact async for fact in (await engine.get(ByReference, "one")).facts()]
    assert all(len(fact.payload or "") < 1000 for fact in facts)
