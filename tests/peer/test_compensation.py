"""Peer cases of failure, the order of compensations, and what they receive."""

import asyncio
from datetime import timedelta

import pytest

from saga import (
    Compensatable,
    Effect,
    Nested,
    Pivot,
    ReadOnly,
    Retriable,
    Saga,
    SagaAborted,
    SagaCompensatedError,
    SagaHandle,
    SagaState,
    SagaStuckError,
    StepInDoubt,
    StepRejected,
)
from tests.peer.shop import ONCE, QUICK, AnyEngine, Broken, Item, Opened, Receipt, Refused, Shop, shop


class Three(Saga):
    """Three steps with compensations that are tried once."""

    a = Compensatable(shop.do, rejects=[Refused], barrier=True, retry=QUICK).compensated_by(shop.release, retry=ONCE)
    b = Compensatable(shop.do, rejects=[Refused], barrier=True, retry=QUICK).compensated_by(shop.release, retry=ONCE)
    c = Compensatable(shop.do, rejects=[Refused], barrier=True, retry=QUICK).compensated_by(shop.release, retry=ONCE)

    async def run(self, name: str) -> str:
        """Does all three."""
        await self.a(Item(name="a"))
        await self.b(Item(name="b"))
        await self.c(Item(name="c"))
        return name


async def compensated(engine: AnyEngine, saga: type, id_: str = "one") -> SagaCompensatedError:
    """Runs a saga that must end COMPENSATED and returns the error that says so."""
    with pytest.raises(SagaCompensatedError) as raised:
        await engine.run(saga, "x", id=id_)
    return raised.value


@pytest.mark.peer("DTM-10", "DTM-27", "EVT-13", "MTC-21", "MTC-26")
async def test_a_rejection_compensates_what_ran_and_keeps_its_reason(opened: Opened, given: Shop) -> None:
    """The caller's error carries step, type and message; what was rejected is not compensated."""
    given.failing["do c"] = [Refused("no more")]
    async with opened(Three, given=given) as engine:
        error = await compensated(engine, Three)
    assert (error.reason, error.step, error.type, error.message) == ("rejected", "c.1", "Refused", "no more")
    assert given.log == ["do a", "do b", "release b", "release a"]


@pytest.mark.peer("RST-23", "MTC-25")
async def test_details_of_a_rejection_arrive_at_the_caller(opened: Opened, given: Shop) -> None:
    """Data that the participant attached passes through two sagas unchanged."""
    given.failing["do a"] = [StepRejected("no", details={"code": 42, "why": ["x"]})]

    class Outer(Saga):
        inner = Nested(Three)

        async def run(self, name: str) -> str:
            return await self.inner(name)

    async with opened(Outer, given=given) as engine:
        error = await compensated(engine, Outer)
    assert error.details == {"code": 42, "why": ["x"]}
    assert error.message == "no"


class Patient(Saga):
    """A compensation that is retried."""

    a = Compensatable(shop.do).compensated_by(shop.release, retry=QUICK)
    b = Compensatable(shop.do, rejects=[Refused], retry=QUICK).compensated_by(shop.release)

    async def run(self, name: str) -> str:
        """Does both."""
        await self.a(Item(name="a"))
        await self.b(Item(name="b"))
        return name


@pytest.mark.peer("DTM-11", "MTC-31", "LRA-24")
async def test_a_compensation_that_fails_once_is_retried(opened: Opened, given: Shop) -> None:
    """It is tried again until it is known, never skipped."""
    given.failing |= {"do b": [Refused("no")], "release a": [Broken("once"), Broken("twice")]}
    async with opened(Patient, given=given) as engine:
        await compensated(engine, Patient)
        view = await (await engine.get(Patient, "one")).view()
    assert given.log == ["do a", "release a"]
    assert [call.attempts for call in view.calls if call.name == "a.1/compensation"] == [3]
    assert given.keys.count("one/a.1/compensation") == 3


@pytest.mark.peer("DTM-14")
async def test_a_step_after_a_rejected_one_never_starts(opened: Opened, given: Shop) -> None:
    """What was never called has no compensation."""
    given.failing["do a"] = [Refused("no")]
    async with opened(Three, given=given) as engine:
        await compensated(engine, Three)
    assert given.log == []


