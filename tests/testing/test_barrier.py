"""The barrier for fakes keeps the promises of the real one: the same deliveries come to the same on both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import Connection, Engine, create_engine

from saga import Compensatable, DidNotHappen, Effect, Finding, Happened, Pivot, Saga, StepRejected, participant
from saga.errors import KeyReusedError, SuspendedError
from saga.kernel import Kind, Role, StepContext, action_key, role_name
from saga.kernel._context import running_step
from saga.participant import barrier, create_barrier_tables, is_recorded
from saga.testing import behind_barrier, explore


class Debit(BaseModel):
    """What is asked for."""

    cents: int


class Overdrawn(Exception):
    """The bank says no."""


class Plain:
    """A fake without any care."""

    def __init__(self) -> None:
        self.bodies: list[str] = []
        self.cents = 100

    def debit(self, debit: Debit) -> int:
        self.bodies.append("debit")
        if debit.cents > self.cents:
            raise Overdrawn(f"{self.cents} are there")
        self.cents -= debit.cents
        return self.cents

    def refund(self, effect: Effect[Debit, int]) -> None:
        self.bodies.append(f"refund {effect.output} {effect.in_doubt}")
        self.cents += effect.input.cents

    def fix(self, cents: int) -> None:
        self.bodies.append(f"fix {cents}")

    def forget(self, cents: int) -> None:
        self.bodies.append(f"forget {cents}")

    def find(self, debit: Debit) -> Finding[int]:
        raise NotImplementedError


class Real:
    """The same bank, each method in a transaction behind the real barrier."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.plain = Plain()

    def _once(self, body: Callable[[Any], Any], value: Any, **options: Any) -> Any:
        def inside(_: Connection, value: Any) -> int | None:
            output: int | None = body(value)
            return output

        with self.engine.begin() as connection:
            return barrier.once(connection, inside, value, **options)

    def debit(self, debit: Debit) -> Any:
        return self._once(self.plain.debit, debit, rejects=[Overdrawn])

    def refund(self, effect: Effect[Debit, int]) -> Any:
        return self._once(self.plain.refund, effect)

    def fix(self, cents: int) -> Any:
        return self._once(self.plain.fix, cents)

    def forget(self, cents: int) -> Any:
        return self._once(self.plain.forget, cents)

    def find(self, debit: Debit) -> Any:
        with self.engine.connect() as connection:
            return barrier.probe(connection, int)


ROLES = {
    "debit": Role.ACTION,
    "refund": Role.COMPENSATION,
    "fix": Role.CONFIRMATION,
    "forget": Role.FORGET,
    "find": Role.PROBE,
}


@contextmanager
def step(role: Role, kind: Kind) -> Generator[None]:
    """A delivery for one call."""
    key = action_key("t-1", "debit.1")
    token = running_step.set(StepContext("Transfer", "t-1", "debit.1", kind, role, key, role_name(key, role)))
    try:
        yield
    finally:
        running_step.reset(token)


def deliver(bank: Any, deliveries: list[tuple[str, Any]], kind: Kind) -> list[object]:
    """Deliver one after the other; a refusal counts by its type and by whether it is recorded."""
    answers: list[object] = []
    for method, value in deliveries:
        with step(ROLES[method], kind):
            try:
                answers.append(getattr(bank, method)(value))
            except (StepRejected, Overdrawn) as error:
                refusal = type(error) if isinstance(error, SuspendedError) else StepRejected
                answers.append((refusal, is_recorded(error)))
            except KeyReusedError:
                answers.append(KeyReusedError)
    return answers


SMALL, OTHER, LARGE = Debit(cents=30), Debit(cents=31), Debit(cents=300)
KNOWN = Effect[Debit, int](input=SMALL, output=70, in_doubt=False)
DOUBT = Effect[Debit, int](input=SMALL, output=None, in_doubt=True)
LARGE_DOUBT = Effect[Debit, int](input=LARGE, output=None, in_doubt=True)

