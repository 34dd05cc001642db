"""What the crash points are looked for in: sequences, groups, nested sagas, retries, recovery, waiting."""

from __future__ import annotations

from typing import Any

from tests.embedded._clients import (
    ID,
    Buggy,
    Frail,
    Parallel,
    Reviewed,
    Short,
    Sleepy,
    Trying,
    cancels,
    repair,
    repairs,
    resolve,
    retry,
    reviews,
    runs,
)
from tests.embedded._crash import Topology
from tests.embedded._shop import Booking, Journey, Purchase, Shop, SoldOutError, hangs


def refuses(*keys: str, **behaviours: list[Any]) -> Any:
    """Prepare a shop that refuses some keys, and behaves otherwise at some calls."""

    def prepare(shop: Shop) -> None:
        Buggy.repaired = False
        shop.refused |= set(keys)
        for name, script in behaviours.items():
            when, _, call = name.partition("_")
            getattr(shop, when)[call] = list(script)

    return prepare


def keys(*calls: str) -> frozenset[str]:
    """Keys of calls."""
    return frozenset(f"{ID}/{call}" for call in calls)


LOST = ConnectionError("lost")
NO = SoldOutError("no")

SEQUENCES = [
    Topology(f"sequence of {n}", (Booking,), runs(Booking, n), keys(*(f"book.{one + 1}" for one in range(n))))
    for n in range(1, 6)
]
TOPOLOGIES = [
    *SEQUENCES,
    Topology("pivot and retriable", (Purchase,), runs(Purchase, 1), keys("book.1", "pay.1", "ship.1")),
    Topology("parallel group", (Parallel,), runs(Parallel, 3), keys("book.1", "book.2", "book.3", "pay.1")),
    Topology("parallel group compensated", (Parallel,), runs(Parallel, 3), keys(), refuses(f"{ID}/book.2")),
    Topology(
        "nested",
        (Journey,),
        runs(Journey, 2),
        frozenset({f"{ID}~booking.1/book.1", f"{ID}~booking.1/book.2", f"{ID}/pay.1"}),
    ),
    Topology("nested compensated", (Journey,), runs(Journey, 2), keys(), refuses(f"{ID}/pay.1")),
    Topology(
        "nested cancelled",
        (Journey,),
        cancels(Journey, 2, f"{ID}~booking.1/book.2"),
        keys(),
        refuses(**{"before_book.2": [hangs] * 9}),
    ),
    Topology(
        "retry pending",
        (Booking,),
        runs(Booking, 2),
        keys("book.1", "book.2"),
        refuses(**{"before_book.1": [LOST]}),
    ),
    Topology(
        "retry of what happened",
        (Booking,),
        runs(Booking, 2),
        keys("book.1", "book.2"),
        refuses(**{"after_book.1": [LOST]}),
    ),
    Topology("compensating", (Purchase,), runs(Purchase, 2), keys(), refuses(f"{ID}/pay.1")),
    Topology(
        "compensation retried",
        (Purchase,),
        runs(Purchase, 2),
        keys(),
        refuses(f"{ID}/pay.1", **{"before_book.1/compensation": [LOST], "after_book.2/compensation": [LOST]}),
    ),
    Topology("in doubt", (Booking,), runs(Booking, 2), keys(), refuses(**{"after_book.2": [LOST] * 9})),
    Topology(
        "in doubt and never happened", (Booking,), runs(Booking, 2), keys(), refuses(**{"before_book.2": [LOST] * 9})
    ),
    Topology(
        "pivot in doubt",
        (Purchase,),
        runs(Purchase, 1),
        keys("book.1", "pay.1", "ship.1"),
        refuses(**{"after_pay.1": [LOST] * 3}),
    ),
    Topology(
        "STUCK, retried",
        (Frail,),
        repairs(Frail, 2, retry),
        keys(),
        refuses(f"{ID}/pay.1", **{"before_book.1/compensation": [NO]}),
    ),
    Topology(
        "STUCK, resolved",
        (Frail,),
        repairs(Frail, 1, resolve),
        keys("book.1", "pay.1", "ship.1"),
        refuses(**{"after_pay.1": [LOST] * 9}),
    ),
    Topology("STUCK by a bug", (Buggy,), repairs(Buggy, 1, repair), keys("book.1", "book.2"), refuses()),
    Topology("decision pending", (Reviewed,), reviews, keys("book.1", "pay.1")),
    Topology("timer pending", (Sleepy,), runs(Sleepy, 2), keys("book.1", "book.2")),
    Topology("deadline", (Short,), runs(Short, 2), keys(), refuses(**{"before_book.2": [hangs] * 9})),
    Topology(
        "cancelled twice",
        (Booking,),
        cancels(Booking, 3, f"{ID}/book.3"),
        keys(),
        refuses(**{"before_book.3": [hangs] * 9}),
    ),
    Topology(
        "cancelled from another engine",
        (Booking,),
        cancels(Booking, 2, f"{ID}/book.2"),
        keys(),
        refuses(**{"before_book.2": [hangs] * 9}),
        engines=2,
    ),
    Topology(
        "confirmed and forgotten",
        (Trying,),
        runs(Trying, 2),
        keys(*(f"book.{n}{role}" for n in (1, 2) for role in ("", "/confirmation", "/forget"))),
    ),
]
