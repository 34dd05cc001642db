"""Whatever happens in whatever order, the rules hold: random walks through everything that can happen to an instance.

Each step of a walk also resumes the whole journal afresh (see `Driven`), and sometimes goes on with what was resumed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from saga import Saga, StepInDoubt, StepRejected
from saga.errors import ActRefusedError
from saga.kernel import CallRecord, Instance, view_of
from saga.kernel import _facts as f
from saga.kernel._names import split_role
from saga.kernel._values import CallState, Kind, Role, SagaState
from tests.kernel._drive import Driven
from tests.kernel._programs import PROGRAMS
from tests.kernel._sagas import Pivotless, Steps, Tentative, Unprobed, pivotless, tentative, transfer, unprobed

OUTPUTS = {"rate": "7", "notify": "null", "archive": "null"}
FINISHED = {CallState.DONE, CallState.SKIPPED}


async def catches(saga: Steps, amount: int) -> str:
    """Another way after everything that can go wrong."""
    for _ in range(2):
        try:
            await saga.slow(amount)
            break
        except (StepRejected, StepInDoubt):
            await saga.fee(1)
    try:
        return await saga.credit(amount)
    except StepRejected:
        await saga.debit(amount)
        return await saga.credit(amount + 1)


async def impatient(saga: Steps, amount: int) -> str:
    """Gives up what takes too long."""
    try:
        async with asyncio.timeout(5):
            await asyncio.gather(saga.slow(1), saga.debit(2))
    except (TimeoutError, StepRejected, StepInDoubt):
        await saga.fee(3)
    credited = await saga.credit(amount)
    await asyncio.gather(saga.notify("a"), saga.archive("b"))
    return credited


async def held(saga: Tentative, amount: int) -> str:
    """Two tentative effects."""
    await saga.fee(1)
    await asyncio.gather(saga.hold(1), saga.hold(2))
    credited = await saga.credit(amount)
    await saga.notify("done")
    return credited


async def bare(saga: Unprobed, amount: int) -> str:
    """A pivot that nobody can ask about."""
    await saga.debit(amount)
    credited = await saga.credit(amount)
    await saga.notify("done")
    return credited


async def without(saga: Pivotless, amount: int) -> str:
    """No pivot: the first retriable step decides."""
    postings = await asyncio.gather(saga.debit(amount), saga.fee(1))
    await saga.archive("one")
    await saga.notify("two")
    return postings[0]


async def to_the_end(saga: Pivotless, amount: int) -> str:
    """Nothing decides before the end."""
    task = asyncio.create_task(saga.debit(1))
    await saga.fee(2)
    return task.get_name()


SAGAS: dict[str, type[Saga]] = {
    "catches": transfer(catches),
    "impatient": transfer(impatient),
    "held": tentative(held),
    "bare": unprobed(bare),
    "without": pivotless(without),
    "to the end": pivotless(to_the_end),
    **{name: transfer(PROGRAMS[name]) for name in ("task_group_caught", "wait_first", "decision_race", "shield")},
}


# -- what can happen -------------------------------------------------------------------


def outcomes(driven: Driven) -> list[Callable[[], object]]:
    """What can become of each call in flight, probes and compensations among them."""
    found: list[Callable[[], object]] = []
    for record in list(driven.instance.in_flight.values()):
        name = record.name
        if record.role is Role.PROBE:
            found += [lambda c=record.call: driven.happened(c, '"x"'), lambda c=record.call: driven.did_not_happen(c)]
            continue
        output = OUTPUTS.get(record.step, f'"{name}"') if record.role is Role.ACTION else "null"
        found += [
            lambda n=name, o=output: driven.done(n, o),
            lambda n=name, o=output: driven.done(n, o, overdue=True, attempts=2),
            lambda n=name: driven.rejected(n),
            lambda n=name: driven.in_doubt(n),
            lambda n=name: driven.in_doubt(n, overdue=True),
        ]
    return found


def acts(driven: Driven) -> list[Callable[[], object]]:
    """What somebody may try, allowed or not."""
    found: list[Callable[[], object]] = [driven.cancel, driven.abort, driven.retry]
    for record in driven.instance.calls.values():
        if record.role is Role.ACTION:
            output = OUTPUTS.get(record.step, f'"{record.name}"')
            found += [
                lambda c=record.call: driven.skip(c),
                lambda c=record.call, o=output: driven.resolve_happened(c, o),
                lambda c=record.call: driven.resolve_did_not_happen(c),
            ]
    found += [lambda c=call: driven.decide(c, "true") for call in driven.instance.decisions]
    return found


def others(driven: Driven, saga: type) -> list[Callable[[], object]]:
    """Time, crashes, and the next owner."""
    due = driven.decider.next_due()
    return [
        *([driven.fire] if due is not None else []),
        lambda: driven.resumed(crashed=True),
        lambda: driven.resumed(crashed=False),
        lambda: driven.reload(saga),
    ]


# -- what must hold --------------------------------------------------------------------


class Watch:
    """Folds a journal again, and looks at every fact as it comes."""

    def __init__(self) -> None:
        self._instance = Instance()
        self._seen = 0
        self._retried = False

    def look(self, driven: Driven) -> None:
        """Check what is new."""
        for fact in driven.facts[self._seen :]:
            if isinstance(fact, f.CallRegistered):
                self._registered(fact, driven)
            elif isinstance(fact, f.RecoveryStarted):
                assert not self._instance.committed, driven.log
                assert not self._instance.committing, driven.log
            self._retried = self._retried or isinstance(fact, f.Retried)
            self._instance.fold(fact)
        self._seen = len(driven.facts)
        if self._instance.ended:
            self._ended(driven)
        view_of(self._instance).page()

    def _registered(self, fact: f.CallRegistered, driven: Driven) -> None:
        instance = self._instance
        call, role = split_role(fact.call)
        assert instance.state in {SagaState.RUNNING, SagaState.COMPENSATING}, driven.log
        if role is Role.ACTION:
            assert not instance.recovering, driven.log
            assert not instance.committing, driven.log
            if fact.commits:
                assert not instance.in_flight, driven.log
                assert not list(self._uncompensated(in_doubt_only=True)), driven.log
            return
        action = instance.calls[call]
        if role is Role.COMPENSATION:
            assert action.state in {CallState.DONE, CallState.IN_DOUBT}, driven.log
            assert not action.after_commit, driven.log
            assert not instance.committed, driven.log
            running = [one for one in instance.in_flight.values() if one.role is not Role.COMPENSATION]
            assert not (instance.recovering and any(one.role is Role.ACTION for one in running)), driven.log
            if not self._retried:
                assert not any(one.role is Role.COMPENSATION for one in instance.in_flight.values()), driven.log
        elif role is Role.PROBE:
            assert action.state is CallState.IN_DOUBT, driven.log
        else:
            assert action.state is CallState.DONE, driven.log

    def _uncompensated(self, *, in_doubt_only: bool = False) -> list[CallRecord]:
        states = {CallState.IN_DOUBT} if in_doubt_only else {CallState.IN_DOUBT, CallState.DONE}
        found: list[CallRecord] = []
        for record in self._instance.calls.values():
            if record.role is Role.ACTION and record.kind is Kind.COMPENSATABLE and record.state in states:
                compensation = self._instance.calls.get(f"{record.call}/compensation")
                if compensation is None or compensation.state not in FINISHED:
                    found.append(record)
        return found

    def _ended(self, driven: Driven) -> None:
        instance = self._instance
        assert not instance.in_flight, driven.log
        if instance.state is SagaState.COMPENSATED:
            assert not self._uncompensated(), driven.log
            assert not instance.committed, driven.log
        else:
            assert not self._uncompensated(in_doubt_only=True), driven.log
            confirmations = [one for one in instance.calls.values() if one.role in {Role.CONFIRMATION, Role.FORGET}]
            assert all(one.state in FINISHED for one in confirmations), driven.log


@given(st.sampled_from(sorted(SAGAS)), st.data())
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_the_rules_hold_on_every_walk(name: str, data: st.DataObject) -> None:
    """Nothing registers that may not, nothing is left uncompensated, and every resume agrees."""
    saga = SAGAS[name]
    driven = Driven(saga)
    watch = Watch()
    watch.look(driven)
    for _ in range(data.draw(st.integers(1, 25), label="steps")):
        if driven.instance.ended:
            break
        groups = [outcomes(driven), outcomes(driven), others(driven, saga), acts(driven)]
        moves = data.draw(st.sampled_from([group for group in groups if group]))
        move = data.draw(st.sampled_from(moves))
        try:
            move()
        except ActRefusedError:
            continue
        note(driven.log[-1])
        watch.look(driven)
