"""Heartbeats and claims: who is believed to live, and what a claim takes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from sqlalchemy import select, update

from saga.embedded._ownership import Ownership
from saga.embedded._process import Process
from saga.embedded._store import Store
from saga.embedded._tables import owners
from saga.errors import OwnershipLostError
from tests.embedded.store.conftest import Opener
from tests.embedded.store.journals import SAGA, Pen, first, last, more

OVER = timedelta(microseconds=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def join(store: Store) -> Callable[..., Ownership]:
    """Register another owner."""

    def join_(*, lease: timedelta = HOUR) -> Ownership:
        ownership = store.ownership(lease=lease)
        ownership.beat()
        return ownership

    return join_


Join = Callable[..., Ownership]


def ids(ownership: Ownership, *, limit: int | None = None) -> list[str]:
    """Return the ids of what is claimed now."""
    return [claim.id for claim in ownership.claim([SAGA], limit=limit)]


async def test_what_an_owner_let_go_is_claimed_at_once(pen: Pen, join: Join) -> None:
    """Closing an engine needs one row, however many instances it drove; nobody crashed."""
    one, two = join(), join()
    await pen.write(first("a", one.owner), first("b", one.owner))
    assert ids(two) == []
    one.release()
    assert [(claim.id, claim.epoch, claim.crashed) for claim in two.claim([SAGA])] == [
        ("a", 2, False),
        ("b", 2, False),
    ]
    assert two.owned() == {"a": 2, "b": 2}
    assert ids(two) == []


async def test_an_owner_without_heartbeat_is_dead_when_its_lease_ends(pen: Pen, join: Join) -> None:
    """It is the lease that it announced itself which counts, not that of whoever looks."""
    slow, dead, me = join(lease=HOUR), join(lease=OVER), join(lease=OVER)
    await pen.write(first("slow", slow.owner), first("dead", dead.owner))
    claims = me.claim([SAGA])
    assert [(claim.id, claim.crashed) for claim in claims] == [("dead", True)]


async def test_a_heartbeat_keeps_an_owner_alive(pen: Pen, join: Join, store: Store) -> None:
    """A heartbeat is the database's time, written anew."""
    one, two = join(), join()
    await pen.write(first("a", one.owner))
    age(store, one)
    assert one.beat() is False
    assert ids(two) == []
    assert one.beat() is True