class Tentative(Saga):
    """Try, confirm, cancel."""

    a = Compensatable(shop.do).compensated_by(shop.release).confirmed_by(shop.confirm).forgotten_by(shop.drop)
    b = Compensatable(shop.do, rejects=[Refused]).compensated_by(shop.release).confirmed_by(shop.confirm)

    async def run(self, name: str) -> str:
        """Tries both."""
        await asyncio.gather(self.a(Item(name="a")), self.b(Item(name="b")))
        return name


@pytest.mark.peer("DTM-18", "LRA-40")
async def test_tentative_effects_are_confirmed_or_compensated_never_both(opened: Opened, given: Shop) -> None:
    """All tries done: all confirmed, and forgotten at the end. One refused: the others are compensated."""
    async with opened(Tentative, given=given) as engine:
        await engine.run(Tentative, "x", id="ok")
        assert sorted(given.log[2:4]) == ["confirm a", "confirm b"]
        assert given.log[4:] == ["drop a"]
        given.log.clear()
        given.failing["do b"] = [Refused("no")]
        await compensated(engine, Tentative)
    assert given.log == ["do a", "release a"]


@pytest.mark.peer("MTC-23", "EVT-17", "PSO-10", "TJS-04", "TJS-05")
async def test_a_refused_compensation_makes_it_stuck_and_the_others_go_on(opened: Opened, given: Shop) -> None:
    """It is not called compensated: the page lists every compensation that failed."""
    given.failing |= {
        "do c": [Refused("no")],
        "release b": [StepRejected("frozen")],
    }
    async with opened(Three, given=given) as engine:
        with pytest.raises(SagaStuckError, match="frozen") as raised:
            await engine.run(Three, "x", id="one")
        view = await (await engine.get(Three, "one")).view()
    assert given.log == ["do a", "do b", "release a"]
    assert view.state is SagaState.STUCK
    assert [reason.call for reason in view.stuck] == ["b.1/compensation"]
    assert "saga skip one b.1" in str(raised.value)


@pytest.mark.peer("EVT-14", "SEA-13")
async def test_only_declared_exceptions_are_rejections(opened: Opened, given: Shop) -> None:
    """A declared one is rejected and nothing happened; another leaves the step in doubt, and it is compensated."""
    async with opened(Three, given=given) as engine:
        given.failing["do b"] = [Refused("no")]
        assert (await compensated(engine, Three, "declared")).reason == "rejected"
        assert given.log == ["do a", "release a"]
        given.log.clear()
        given.failing["do b"] = [Broken(str(number)) for number in range(3)]
        assert (await compensated(engine, Three, "other")).reason == "in doubt"
    assert given.log == ["do a", "release b", "release a"]
    in_doubt = given.effects[-2]
    assert (in_doubt.in_doubt, in_doubt.output) == (True, None)


@pytest.mark.peer("TJS-01", "SEA-11", "LRA-43")
async def test_a_finished_child_is_compensated_by_its_parent_in_order(opened: Opened, given: Shop) -> None:
    """Reverse order over both levels; the child's own entries keep the child's keys."""

    class Outer(Saga):
        before = Compensatable(shop.do).compensated_by(shop.release)
        inner = Nested(Three)
        last = Compensatable(shop.do, rejects=[Refused]).compensated_by(shop.release)

        async def run(self, name: str) -> str:
            await self.before(Item(name="before"))
            await self.inner(name)
            await self.last(Item(name="last"))
            return name

    given.failing["do last"] = [Refused("no")]
    async with opened(Outer, given=given) as engine:
        await compensated(engine, Outer)
    assert given.log[-4:] == ["release c", "release b", "release a", "release before"]
    assert given.keys[-4] == "one~inner.1/c.1/compensation"


