"""What a list is asked for: refused where it makes no sense, before anything is read, by an engine and from outside."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from saga import SagaState
from saga.embedded import Journal
from saga.embedded._store import Store
from saga.errors import InvalidRequestError
from saga.kernel import check_list
from tests.embedded._shop import Purchase
from tests.embedded.conftest import MakeEngine

NAIVE = datetime(2026, 3, 4, 10, 12)  # noqa: DTZ001 - what is refused
AWARE = datetime(2026, 3, 4, 10, 12, tzinfo=UTC)

FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"states": ["bogus"]}, "states holds 'bogus'; give RUNNING, COMPENSATING, COMPLETED, COMPENSATED, STUCK"),
    ({"states": ["stuck"]}, "states holds 'stuck'; give RUNNING"),
    ({"states": [SagaState.STUCK, None]}, "states holds None; give RUNNING"),
    ({"states": "STUCK"}, "states is STUCK; give a list of states, even of one"),
    ({"states": SagaState.STUCK}, "states is STUCK; give a list of states, even of one"),
    ({"states": 7}, "states is 7; give a list of states"),
    ({"limit": -2}, "limit is -2; give 1 or more, or None for all"),
    ({"limit": 0}, "limit is 0; give 1 or more, or None for all"),
    ({"limit": "10"}, "limit is '10'; give 1 or more"),
    ({"limit": True}, "limit is True; give 1 or more"),
    ({"limit": 1.5}, "limit is 1.5; give 1 or more"),
    ({"started_after": NAIVE}, "started_after is 2026-03-04T10:12:00 and has no time zone; give an aware datetime"),
    ({"started_before": NAIVE}, "started_before is 2026-03-04T10:12:00 and has no time zone; give an aware"),
    ({"started_after": date(2026, 3, 4)}, "give a datetime with a time zone, or None"),
    ({"started_before": "2026-03-04"}, "started_before is '2026-03-04'; give a datetime with a time zone"),
]


@contextmanager
def nothing_read(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Nobody reads a page of instances meanwhile."""
    with monkeypatch.context() as patch:
        patch.setattr(Store, "list", lambda *_, **__: pytest.fail("it was read"))
        yield


@pytest.mark.parametrize(("wanted", "words"), FAULTS, ids=lambda one: str(one)[:40])
async def test_a_list_that_makes_no_sense_is_refused(
    make_engine: MakeEngine, journal_url: str, monkeypatch: pytest.MonkeyPatch, wanted: dict[str, Any], words: str
) -> None:
    """It would be empty, or end otherwise than it was meant to, and nobody would know why."""
    async with make_engine() as engine:
        with nothing_read(monkeypatch), pytest.raises(InvalidRequestError, match="nothing was listed") as caught:
            await anext(engine.list(**wanted))
        assert words in str(caught.value)
        with Journal.open(journal_url) as journal, nothing_read(monkeypatch):
            with pytest.raises(InvalidRequestError) as caught:
                next(journal.list(**wanted))
            assert words in str(caught.value)


def test_all_faults_are_named_at_once() -> None:
    """Whoever mends one need not come back for the next."""
    states: Any = (one for one in ["STUCK", "one", "other"])
    with pytest.raises(InvalidRequestError) as caught:
        check_list(states, started_after=NAIVE, started_before=NAIVE, limit=0)
    assert [line.split()[0] for line in str(caught.value).splitlines()[1:]] == [
        "states",
        "states",
        "started_after",
        "started_before",
        "limit",
    ]


def test_what_makes_sense_is_taken_however_it_is_given() -> None:
    """States by name, from whatever gives them once; instants of any time zone."""
    names: Any = (one for one in ["STUCK", SagaState.RUNNING])
    eastern = datetime(2026, 3, 4, tzinfo=timezone(timedelta(hours=9)))
    assert check_list(names, started_after=AWARE, started_before=eastern, limit=1) == (
        SagaState.STUCK,
        SagaState.RUNNING,
    )
    assert check_list(()) == ()
    assert check_list({SagaState.STUCK}) == (SagaState.STUCK,)


async def test_a_list_is_of_what_it_was_asked_for(make_engine: MakeEngine, journal_url: str) -> None:
    """Once with all of it, by the engine and from outside."""
    async with make_engine() as engine:
        for number in range(3):
            await engine.run(Purchase, 0, id=f"p-{number}")
        wanted: dict[str, Any] = {
            "states": iter(["COMPLETED"]),
            "started_after": datetime.now(UTC) - timedelta(hours=1),
            "started_before": datetime.now(UTC) + timedelta(hours=1),
            "limit": 2,
        }
        assert [one.id async for one in engine.list(**wanted)] == ["p-2", "p-1"]
        with Journal.open(journal_url) as journal:
            assert [one.id for one in journal.list(**wanted | {"states": ["COMPLETED"]})] == ["p-2", "p-1"]
