"""The start of a nested instance is conditional on its parent, in the statement that inserts it (S16)."""

from __future__ import annotations

import pytest

from saga.embedded._append import Batch, NewInstance
from saga.embedded._ownership import Ownership
from saga.embedded._store import Store
from saga.errors import OwnershipLostError
from tests.embedded.store.conftest import Pens
from tests.embedded.store.journals import NOW, SAGA, Pen, first, last, pages


def child_of(parent: str, *, epoch: int) -> Batch:
    """Return the batch that starts a child."""
    new = NewInstance(SAGA, "RUNNING", NOW, "me", parent, parent_epoch=epoch)
    return Batch(f"{parent}~c.1", 1, 0, pages(0, 2), new=new)


async def test_a_child_starts_while_its_parent_is_open_and_owned(pens: Pens, store: Store) -> None:
    """Under the epoch that the parent's owner has; even in the flush that starts the parent."""
    await pens().write(first("p"), child_of("p", epoch=1))
    found = store.get("p~c.1")
    assert found is not None
    assert (found.parent, found.state, found.owner, found.epoch) == ("p", "RUNNING", "me", 1)
    assert len(store.load("p~c.1")) == 2


@pytest.mark.parametrize("epoch", [0, 2])
async def test_a_child_is_refused_under_another_epoch(pens: Pens, store: Store, epoch: int) -> None:
    """Nothing of it is written, and what shares its flush is."""
    pen = pens()
    await pen.write(first("p"))
    said, beside = await pen.tried(child_of("p", epoch=epoch), first("b"))
    assert beside is None
    assert isinstance(said, OwnershipLostError)
    assert "p~c.1" in str(said)
    assert "nothing was written" in str(said)
    assert store.get("p~c.1") is None
    assert store.load("p~c.1") == []


async def test_a_child_is_refused_after_its_parent_was_taken_over(pens: Pens, store: Store) -> None:
    """By whoever drove the parent before."""
    pen = pens()
    await pen.write(first("p"))
    owner: Ownership = pens().store.ownership()
    owner.beat()
    assert [claim.epoch for claim in owner.claim([SAGA])] == [2]
    await refused(pen, store, epoch=1)
    await pen.write(child_of("p", epoch=2))


async def test_a_child_is_refused_after_its_parent_has_ended(pens: Pens, store: Store) -> None:
    """Even under the epoch that the parent ended with."""
    pen = pens()
    await pen.write(first("p"))
    await pen.write(last("p", 2))
    await refused(pen, store, epoch=1)


async def test_a_child_is_refused_without_a_parent(pens: Pens, store: Store) -> None:
    """As after a purge."""
    await refused(pens(), store, epoch=1)


async def refused(pen: Pen, store: Store, *, epoch: int) -> None:
    """Try to start a child, in vain."""
    (said,) = await pen.tried(child_of("p", epoch=epoch))
    assert isinstance(said, OwnershipLostError)
    assert store.get("p~c.1") is None