@pytest.mark.peer("TJS-06")
async def test_giving_up_compensates_in_reverse(opened: Opened, given: Shop) -> None:
    """`SagaAborted` from `run` compensates everything, last registered first."""

    class GivesUp(Saga):
        a = Compensatable(shop.do).compensated_by(shop.release)
        b = Compensatable(shop.do).compensated_by(shop.release)

        async def run(self, name: str) -> str:
            await self.a(Item(name="a"))
            await self.b(Item(name="b"))
            raise SagaAborted("changed our mind")

    async with opened(GivesUp, given=given) as engine:
        assert (await compensated(engine, GivesUp)).reason == "aborted"
    assert given.log == ["do a", "do b", "release b", "release a"]


@pytest.mark.peer("SEA-12")
async def test_every_item_of_a_loop_is_compensated(opened: Opened, given: Shop) -> None:
    """A loop's calls are compensated one by one, last first."""

    class Loop(Saga):
        each = Compensatable(shop.do, rejects=[Refused]).compensated_by(shop.release)

        async def run(self, names: str) -> str:
            for number in range(4):
                await self.each(Item(name=str(number)))
            return names

    given.failing["do 3"] = [Refused("no")]
    async with opened(Loop, given=given) as engine:
        await compensated(engine, Loop)
    assert given.log == ["do 0", "do 1", "do 2", "release 2", "release 1", "release 0"]


@pytest.mark.peer("PSO-11")
async def test_a_compensation_sees_the_effect_and_nothing_else(opened: Opened, given: Shop) -> None:
    """It receives exactly the action's input and output, not what came later."""
    given.failing["do b"] = [Refused("no")]
    async with opened(Patient, given=given) as engine:
        await compensated(engine, Patient)
    expected = Effect[Item, Receipt](input=Item(name="a"), output=Receipt(name="a"), in_doubt=False)
    assert given.effects == [expected]


@pytest.mark.peer("LRA-42")
@pytest.mark.parametrize(
    ("failure", "ends"),
    [(Refused("family"), "compensated"), (StepRejected("exact"), "compensated"), (None, "completed")],
)
async def test_what_cancels_is_declared(opened: Opened, given: Shop, failure: Exception | None, ends: str) -> None:
    """A declared refusal compensates; one that `run` handles completes."""

    class Handles(Saga):
        a = Compensatable(shop.do).compensated_by(shop.release)
        b = Compensatable(shop.do, rejects=[Refused]).compensated_by(shop.release)

        async def run(self, name: str) -> str:
            await self.a(Item(name="a"))
            try:
                await self.b(Item(name="b"))
            except StepRejected as error:
                if error.message == "handled":
                    return "completed"
                raise
            return name

    given.failing["do b"] = [failure or Refused("handled")]
    async with opened(Handles, given=given) as engine:
        if ends == "completed":
            assert await engine.run(Handles, "x", id="one") == "completed"
            assert given.log == ["do a"]
        else:
            await compensated(engine, Handles)
            assert given.log == ["do a", "release a"]


@pytest.mark.peer("LRA-44", "LRA-45")
async def test_nested_sagas_are_forgotten_once_and_one_of_them_may_be_compensated(opened: Opened, given: Shop) -> None:
    """The parent confirms and forgets for its children once; a child that is rejected compensates itself."""

    class Inner(Saga):
        keep = (
            Compensatable(shop.do, rejects=[Refused])
            .compensated_by(shop.release)
            .confirmed_by(shop.confirm)
            .forgotten_by(shop.drop)
        )
        more = Compensatable(shop.do, rejects=[Refused]).compensated_by(shop.release)

        async def run(self, name: str) -> str:
            await self.keep(Item(name=name))
            await self.more(Item(name=f"{name}+"))
            return name

    class Outer(Saga):
        inner = Nested(Inner)

        async def run(self, name: str) -> str:
            await self.inner("first")
            try:
                await self.inner("second")
            except StepRejected:
                return "one of two"
            return name

    given.failing["do second+"] = [Refused("no")]
    async with opened(Outer, given=given) as engine:
        assert await engine.run(Outer, "x", id="one") == "one of two"
        states = {one.id: one.state async for one in engine.list()}
    assert states == {"one": "COMPLETED", "one~inner.1": "COMPLETED", "one~inner.2": "COMPENSATED"}
    assert given.log == ["do first", "do first+", "do second", "release second", "confirm first", "drop first"]


