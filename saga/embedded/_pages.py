"""Instances page by page, as whoever lists them reads on."""

from __future__ import annotations

from collections.abc import Iterator

from saga.kernel import SagaState, SagaSummary

from ._listing import Filter, StoredInstance
from ._store import Store

__all__ = ("pages",)

_AT_ONCE = 100


def pages(store: Store, wanted: Filter, *, limit: int | None) -> Iterator[list[SagaSummary]]:
    """Yield the instances that a filter lets through, newest first; every page is read when it is asked for.

    Args:
        store: Where.
        wanted: Which.
        limit: At most so many, 1 or more; None means all.
    """
    after, left = None, limit
    while left is None or left > 0:
        page = store.list(wanted, after=after, limit=_AT_ONCE if left is None else min(left, _AT_ONCE))
        yield [_summary(one) for one in page.instances]
        left = None if left is None else left - len(page.instances)
        after = page.next
        if after is None:
            return


def _summary(one: StoredInstance) -> SagaSummary:
    return SagaSummary(one.id, one.saga, SagaState(one.state), one.started_at, one.changed_at, one.parent)