DELIVERIES: dict[str, list[tuple[str, Any]]] = {
    "a repeat": [("debit", SMALL), ("debit", SMALL)],
    "another input": [("debit", SMALL), ("debit", OTHER), ("debit", SMALL)],
    "a rejection": [("debit", LARGE), ("debit", LARGE)],
    "a rejection, then another input": [("debit", LARGE), ("debit", SMALL)],
    "a compensation": [("debit", SMALL), ("refund", KNOWN), ("refund", KNOWN), ("debit", SMALL)],
    "a compensation in doubt": [("debit", SMALL), ("refund", DOUBT), ("refund", DOUBT)],
    "an empty compensation": [("refund", DOUBT), ("refund", DOUBT), ("debit", SMALL), ("find", SMALL)],
    "a compensation of what was rejected": [("debit", LARGE), ("refund", LARGE_DOUBT), ("debit", LARGE)],
    "a probe that finds": [("debit", SMALL), ("find", SMALL), ("debit", SMALL)],
    "a probe that finds nothing": [("find", SMALL), ("debit", SMALL), ("find", SMALL)],
    "a probe of what was rejected": [("debit", LARGE), ("find", LARGE)],
    "a probe of what was compensated": [("debit", SMALL), ("refund", KNOWN), ("find", SMALL)],
    "a confirmation": [("debit", SMALL), ("fix", 70), ("fix", 70), ("find", SMALL), ("debit", SMALL)],
    "a confirmation of what was compensated": [("debit", SMALL), ("refund", KNOWN), ("fix", 70)],
    "a confirmation of nothing": [("fix", 70)],
    "a compensation of what is confirmed": [("debit", SMALL), ("fix", 70), ("refund", KNOWN)],
    "forgotten twice": [("debit", SMALL), ("forget", 70), ("forget", 70)],
}


@pytest.mark.parametrize("case", DELIVERIES)
@pytest.mark.parametrize("kind", [Kind.COMPENSATABLE, Kind.RETRIABLE])
def test_deliveries_come_to_the_same_as_behind_the_real_barrier(case: str, kind: Kind) -> None:
    """Answers, bodies that ran, and what is left of the money."""
    real = Real(create_engine("sqlite://"))
    create_barrier_tables(real.engine)
    plain = Plain()
    fake = behind_barrier(plain, rejects=[Overdrawn])
    assert deliver(fake, DELIVERIES[case], kind) == deliver(real, DELIVERIES[case], kind)
    assert (plain.bodies, plain.cents) == (real.plain.bodies, real.plain.cents)
    real.engine.dispose()


def test_what_a_test_does_itself_is_the_fakes_own() -> None:
    """Attributes, calls of any number of arguments, and values that are set."""
    bank = behind_barrier(Plain())
    assert (bank.debit(SMALL), bank.debit(SMALL), bank.cents) == (70, 40, 40)
    bank.cents = 5
    assert bank.debit(Debit(cents=5)) == 0


class Waits(Plain):
    """The same, with `async`."""

    async def debit_later(self, debit: Debit) -> int:
        await asyncio.sleep(0)
        return self.debit(debit)


async def test_coroutines_are_guarded_too() -> None:
    """A repeat is not performed, a rejection stays."""
    plain = Waits()
    bank = behind_barrier(plain, rejects=[Overdrawn])
    assert await bank.debit_later(SMALL) == 70
    with step(Role.ACTION, Kind.PIVOT):
        assert [await bank.debit_later(SMALL), await bank.debit_later(SMALL)] == [40, 40]
    assert plain.bodies == ["debit", "debit"]
    other = behind_barrier(Waits(), rejects=[Overdrawn])
    with step(Role.ACTION, Kind.PIVOT):
        for _ in range(2):
            with pytest.raises(Overdrawn):
                await other.debit_later(LARGE)


bank_of = participant(Plain, "bank")


class Payment(Saga):
    """Debits, and pays a fee by the pivot."""

    debit = Compensatable(bank_of.debit, rejects=[Overdrawn], barrier=True).compensated_by(bank_of.refund)
    fee = Pivot(bank_of.debit, rejects=[Overdrawn], barrier=True).probed_by(bank_of.find)

    async def run(self, debit: Debit) -> int:
        await self.debit(debit)
        return await self.fee(Debit(cents=1))


async def test_a_plain_fake_behind_it_survives_every_fault() -> None:
    """A fake without any care keeps every cent in an exploration."""

    def holds(participants: Any, view: Any) -> bool:
        return bool(participants["bank"].cents == (69 if view.state == "COMPLETED" else 100))

    def fresh() -> dict[str, Plain]:
        return {"bank": behind_barrier(Plain(), rejects=[Overdrawn])}

    report = await explore(Payment, SMALL, participants=fresh, invariant=holds, limit=400)
    assert {"a probe found: happened", "a probe found: did not happen"} <= set(report.seen)


def test_findings_are_told_apart() -> None:
    """A probe returns what the kernel takes."""
    bank = behind_barrier(Plain())
    with step(Role.PROBE, Kind.PIVOT):
        assert bank.find(SMALL) == DidNotHappen()
    known = behind_barrier(Plain())
    with step(Role.ACTION, Kind.PIVOT):
        known.debit(SMALL)
    with step(Role.PROBE, Kind.PIVOT):
        assert known.find(SMALL) == Happened(output=70)