@pytest.mark.peer("TFE-31", "RST-20", "RST-21")
async def test_a_cancel_reaches_the_children_and_awaits_their_end(opened: Opened, given: Shop) -> None:
    """A tree that waits is released: the innermost compensates first, then its parents; the id is free for others."""

    class Inner(Saga):
        a = Compensatable(shop.do).compensated_by(shop.release)

        async def run(self, name: str) -> str:
            await self.a(Item(name="inner"))
            await self.sleep(timedelta(hours=1))
            return name

    class Outer(Saga):
        a = Compensatable(shop.do).compensated_by(shop.release)
        inner = Nested(Inner)

        async def run(self, name: str) -> str:
            await self.a(Item(name="outer"))
            return await self.inner(name)

    async with opened(Outer, given=given) as engine:
        handle: SagaHandle[str] = await engine.start(Outer, "x", id="one")
        async for fact in (await engine.get(Outer, "one")).facts():
            if fact.fact == "CallRegistered" and getattr(fact, "call", "") == "inner.1":
                break
        await given.delivered("one~inner.1/a.1")
        await handle.cancel(by="test", why="enough")
        with pytest.raises(SagaCompensatedError, match="cancelled"):
            await handle.result()
        states = {one.id: one.state async for one in engine.list()}
    assert given.log == ["do outer", "do inner", "release inner", "release outer"]
    assert set(states.values()) == {"COMPENSATED"}


@pytest.mark.peer("LRA-41", "TFE-30", "TPY-11")
async def test_an_activity_that_runs_while_cancelled_does_not_revive_the_saga(opened: Opened, given: Shop) -> None:
    """It is asked to stop, what it did is compensated, and the saga stays COMPENSATED."""
    given.gates["do b"] = asyncio.Event()
    async with opened(Three, given=given) as engine:
        handle = await engine.start(Three, "x", id="one")
        await given.delivered("one/b.1")
        await handle.cancel()
        await handle.cancel()
        with pytest.raises(SagaCompensatedError):
            await handle.result()
        given.gates["do b"].set()
        assert (await handle.view()).state is SagaState.COMPENSATED
    assert given.log == ["do a", "release b", "release a"]


@pytest.mark.peer("TPY-10", "LRA-11", "TFE-44")
async def test_requests_to_an_ended_saga_are_refused_and_leave_no_fact(opened: Opened, given: Shop) -> None:
    """Every act after the end is refused with the state, and the journal does not grow."""
    from saga.errors import ActRefusedError  # noqa: PLC0415 - one test uses it

    async with opened(Three, given=given) as engine:
        await engine.run(Three, "x", id="one")
        handle = await engine.get(Three, "one")
        before = (await handle.view()).facts
        with pytest.raises(ActRefusedError, match="COMPLETED"):
            await handle.cancel()
        with pytest.raises(ActRefusedError, match="COMPLETED"):
            await handle.retry(by="test", why="no reason")
        assert (await handle.view()).facts == before


@pytest.mark.peer("NEW-07")
async def test_a_step_in_doubt_that_run_catches_is_compensated_before_the_pivot(opened: Opened, given: Shop) -> None:
    """What may have happened is compensated before anything becomes final."""

    class Catches(Saga):
        a = Compensatable(shop.do, retry=ONCE, barrier=True).compensated_by(shop.release)
        b = Compensatable(shop.do).compensated_by(shop.release)
        pivot = Pivot(shop.do)
        after = Retriable(shop.do)
        look = ReadOnly(shop.do)

        async def run(self, name: str) -> str:
            try:
                await self.a(Item(name="a"))
            except StepInDoubt:
                await self.b(Item(name="b"))
            await self.pivot(Item(name="pivot"))
            await self.after(Item(name="after"))
            return name

    given.failing["do a"] = [Broken("who knows")]
    async with opened(Catches, given=given) as engine:
        assert await engine.run(Catches, "x", id="one") == "x"
    assert given.log == ["do b", "release a", "do pivot", "do after"]
