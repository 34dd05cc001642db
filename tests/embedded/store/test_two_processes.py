"""Two real processes on one journal: killed, stopped, taken over from, and fenced."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from saga.embedded._database import Point
from saga.embedded._ownership import Claim, Ownership
from saga.embedded._store import Store
from tests.embedded.store.another_process import another
from tests.embedded.store.conftest import Opener
from tests.embedded.store.journals import SAGA, Pen, more, written

PenOn = Callable[[Store], Pen]
OVER = timedelta(microseconds=1)
"""A lease that has ended as soon as it began: whoever has it is dead to the others."""


@pytest.fixture
def mine(store: Store) -> Ownership:
    """This process as an owner."""
    ownership = store.ownership()
    ownership.beat()
    return ownership


def claimed(ownership: Ownership) -> list[Claim]:
    """Claim until something is claimed."""
    while not (claims := ownership.claim([SAGA])):
        pass
    return claims


@pytest.mark.parametrize(
    ("url", "collected"), [("sqlite", True), ("sqlite", False), ("postgres", True)], indirect=["url"]
)
def test_what_a_killed_process_drove_is_claimed_at_once(
    store: Store, mine: Ownership, url: str, *, collected: bool
) -> None:
    """A process that is gone from this machine is dead long before its lease of an hour ends.

    So is one that its parent has not collected yet, as in a container whose first process collects nobody.
    """
    with another(url) as other:
        assert other.told("start", "a") == "done"
        assert mine.claim([SAGA]) == []
        other.kill(collected=collected)
        assert [(claim.id, claim.epoch, claim.crashed) for claim in mine.claim([SAGA])] == [("a", 2, True)]
    assert written(store, "a") == [0, 1]


@pytest.mark.parametrize("point", Point)
def test_a_process_killed_in_the_middle_of_a_flush_leaves_all_or_nothing(
    store: Store, mine: Ownership, url: str, point: Point
) -> None:
    """SIGKILL at every point of a flush: what was acknowledged is there, and half a flush never."""
    with another(url) as other:
        assert other.told("start", "a") == "done"
        assert other.told("die", point.name) == "armed"
        assert other.told("append", "a", 2, 1) == ""
        assert written(store, "a") == ([0, 1, 2] if point is Point.AFTER_COMMIT else [0, 1])
        other.kill()
        (claim,) = claimed(mine)
        (loaded,) = store.load_open([claim])
        assert [fact[0] for fact in loaded.facts] == written(store, "a")


async def test_a_process_that_was_stopped_too_long_is_fenced(
    store: Store, mine: Ownership, url: str, pen_on: PenOn
) -> None:
    """It wakes up, believes that it still owns the instance, and cannot write a fact (NEW-05)."""
    with another(url, lease=OVER) as other:
        assert other.told("start", "a") == "done"
        other.stop()
        (claim,) = claimed(mine)
        assert claim.epoch == 2
        await pen_on(store).write(more("a", 2, epoch=2))
        other.go_on()
        assert other.told("append", "a", 2, 1) == "OwnershipLostError"
        assert other.told("append", "a", 3, 1) == "OwnershipLostError"
        assert other.told("claim") == "nothing"
    assert written(store, "a") == [0, 1, 2]


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_disk_that_refuses_to_write_loses_nothing_that_was_acknowledged(
    store: Store, mine: Ownership, url: str
) -> None:
    """The system itself fails the write; what was said to be done is there, and another process goes on."""
    with another(url) as other:
        assert other.told("start", "a") == "done"
        wal = Path(f"{store.place}-wal").stat().st_size
        assert other.told("limit", wal + 20_000) == "limited"
        answers = [other.told("append", "a", seq, 1) for seq in range(2, 60)]
        done = answers.count("done")
        assert 0 < done < len(answers)
        assert answers == ["done"] * done + ["JournalWriteError"] * (len(answers) - done)
        assert written(store, "a") == list(range(2 + done))
        other.kill()
        assert [claim.id for claim in claimed(mine)] == ["a"]


def test_two_processes_start_one_id_once(store: Store, url: str) -> None:
    """Whoever comes second learns that the id is taken."""
    with another(url) as one, another(url) as two:
        one.tell("start", "a")
        two.tell("start", "a")
        assert sorted([one.answer(), two.answer()]) == ["DuplicateInstanceError", "done"]
    assert written(store, "a") == [0, 1]


def test_processes_share_the_work(store: Store, url: str) -> None:
    """What a killed one leaves goes to either of the others, and to one only."""
    with another(url) as one, another(url) as two:
        with another(url) as dead:
            assert {dead.told("start", f"i-{number}") for number in range(20)} == {"done"}
        one.tell("claim")
        two.tell("claim")
        answers = [one.answer(), two.answer()]
    shared = sorted(name for answer in answers for name in answer.split() if name != "nothing")
    assert shared == sorted(f"i-{number}" for number in range(20))
    assert {found.epoch for found in store.list().instances} == {2}


def test_a_claim_never_overlooks_a_fact_that_is_being_committed(opened: Opener, postgres_url: str) -> None:
    """On PostgreSQL a claim passes over an instance while its former owner stands before COMMIT.

    Else it would read a journal without that fact, and number its own facts over it.
    """
    store = opened(postgres_url)
    mine = store.ownership()
    mine.beat()
    with another(postgres_url, lease=OVER) as other:
        assert other.told("start", "a") == "done"
        assert other.told("stop", Point.BEFORE_COMMIT.name) == "armed"
        assert other.told("append", "a", 2, 1) == "stopped"
        assert mine.claim([SAGA]) == []
        other.go_on()
        assert other.answer() == "done"
        (claim,) = claimed(mine)
        (loaded,) = store.load_open([claim])
        assert [fact[0] for fact in loaded.facts] == [0, 1, 2]
        assert other.told("append", "a", 3, 1) == "OwnershipLostError"
