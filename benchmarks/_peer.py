"""The peer itself: DBOS, and its workflows of three steps.

`dbos` is imported by name at run time, because it belongs to a dependency group that a
checkout may leave out, and type checkers must pass without it. Nothing else is imported
that takes time: the peer's cold start is measured through this module.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from typing import Any

from ._payload import Fields


def launch(url: str) -> Any:  # the class DBOS of an untyped import
    """Launch DBOS on that database, with the settings it ships with, and return its class."""
    try:
        dbos = importlib.import_module("dbos").DBOS
    except ModuleNotFoundError as error:
        raise RuntimeError("DBOS is not installed; run with `uv run --group bench`") from error
    dbos(config={"name": "benchmark", "system_database_url": url, "log_level": "ERROR"})
    return dbos


def workflow_in_thread(dbos: Any) -> Callable[[Fields], Fields]:
    """Register and return a synchronous workflow that passes a payload through three steps."""

    @dbos.step()  # type: ignore[untyped-decorator]  # see the module's docstring
    def activity(fields: Fields) -> Fields:
        return {**fields}

    @dbos.workflow()  # type: ignore[untyped-decorator]
    def workflow(fields: Fields) -> Fields:
        return activity(activity(activity(fields)))  # type: ignore[no-any-return]

    return workflow  # type: ignore[no-any-return]


def workflow_async(dbos: Any) -> Callable[[Fields], Awaitable[Fields]]:
    """Register and return the same workflow for an event loop."""

    @dbos.step()  # type: ignore[untyped-decorator]
    async def activity(fields: Fields) -> Fields:
        return {**fields}

    @dbos.workflow()  # type: ignore[untyped-decorator]
    async def workflow(fields: Fields) -> Fields:
        return await activity(await activity(await activity(fields)))  # type: ignore[no-any-return]

    return workflow  # type: ignore[no-any-return]
