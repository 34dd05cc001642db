"""The writer: what it commits together, what it says when, and whom a bad batch hurts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from saga.embedded._append import Answer, Batch, Change, DuplicateInstanceError, NewInstance
from saga.embedded._store import Store
from saga.embedded._writer import MOST_FACTS
from saga.errors import JournalWriteError, OwnershipLostError
from tests.embedded.store.conftest import Pens
from tests.embedded.store.journals import NOW, Gate, Pen, ago, first, last, more, written


async def test_what_was_acknowledged_is_there_for_another_process(pen: Pen, store: Store) -> None:
    """`done(None)` means that whoever opens the journal now finds the facts."""
    await pen.write(first("a"))
    assert written(store, "a") == [0, 1]


async def test_every_field_of_an_instance_comes_back(pen: Pen, store: Store) -> None:
    """What the first batch says of an instance is what the journal tells of it."""
    new = NewInstance("S", "RUNNING", ago(60), "me", "p", "hash", "print", 7)
    await pen.write(Batch("a", 1, 0, [("{}", None)], new=new))
    found = store.get("a")
    assert found is not None
    assert found._asdict() == {
        "id": "a",
        "saga": "S",
        "state": "RUNNING",
        "started_at": ago(60),
        "changed_at": ago(60),
        "ended_at": None,
        "parent": "p",
        "owner": "me",
        "epoch": 1,
        "request_hash": "hash",
        "fingerprint": "print",
        "kernel": 7,
    }


async def test_a_state_changes_with_the_facts_that_change_it(pen: Pen, store: Store) -> None:
    """A change of state keeps the owner; the last one lets the instance go."""
    await pen.write(first("a", "me"))
    await pen.write(Batch("a", 1, 2, [("{}", None)], change=Change("STUCK", ago(9))))
    stuck = store.get("a")
    assert stuck is not None
    assert (stuck.state, stuck.changed_at, stuck.ended_at, stuck.owner) == ("STUCK", ago(9), None, "me")
    await pen.write(last("a", 3))
    ended = store.get("a")
    assert ended is not None
    assert (ended.state, ended.changed_at, ended.ended_at, ended.owner) == ("COMPLETED", NOW, NOW, "")


async def test_all_that_queued_meanwhile_goes_into_one_flush_with_one_wake(pens: Pens) -> None:
    """Fifty instances that wait for the writer cost one commit and one call into the loop."""
    gate = Gate()
    pen = pens(seam=gate)
    await pen.write(first("warm"))
    wakes = count_wakes(pen)
    flushes = pen.store.flushes
    gate.shut()
    early = pen.submitted(first("early"))
    await gate.occupied()
    rest = [pen.submitted(first(f"i-{number}")) for number in range(50)]
    gate.open()
    assert set(await asyncio.gather(early, *rest)) == {None}
    assert pen.store.flushes - flushes == 2
    assert len(wakes) == 2


def count_wakes(pen: Pen) -> list[object]:
    """Note every call into the loop from another thread."""
    loop: Any = pen.writer._loop
    wakes: list[object] = []

    class Counting:
        def __getattr__(self, name: str) -> Any:
            if name == "call_soon_threadsafe":
                wakes.append(name)
            return getattr(loop, name)

    pen.writer._loop = Counting()  # type: ignore[assignment]  # it passes everything on
    return wakes


async def test_a_flush_is_bounded(pens: Pens) -> None:
    """A flush takes no further batch once it holds so many facts, so that its last batch waits not long."""
    gate = Gate()
    pen = pens(seam=gate)
    gate.shut()
    early = pen.submitted(first("early"))
    await gate.occupied()
    flushes = pen.store.flushes
    rest = [pen.submitted(first(f"i-{number}", facts=MOST_FACTS // 4)) for number in range(10)]
    gate.open()
    assert set(await asyncio.gather(early, *rest)) == {None}
    assert pen.store.flushes - flushes == 1 + 3
    assert all(len(written(pen.store, f"i-{number}")) == MOST_FACTS // 4 for number in range(10))


async def test_batches_of_an_instance_keep_their_order(pen: Pen) -> None:
    """What is submitted one after the other without waiting is journaled in that order."""
    said = await pen.tried(first("a"), more("a", 2), more("a", 3, facts=2), last("a", 5))
    assert said == [None] * 4
    assert written(pen.store, "a") == [0, 1, 2, 3, 4, 5]


async def test_only_the_instance_that_was_taken_over_fails(pens: Pens) -> None:
    """A stale epoch fails its own batch, and the others of the same flush are durable."""
    gate = Gate()
    pen = pens(seam=gate)
    await pen.write(first("a"), first("b"), first("c"))
    gate.shut()
    waiting = pen.submitted(more("a", 2))
    await gate.occupied()
    rest = [pen.submitted(more("b", 2, epoch=7)), pen.submitted(more("c", 2)), pen.submitted(first("d"))]
    gate.open()
    good, lost, other, new = await asyncio.gather(waiting, *rest)
    assert isinstance(lost, OwnershipLostError)
    assert (good, other, new) == (None, None, None)
    assert [written(pen.store, name) for name in "abcd"] == [[0, 1, 2], [0, 1], [0, 1, 2], [0, 1]]
    assert pen.writer.failure is None


async def test_a_stale_epoch_changes_no_state(pen: Pen) -> None:
    """A former owner cannot end an instance, not even with a batch that holds no facts."""
    await pen.write(first("a", "me"))
    stale = Batch("a", 2, 2, [], change=Change("COMPLETED", NOW, ended=True))
    assert isinstance((await pen.tried(stale))[0], OwnershipLostError)
    found = pen.store.get("a")
    assert found is not None
    assert found.state == "RUNNING"


async def test_an_id_that_exists_is_not_started_again(pen: Pen) -> None:
    """The second start of an id fails, and the first one's journal stays as it is."""
    await pen.write(first("a", facts=1))
    said = await pen.tried(first("a", facts=3), first("b"))
    assert isinstance(said[0], DuplicateInstanceError)
    assert said[1] is None
    assert written(pen.store, "a") == [0]


