"""Generated sagas: programs over steps of every kind and policy, as Hypothesis draws them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from hypothesis import strategies as st

from saga import (
    Compensatable,
    Decision,
    DecisionTimedOut,
    Nested,
    Pivot,
    ReadOnly,
    Retriable,
    Saga,
    SagaAborted,
    StepInDoubt,
    StepRejected,
)
from tests.testing.sagas import MINUTE, ONCE, TWICE, Part, Refused, other, shelf

FAILURES = (StepRejected, StepInDoubt, TimeoutError, DecisionTimedOut)


class Steps(Saga):
    """Steps of every kind, under every policy that changes what the rules do."""

    guarded = Compensatable(shelf.put, rejects=[Refused], barrier=True).compensated_by(shelf.take)
    quick = Compensatable(other.put_at_once, retry=ONCE, safe_to_overtake=True).compensated_by(other.take)
    settling = Compensatable(other.put, settle_time=MINUTE, retry=TWICE).compensated_by(other.take, retry=TWICE)
    unguarded = Compensatable(shelf.put, rejects=[Refused], retry=TWICE).compensated_by(shelf.take)
    tentative = (
        Compensatable(shelf.put, barrier=True)
        .compensated_by(shelf.take)
        .confirmed_by(shelf.fix, retry=TWICE)
        .forgotten_by(shelf.forget)
    )
    part = Nested(Part)
    look = ReadOnly(shelf.look)
    ask = Decision(bool, within=timedelta(hours=1))


class Pivoted(Steps):
    """With a pivot behind a barrier."""

    pay = Pivot(other.put, rejects=[Refused], barrier=True, retry=TWICE).probed_by(other.find)
    tell = Retriable(other.tell)
    file = Retriable(other.tell, retry=TWICE)


class Unprobed(Steps):
    """With a pivot that only an operator can find out about."""

    pay = Pivot(other.put, rejects=[Refused], retry=TWICE)
    tell = Retriable(other.tell)
    file = Retriable(other.tell, retry=TWICE)


class Settling(Steps):
    """With a pivot that settles after a while."""

    pay = Pivot(other.put, rejects=[Refused], settle_time=MINUTE, retry=ONCE).probed_by(other.find)
    tell = Retriable(other.tell)
    file = Retriable(other.tell, retry=TWICE)


class Unpivoted(Steps):
    """Without one."""

    tell = Retriable(other.tell)


BEFORE = ("guarded", "quick", "settling", "unguarded", "tentative", "part", "look")
AFTER = ("tell", "look")

Program = Callable[[Any, int], Awaitable[None]]  # on the saga's object


@dataclass(frozen=True)
class Node:
    """A piece of a program, with a text that is read when an example fails."""

    text: str
    do: Program

    def __repr__(self) -> str:
        return self.text


def call(step: str) -> Node:
    """Call one step."""

    async def do(saga: Any, amount: int) -> None:
        await getattr(saga, step)("told" if step in {"tell", "file"} else amount)

    return Node(step, do)


async def ask(saga: Any, amount: int) -> None:
    """Await the decision; a refusal gives the saga up."""
    if not await saga.ask():
        raise SagaAborted("refused")


async def ask_patiently(saga: Any, amount: int) -> None:
    """Await the decision, and do not mind the answer."""
    await saga.ask()


async def rest(saga: Any, amount: int) -> None:
    """Sleep."""
    await saga.sleep(timedelta(seconds=20))


def sequence(nodes: list[Node]) -> Node:
    """One after the other."""

    async def do(saga: Any, amount: int) -> None:
        for node in nodes:
            await node.do(saga, amount)

    return Node(f"({'; '.join(map(repr, nodes))})", do)


def gathered(nodes: list[Node]) -> Node:
    """All at once, by `gather`."""

    async def do(saga: Any, amount: int) -> None:
        await asyncio.gather(*(node.do(saga, amount) for node in nodes))

    return Node(f"gather{nodes}", do)


def grouped(nodes: list[Node]) -> Node:
    """All at once, in a task group."""

    async def do(saga: Any, amount: int) -> None:
        async with asyncio.TaskGroup() as group:
            for node in nodes:
                group.create_task(one(node, saga, amount))

    async def one(node: Node, saga: Any, amount: int) -> None:
        await node.do(saga, amount)

    return Node(f"group{nodes}", do)


def raced(nodes: list[Node]) -> Node:
    """The first one wins; the others are given up."""

    async def do(saga: Any, amount: int) -> None:
        tasks = [asyncio.ensure_future(one(node, saga, amount)) for node in nodes]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        for task in done:
            task.result()

    async def one(node: Node, saga: Any, amount: int) -> None:
        await node.do(saga, amount)

    return Node(f"race{nodes}", do)


def limited(node: Node, seconds: int) -> Node:
    """Within a time limit."""

    async def do(saga: Any, amount: int) -> None:
        async with asyncio.timeout(seconds):
            await node.do(saga, amount)

    return Node(f"within {seconds} s: {node}", do)


def tried(node: Node, instead: Node) -> Node:
    """Another way, if the first one fails."""

    async def do(saga: Any, amount: int) -> None:
        try:
            await node.do(saga, amount)
        except* FAILURES:
            failed = True
        else:
            failed = False
        if failed:
            await instead.do(saga, amount)

    return Node(f"try {node} else {instead}", do)


def cleaned(node: Node, last: Node) -> Node:
    """With something that is done in any case."""

    async def do(saga: Any, amount: int) -> None:
        try:
            await node.do(saga, amount)
        finally:
            await last.do(saga, amount)

    return Node(f"do {node} finally {last}", do)


def left(node: Node) -> Node:
    """Started and never awaited."""

    async def do(saga: Any, amount: int) -> None:
        saga.left = asyncio.ensure_future(quiet(saga, amount))

    async def quiet(saga: Any, amount: int) -> None:
        try:
            await node.do(saga, amount)
        except (*FAILURES, ExceptionGroup, SagaAborted):
            return

    return Node(f"leave {node}", do)


def trees(names: tuple[str, ...], *, early: bool) -> st.SearchStrategy[Node]:
    """Programs over some steps; what may raise has to come early, before the point of no return."""
    leaves = [st.sampled_from(names).map(call), st.just(Node("rest", rest))]
    if early:
        leaves += [st.just(Node("ask", ask)), st.just(Node("ask or not", ask_patiently))]

    def larger(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
        some = st.lists(inner, min_size=2, max_size=3)
        return st.one_of(
            some.map(sequence),
            some.map(gathered),
            some.map(grouped),
            some.map(raced),
            st.builds(tried, inner, inner),
            st.builds(left, inner),
            *([st.builds(limited, inner, st.sampled_from([1, 25, 70]))] if early else []),
        )

    return st.recursive(st.one_of(leaves), larger, max_leaves=4)


DEEPEST: Final = 12
"""How many turns of the loop it takes at most until everything that is left behind has begun."""


@st.composite
def sagas(draw: st.DrawFn) -> tuple[type, str]:
    """A saga class, and its program as text."""
    before = draw(trees(BEFORE, early=True))
    base: Any = draw(st.sampled_from([Unpivoted, Pivoted, Unprobed, Settling]))
    pivoted = base is not Unpivoted
    nodes = [before]
    if pivoted:
        pay = call("pay")
        nodes.append(
            draw(st.sampled_from([pay, tried(pay, sequence([call("guarded"), pay])), gathered([call("look"), pay])]))
        )
    if draw(st.booleans()):
        after = trees(("tell", "file", "look") if pivoted else ("tell",), early=False)
        nodes.append(draw(after))
    if not pivoted and draw(st.booleans()):
        nodes = [cleaned(nodes[0], call("look")), *nodes[1:]]
    program = sequence(nodes)
    within = draw(st.sampled_from([None, timedelta(minutes=3)]))

    class Generated(base):  # type: ignore[misc]  # one of some classes
        deadline = within

        async def run(self, amount: int) -> int:
            await program.do(self, amount)
            for _ in range(DEEPEST):
                await asyncio.sleep(0)  # what is left behind has to have begun, or the kernel refuses it
            return amount

    return Generated, f"{base.__name__}: {program} deadline {within}"
