"""Requests: left by one process, taken by whoever owns the instance, answered once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from saga.embedded._append import Answer
from saga.embedded._requests import Request
from saga.errors import UnknownSagaError
from tests.embedded.store.conftest import Pens
from tests.embedded.store.journals import NOW, Pen, first, last


async def test_the_owner_finds_what_was_left_for_its_instances(pen: Pen) -> None:
    """Oldest first; others' requests are none of its business."""
    await pen.write(first("a", "me"), first("b", "me"), first("c", "other"))
    requests = pen.store.requests
    numbers = [requests.put("b", "skip", '{"by":"anna"}'), requests.put("a", "cancel"), requests.put("c", "cancel")]
    assert requests.take("me") == [
        Request(numbers[0], "b", "skip", '{"by":"anna"}'),
        Request(numbers[1], "a", "cancel", None),
    ]
    assert [request.id for request in requests.take("other")] == ["c"]
    assert requests.take("nobody") == []


async def test_what_is_being_worked_on_is_not_taken_twice(pen: Pen) -> None:
    """But it stays until it is answered."""
    await pen.write(first("a", "me"))
    number = pen.store.requests.put("a", "cancel")
    assert pen.store.requests.take("me", {number}) == []
    assert len(pen.store.requests.take("me")) == 1


async def test_an_answer_reaches_whoever_asked_and_is_given_once(pen: Pen) -> None:
    """The first answer holds."""
    await pen.write(first("a", "me"))
    requests = pen.store.requests
    number = requests.put("a", "cancel")
    assert requests.reply(number) == (None, False)
    assert requests.answer(Answer(number, "no such step", "ActRefusedError")) is True
    assert requests.answer(Answer(number, "done")) is False
    assert requests.reply(number).answer == Answer(number, "no such step", "ActRefusedError")
    assert requests.take("me") == []


async def test_a_request_waits_for_the_next_owner(pens: Pens) -> None:
    """Neither does the death of the owner lose it, nor is one needed to leave it."""
    pen = pens()
    dead = pen.store.ownership(lease=timedelta(microseconds=1))
    dead.beat()
    await pen.write(first("a", dead.owner))
    number = pen.store.requests.put("a", "cancel")
    heir = pens().store.ownership()
    heir.beat()
    assert [claim.id for claim in heir.claim(["MoneyTransfer"])] == ["a"]
    assert pen.store.requests.take(dead.owner) == []
    assert [request.request for request in pen.store.requests.take(heir.owner)] == [number]


async def test_whoever_asks_an_instance_that_ends_first_is_told(pen: Pen) -> None:
    """There will be no answer, and the asker sees it."""
    await pen.write(first("a", "me"))
    number = pen.store.requests.put("a", "cancel")
    await pen.write(last("a", 2))
    assert pen.store.requests.take("me") == []
    assert pen.store.requests.reply(number) == (None, True)


def test_an_unknown_instance_is_asked_nothing(pen: Pen) -> None:
    """The place is named, and nothing is left there."""
    with pytest.raises(UnknownSagaError, match="holds no instance nobody"):
        pen.store.requests.put("nobody", "cancel")


async def test_an_answer_is_never_read_as_that_of_another_request(pen: Pen) -> None:
    """Numbers are given once, even after all is purged."""
    await pen.write(first("a", "me"), first("b", "me"))
    number = pen.store.requests.put("a", "cancel")
    await pen.write(last("a", 2))
    pen.store.purge(ended_before=NOW + timedelta(days=1))
    with pytest.raises(UnknownSagaError, match="purged"):
        pen.store.requests.reply(number)
    assert pen.store.requests.put("b", "cancel") > number
