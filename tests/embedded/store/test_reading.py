"""What is read back: facts in order, pages that do not shift, counts, and through which index."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from saga.embedded._append import Batch, Change
from saga.embedded._listing import Filter
from saga.embedded._ownership import Ownership
from saga.embedded._store import Store
from tests.embedded.store.journals import NOW, SAGA, Pen, ago, first, last, more, pages


@pytest.fixture
def me(pen: Pen) -> Ownership:
    """An owner."""
    ownership = pen.store.ownership()
    ownership.beat()
    return ownership


async def test_claimed_instances_come_with_their_facts_in_order(pen: Pen, me: Ownership) -> None:
    """However their flushes were interleaved, and those of nobody else."""
    await pen.write(first("a"), first("b"), first("other", "somebody", saga="Other"))
    await pen.write(more("b", 2), more("a", 2, facts=3))
    await pen.write(more("b", 3))
    loaded = list(pen.store.load_open(me.claim([SAGA])))
    assert [(claim.id, claim.epoch) for claim, _ in loaded] == [("a", 2), ("b", 2)]
    assert [facts for _, facts in loaded] == [
        [(seq, *page) for seq, page in enumerate(pages(0, 5))],
        [(seq, *page) for seq, page in enumerate(pages(0, 4))],
    ]


async def test_many_instances_are_loaded_whole(pen: Pen, me: Ownership) -> None:
    """Where one query ends and the next begins, nothing is lost or doubled."""
    await pen.write(*[first(f"i-{number}", facts=1 + number % 3) for number in range(1203)])
    loaded = list(pen.store.load_open(me.claim([SAGA])))
    assert [(claim.id, len(facts)) for claim, facts in loaded] == [
        (f"i-{number}", 1 + number % 3) for number in range(1203)
    ]


async def test_facts_can_be_read_from_a_point_on(pen: Pen) -> None:
    """Whoever follows an instance reads only what is new."""
    await pen.write(first("a", facts=5))
    assert [fact[0] for fact in pen.store.load("a", after=2)] == [3, 4]
    assert pen.store.load("a", after=4) == []
    assert pen.store.load("nobody") == []


async def fill(pen: Pen) -> None:
    """Journal five instances of two classes in four states."""
    for number, name in enumerate(["Order-1", "order-1", "order%2", "order_3", "ORDER-1"]):
        batch = first(name, saga="Other" if name == "order_3" else SAGA)
        assert batch.new is not None
        new = type(batch.new)(batch.new.saga, "RUNNING", ago(100 - number))
        await pen.write(Batch(name, 1, 0, batch.facts, new=new))
    await pen.write(Batch("order-1", 1, 2, pages(2, 1), change=Change("STUCK", NOW)))
    await pen.write(last("order%2", 2), last("ORDER-1", 2, state="COMPENSATED"))


FILTERS: list[tuple[Filter, list[str]]] = [
    (Filter(), ["ORDER-1", "order_3", "order%2", "order-1", "Order-1"]),
    (Filter(saga="Other"), ["order_3"]),
    (Filter(states=["STUCK"]), ["order-1"]),
    (Filter(states=["STUCK", "COMPLETED"]), ["order%2", "order-1"]),
    (Filter(saga=SAGA, states={"RUNNING"}), ["Order-1"]),
    (Filter(open_only=True), ["order_3", "order-1", "Order-1"]),
    (Filter(id_prefix="order"), ["order_3", "order%2", "order-1"]),
    (Filter(id_prefix="order_"), ["order_3"]),
    (Filter(id_prefix="order%"), ["order%2"]),
    (Filter(id_prefix="ORDER-1"), ["ORDER-1"]),
    (Filter(id_prefix="' OR 1=1 --"), []),
    (Filter(started_from=ago(98)), ["ORDER-1", "order_3", "order%2"]),
    (Filter(started_before=ago(98)), ["order-1", "Order-1"]),
    (Filter(started_from=ago(99), started_before=ago(98)), ["order-1"]),
]


async def test_filters_hold_together(pen: Pen) -> None:
    """Newest first; an id's prefix is text, and upper and lower case differ."""
    await fill(pen)
    for wanted, found in FILTERS:
        assert [instance.id for instance in pen.store.list(wanted).instances] == found, wanted


