"""Opens whichever engine a spec names."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from ._cells import Database, Engine, Spec
from ._load import RunOne

# Only the engine that a spec names is imported: none is measured in the company of another.


@dataclass(frozen=True, slots=True)
class Waiting:
    """An engine whose sagas wait for a decision that nobody takes.

    Attributes:
        start_one: starts the saga of a number, counted from 0.
        all_wait: returns once so many of them wait, durably.
    """

    start_one: RunOne
    all_wait: Callable[[int], Awaitable[None]]


def opened(spec: Spec) -> AbstractAsyncContextManager[RunOne]:
    """Return the asynchronous engine of the spec, still closed."""
    if spec.cell.database is Database.TEMPORAL:
        return _on_temporal(spec)
    if spec.cell.engine is Engine.OURS:
        from ._ours import ours  # noqa: PLC0415 - see above

        return ours(spec)
    if spec.cell.engine is Engine.BARE:
        from ._bare import bare  # noqa: PLC0415 - see above

        return bare(spec)
    from ._dbos import dbos_async  # noqa: PLC0415 - see above

    return dbos_async(spec)


def waiting(spec: Spec) -> AbstractAsyncContextManager[Waiting]:
    """Return our engine, or the hand-written workflows, with sagas that will wait; still closed."""
    return _waiting_on_temporal(spec) if spec.cell.database is Database.TEMPORAL else _waiting_embedded(spec)


@asynccontextmanager
async def _on_temporal(spec: Spec) -> AsyncGenerator[RunOne]:
    from ._on_temporal import server_of, side  # noqa: PLC0415 - see above
    from ._sagas import order_of  # noqa: PLC0415 - see above

    order, (_, prefix) = order_of(spec.payload_bytes), server_of(spec)
    async with side(spec) as opened:
        yield lambda number: opened.run(order, f"{prefix}-{number}")


@asynccontextmanager
async def _waiting_on_temporal(spec: Spec) -> AsyncGenerator[Waiting]:
    from ._on_temporal import all_wait, server_of, side  # noqa: PLC0415 - see above
    from ._sagas import order_of  # noqa: PLC0415 - see above

    order, (_, prefix) = order_of(spec.payload_bytes), server_of(spec)
    async with side(spec) as opened:
        yield Waiting(
            lambda number: opened.start_waiting(order, f"{prefix}-{number}"),
            lambda count: all_wait(opened.client, [f"{prefix}-{number}" for number in range(count)]),
        )


@asynccontextmanager
async def _waiting_embedded(spec: Spec) -> AsyncGenerator[Waiting]:
    from ._ours import all_wait, waiting_sagas  # noqa: PLC0415 - see above

    async with waiting_sagas(spec) as start_one:
        yield Waiting(start_one, lambda count: all_wait(spec.url, count))