async def test_what_was_queued_behind_a_refused_start_is_refused_too(pen: Pen) -> None:
    """Facts for an instance that somebody else started, under the same epoch, never reach its journal."""
    await pen.write(first("a", facts=2))
    said = await pen.tried(first("a", facts=2), more("a", 2), more("a", 3))
    assert [type(error) for error in said] == [DuplicateInstanceError] * 3
    assert written(pen.store, "a") == [0, 1]


async def test_a_gap_never_opens_behind_a_batch_that_failed(pen: Pen) -> None:
    """What was queued behind a batch that cannot be stored fails; what comes after the bad news does not."""
    await pen.write(first("a"))
    unstorable = Batch("a", 1, 2, [("\ud800", None)])
    said = await pen.tried(unstorable, more("a", 3), first("b"))
    assert [type(error) for error in said] == [JournalWriteError, JournalWriteError, type(None)]
    assert written(pen.store, "a") == [0, 1]
    assert pen.writer.failure is None
    await pen.write(more("a", 2))
    assert written(pen.store, "a") == [0, 1, 2]


async def test_a_new_attempt_from_inside_the_bad_news_is_accepted(pen: Pen) -> None:
    """Whoever is told of a failure may submit anew at once."""
    await pen.write(first("a"))
    loop = asyncio.get_running_loop()
    second: asyncio.Future[Exception | None] = loop.create_future()
    pen.writer.submit(more("a", 9, epoch=5), lambda _: pen.writer.submit(more("a", 2), second.set_result))
    async with asyncio.timeout(30):
        assert await second is None
    assert written(pen.store, "a") == [0, 1, 2]