def age(store: Store, ownership: Ownership) -> None:
    """Make an owner's last heartbeat older than its lease."""
    with store._database.engine.begin() as connection:
        old = owners.c.beat_at - 2 * (HOUR // timedelta(microseconds=1))
        connection.execute(update(owners).where(owners.c.owner == ownership.owner).values(beat_at=old))


async def test_an_owner_learns_from_its_heartbeat_that_it_was_believed_dead(pen: Pen, join: Join) -> None:
    """False says that instances may be gone, and `owned` says which are left."""
    one, two = join(lease=OVER), join()
    await pen.write(first("a", one.owner), first("b", one.owner))
    assert ids(two, limit=1) == ["a"]
    assert one.beat() is False
    assert one.owned() == {"b": 1}
    said = await pen.tried(more("a", 2), more("b", 2))
    assert isinstance(said[0], OwnershipLostError)
    assert said[1] is None


async def test_an_owner_never_claims_from_itself(pen: Pen, join: Join) -> None:
    """One that was too slow to give a sign of life does not fence itself."""
    me = join(lease=OVER)
    await pen.write(first("a", me.owner))
    assert ids(me) == []
    assert me.owned() == {"a": 1}


async def test_what_nobody_ever_owned_is_claimed(pen: Pen, join: Join) -> None:
    """An instance that was started by a process that drives none, or whose owner is unknown."""
    await pen.write(first("nobody"), first("unknown", "somebody long gone"))
    assert sorted(ids(join())) == ["nobody", "unknown"]


async def test_only_the_sagas_that_one_runs_are_claimed(pen: Pen, join: Join) -> None:
    """The others stay for whoever runs them, and it stays known that their owner crashed."""
    dead, me, other = join(lease=OVER), join(), join()
    await pen.write(first("mine", dead.owner), first("theirs", dead.owner, saga="Other"))
    assert ids(me) == ["mine"]
    assert ids(me) == []
    (claim,) = other.claim(["Other", "Another"])
    assert (claim.id, claim.saga, claim.crashed) == ("theirs", "Other", True)


async def test_a_limit_leaves_the_rest_for_others(pen: Pen, join: Join) -> None:
    """The oldest first; a crash stays known until the last one is claimed."""
    dead, one, two = join(lease=OVER), join(), join()
    await pen.write(*[first(f"i-{number}", dead.owner) for number in range(5)])
    assert ids(one, limit=2) == ["i-0", "i-1"]
    claims = two.claim([SAGA], limit=10)
    assert [claim.id for claim in claims] == ["i-2", "i-3", "i-4"]
    assert all(claim.crashed for claim in claims)


async def test_a_limit_holds_over_several_dead_owners(pen: Pen, join: Join) -> None:
    """Two that crashed do not double it."""
    one, two, me = join(lease=OVER), join(lease=OVER), join()
    await pen.write(*[first(f"i-{number}", one.owner) for number in range(3)])
    await pen.write(*[first(f"j-{number}", two.owner) for number in range(3)])
    assert len(ids(me, limit=4)) == 4
    assert len(ids(me, limit=4)) == 2


async def test_ended_instances_are_never_claimed(pen: Pen, join: Join) -> None:
    """Nobody owns what has ended."""
    dead, me = join(lease=OVER), join()
    await pen.write(first("a", dead.owner), last("a", 2), first("b", dead.owner))
    assert ids(me) == ["b"]


async def test_a_dead_owner_is_forgotten_when_nothing_is_left_of_it(pen: Pen, join: Join, store: Store) -> None:
    """Rows of owners do not pile up."""
    dead, me = join(lease=OVER), join()
    await pen.write(first("a", dead.owner))
    assert ids(me) == ["a"]
    with store._database.read() as connection:
        assert connection.scalars(select(owners.c.owner)).all() == [me.owner]


async def test_nothing_is_written_where_nothing_is_to_be_claimed(pen: Pen, join: Join) -> None:
    """Looking for work costs no flush."""
    one, two = join(), join()
    await pen.write(first("a", one.owner))
    flushes = pen.store.flushes
    assert ids(two) == []
    assert pen.store.flushes == flushes


async def test_claims_at_the_same_time_never_overlap(pen: Pen, opened: Opener, url: str) -> None:
    """Each instance goes to one of them, once."""
    await pen.write(*[first(f"i-{number:02}") for number in range(60)])
    claimers = [opened(url).ownership() for _ in range(4)]
    for claimer in claimers:
        claimer.beat()
    barrier = Barrier(len(claimers))

    def claim(claimer: Ownership) -> list[str]:
        barrier.wait()
        return [name for _ in range(15) for name in ids(claimer, limit=2)]

    with ThreadPoolExecutor(len(claimers)) as pool:
        shares = list(pool.map(claim, claimers))
    rest = ids(claimers[0])
    assert sorted(sum(shares, rest)) == [f"i-{number:02}" for number in range(60)]
    assert {found.epoch for found in pen.store.list().instances} == {2}


# -- whether a process is gone -----------------------------------------------------------


def test_this_process_is_not_gone() -> None:
    """It sees itself."""
    me = Process.current()
    assert me.pid == os.getpid()
    assert not me.sees_gone(Process.current())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells about other processes")
def test_a_process_id_that_was_used_again_is_not_the_same_process() -> None:
    """The start time tells them apart."""
    me = Process.current()
    assert me.sees_gone(Process(me.host, me.pid, "1"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells about other processes")
def test_a_process_that_ended_is_gone() -> None:
    """Its id is free."""
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pid = child.pid
    assert Process.current().sees_gone(Process(Process.current().host, pid, "1"))


def test_nothing_is_known_of_processes_elsewhere() -> None:
    """Another machine, another boot or another container: its ids say nothing here."""
    me = Process.current()
    assert not me.sees_gone(Process("elsewhere", 1 << 22, "1"))
    assert not Process("", me.pid, "").sees_gone(Process("", 1 << 22, "1"))
