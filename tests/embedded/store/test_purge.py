"""Purging: what ended long ago goes, with all that belongs to it, and nothing else."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import func, select

from saga.embedded._purge import Purged
from saga.embedded._store import Store
from saga.embedded._tables import metadata
from tests.embedded.store.journals import NOW, SAGA, Pen, ago, first, last, written

LATER = NOW + timedelta(seconds=1)


def ids(store: Store) -> set[str]:
    """Return the ids of all instances."""
    return {instance.id for instance in store.list(limit=1000).instances}


async def test_what_ended_before_goes_with_its_facts_and_requests(pen: Pen) -> None:
    """What ended at that moment or later stays, and what never ended."""
    await pen.write(first("old"), first("new"), first("open"))
    pen.store.requests.put("old", "cancel")
    await pen.write(last("old", 2, at=ago(10)), last("new", 2, at=ago(5)))
    assert pen.store.purge(ended_before=ago(5)) == Purged(1, 3, 1)
    assert ids(pen.store) == {"new", "open"}
    assert pen.store.load("old") == []
    assert written(pen.store, "new") == [0, 1, 2]
    assert pen.store.purge(ended_before=ago(5)) == Purged(0, 0, 0)


async def test_nothing_is_left_of_what_was_purged(pen: Pen) -> None:
    """No row of any table remains."""
    await pen.write(first("a"))
    pen.store.requests.put("a", "cancel")
    await pen.write(last("a", 2))
    pen.store.purge(ended_before=LATER)
    with pen.store._database.read() as connection:
        left = {name: connection.scalar(select(func.count()).select_from(t)) for name, t in metadata.tables.items()}
    assert left == {name: int(name == "saga_journal_version") for name in metadata.tables}


async def test_only_the_sagas_that_were_named_go(pen: Pen) -> None:
    """The others stay."""
    await pen.write(first("a"), first("b", saga="Other"), last("a", 2), last("b", 2))
    assert pen.store.purge(ended_before=LATER, sagas=["Other"]).instances == 1
    assert ids(pen.store) == {"a"}
    assert pen.store.purge(ended_before=LATER, sagas=[]).instances == 0


async def test_it_goes_in_small_steps(pen: Pen) -> None:
    """Each step is a transaction of its own, so that flushes come between."""
    names = [f"i-{number}" for number in range(10)]
    await pen.write(*[first(name) for name in names], *[last(name, 2) for name in names])
    flushes = pen.store.flushes
    assert pen.store.purge(ended_before=LATER, at_once=3) == Purged(10, 30, 0)
    assert pen.store.flushes - flushes == 4


async def test_children_of_an_open_saga_stay_at_any_depth(pen: Pen) -> None:
    """A compensation of the open one may need what they recorded."""
    await pen.write(
        first("p"),
        first("p~x.1", parent="p"),
        first("p~x.1~y.1", parent="p~x.1"),
        last("p~x.1", 2),
        last("p~x.1~y.1", 2),
    )
    assert pen.store.purge(ended_before=LATER).instances == 0
    await pen.write(last("p", 2))
    assert pen.store.purge(ended_before=LATER) == Purged(3, 9, 0)


async def test_children_go_with_their_parent_whatever_their_class(pen: Pen) -> None:
    """Left behind, they would be found by a later saga that gets the parent's id."""
    await pen.write(
        first("p"),
        first("p~x.1", parent="p", saga="Child"),
        first("p~x.1~y.1", parent="p~x.1", saga="Grandchild"),
        last("p~x.1~y.1", 2),
        last("p~x.1", 2),
        last("p", 2),
    )
    assert pen.store.purge(ended_before=LATER, sagas=[SAGA]) == Purged(3, 9, 0)
    assert ids(pen.store) == set()


async def test_a_family_larger_than_a_step_goes_whole(pen: Pen) -> None:
    """Half of it is never seen."""
    children = [f"p~x.{number}" for number in range(250)]
    await pen.write(first("p"), *[first(name, parent="p", facts=1) for name in children])
    await pen.write(*[last(name, 1) for name in children], last("p", 2))
    flushes = pen.store.flushes
    assert pen.store.purge(ended_before=LATER, sagas=[SAGA], at_once=1).instances == 251
    assert ids(pen.store) == set()
    assert pen.store.flushes > flushes


async def test_an_id_is_free_again_after_the_purge(pen: Pen) -> None:
    """Uniqueness lasts until then."""
    await pen.write(first("a"), last("a", 2))
    pen.store.purge(ended_before=LATER)
    await pen.write(first("a", facts=1))
    assert written(pen.store, "a") == [0]