async def test_pages_do_not_shift_while_new_instances_arrive(pen: Pen) -> None:
    """Whoever turns the pages sees each instance that was there, once."""
    await pen.write(*[first(f"i-{number}") for number in range(7)])
    seen: list[str] = []
    page = pen.store.list(limit=3)
    while True:
        seen += [instance.id for instance in page.instances]
        await pen.write(first(f"new-{len(seen)}"))
        if page.next is None:
            break
        page = pen.store.list(limit=3, after=page.next)
    assert seen == [f"i-{number}" for number in reversed(range(7))]


async def test_a_full_last_page_is_the_last(pen: Pen) -> None:
    """No empty page follows it."""
    await pen.write(*[first(f"i-{number}") for number in range(4)])
    page = pen.store.list(limit=2)
    assert page.next is not None
    assert pen.store.list(limit=2, after=page.next).next is None


async def test_instances_are_counted_by_state(pen: Pen) -> None:
    """Of all classes, or of one."""
    await fill(pen)
    assert pen.store.count() == {"RUNNING": 2, "STUCK": 1, "COMPLETED": 1, "COMPENSATED": 1}
    assert pen.store.count("Other") == {"RUNNING": 1}


@contextmanager
def statements(store: Store) -> Generator[list[tuple[str, Any]]]:
    """Note every statement and its parameters."""
    noted: list[tuple[str, Any]] = []

    def note(_c: object, _d: object, statement: str, parameters: Any, _x: object, _m: object) -> None:
        noted.append((statement, parameters))

    event.listen(store._database.engine, "before_cursor_execute", note)
    yield noted
    event.remove(store._database.engine, "before_cursor_execute", note)


WORK: dict[str, Callable[[Pen, Ownership], object]] = {
    "claim": lambda _, me: me.claim([SAGA]),
    "claim a few": lambda _, me: me.claim([SAGA, "Other"], limit=3),
    "load": lambda pen, me: list(pen.store.load_open(me.claim([SAGA]))),
    "load one": lambda pen, _: pen.store.load("a"),
    "get": lambda pen, _: pen.store.get("a"),
    "requests": lambda pen, me: pen.store.requests.take(me.owner),
    "put": lambda pen, _: pen.store.requests.put("i-1", "cancel"),
    "owned": lambda _, me: me.owned(),
    "list": lambda pen, _: pen.store.list(Filter(saga=SAGA, states=["STUCK"])),
}


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("work", WORK)
async def test_nothing_that_runs_again_and_again_reads_a_whole_table(pen: Pen, me: Ownership, work: str) -> None:
    """Recovery, heartbeats and requests cost the same however many instances have ended (P14.growth)."""
    await pen.write(*[first(f"i-{number}") for number in range(20)])
    with statements(pen.store) as noted:
        await asyncio.to_thread(WORK[work], pen, me)
    assert noted
    plans = [step for statement in noted for step in plan(pen.store, *statement)]
    read_whole = [step for step in plans if step.startswith("SCAN saga_")]
    assert [step for step in read_whole if "saga_owners" not in step] == []


def plan(store: Store, statement: str, parameters: Any) -> list[str]:
    """Return what SQLite would do."""
    if statement.startswith("BEGIN"):
        return []
    with sqlite3.connect(str(store._database.address)) as connection:
        rows = connection.execute("EXPLAIN QUERY PLAN " + statement, parameters).fetchall()
    connection.close()
    return [str(row[3]) for row in rows]


async def test_times_are_those_that_were_given(pen: Pen) -> None:
    """To the microsecond, in UTC."""
    await pen.write(first("a"), last("a", 2, at=NOW + timedelta(microseconds=1)))
    found = pen.store.get("a")
    assert found is not None
    assert (found.started_at, found.ended_at) == (NOW, NOW + timedelta(microseconds=1))