async def test_a_number_is_given_once(pen: Pen) -> None:
    """A fact with a number that the journal holds is refused, and the fact that has it stays."""
    await pen.write(first("a"))
    (error,) = await pen.tried(Batch("a", 1, 1, [("other", None)]))
    assert isinstance(error, JournalWriteError)
    assert written(pen.store, "a") == [0, 1]


@pytest.mark.parametrize("text", ["\ud800", "\x00"])
async def test_a_text_that_the_database_cannot_hold_hurts_nobody_else(pen: Pen, text: str) -> None:
    """SQLite stores a NUL and PostgreSQL does not; half a surrogate pair neither does."""
    said = await pen.tried(Batch("a", 1, 0, [("{}", text)], new=first("a").new), first("b"))
    assert said[1] is None
    assert said[0] is None or isinstance(said[0], JournalWriteError)
    assert (pen.store.get("a") is None) == (said[0] is not None)


async def test_no_message_holds_a_payload(pen: Pen) -> None:
    """Whatever a batch fails with, neither the message nor what caused it quotes what it carried."""
    await pen.write(first("a"))
    canary = [("canary body", "canary payload")]
    bad = (
        Batch("a", 1, 1, canary),
        Batch("x", 9, 2, canary),
        Batch("n", 1, 0, [("canary\ud800", "canary payload")], new=first("n").new),
        Batch("z", 1, 0, [("canary\x00", "canary payload\x00")], new=first("z").new),
    )
    for error in await pen.tried(*bad):
        while error is not None:
            assert "canary" not in f"{error!r} {error}"
            error = error.__cause__ if isinstance(error.__cause__, Exception) else None  # noqa: PLW2901 - down the chain


async def test_an_answer_travels_with_the_facts_that_follow_from_its_request(pen: Pen) -> None:
    """An act is recorded and answered, or neither."""
    await pen.write(first("a"))
    request = pen.store.requests.put("a", "cancel")
    stale = Batch("a", 2, 2, [("{}", None)], answers=[Answer(request, "done")])
    assert isinstance((await pen.tried(stale))[0], OwnershipLostError)
    assert pen.store.requests.reply(request).answer is None
    await pen.write(Batch("a", 1, 2, [("{}", None)], answers=[Answer(request, "done")]))
    assert pen.store.requests.reply(request).answer == Answer(request, "done", None)


async def test_a_callback_that_fails_keeps_nobody_from_the_news(pen: Pen) -> None:
    """The error goes to the loop's exception callback, and the next one is told."""
    loop = asyncio.get_running_loop()
    seen: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: seen.append(context))

    def broken(_: Exception | None) -> None:
        raise RuntimeError("broken")

    pen.writer.submit(first("a"), broken)
    await pen.write(first("b"))
    assert [str(context["exception"]) for context in seen] == ["broken"]


async def test_closing_flushes_what_is_queued(pens: Pens, store: Store) -> None:
    """Nothing that was submitted before is lost."""
    pen = pens()
    said = [pen.submitted(first(f"i-{number}")) for number in range(20)]
    await asyncio.to_thread(pen.writer.close)
    assert set(await asyncio.gather(*said)) == {None}
    assert store.count() == {"RUNNING": 20}


async def test_a_closed_writer_refuses_without_calling_back_at_once(pen: Pen) -> None:
    """The refusal comes on the loop, like every other answer."""
    await asyncio.to_thread(pen.writer.close)
    said = pen.submitted(first("a"))
    assert not said.done()
    assert isinstance(await said, JournalWriteError)
    assert pen.store.get("a") is None


def ignore(_: Exception | None) -> None:
    """Take no notice."""


def test_a_loop_that_is_gone_ends_the_writer_in_peace(store: Store) -> None:
    """An application that closed its loop first loses nothing that was flushed."""
    loop = asyncio.new_event_loop()
    writer = store.writer(loop)
    loop.call_soon(writer.submit, first("a"), ignore)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    writer.close()
    assert written(store, "a") == [0, 1]
