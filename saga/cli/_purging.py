"""The command that removes ended instances."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from datetime import timedelta
from typing import Annotated

import typer

from ._options import AsJson, as_duration
from ._output import console, print_json
from ._place import Database, opened_journal

__all__ = ("purge",)


def purge(
    *,
    older_than: Annotated[
        timedelta,
        typer.Option(parser=as_duration, metavar="DURATION", help="Ended longer ago than that: 90s, 12h, 30d, 2w."),
    ],
    saga: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this saga; may be given several times.", show_default=False),
    ] = None,
    database: Database = "",
    as_json: AsJson = False,
) -> None:
    """Remove instances that ended long ago, for good. Children of open sagas stay; ids are free again.

    A Temporal server does it by itself, once the retention of its namespace has passed.
    """
    with opened_journal(database) as journal:
        busy = console(stderr=True).status("removing ended instances") if sys.stderr.isatty() else nullcontext()
        with busy:
            purged = journal.purge(older_than=older_than, sagas=saga)
    if as_json:
        print_json({"instances": purged.instances, "facts": purged.facts, "requests": purged.requests})
    else:
        counts = ((purged.instances, "instance"), (purged.facts, "fact"), (purged.requests, "request"))
        instances, facts, requests = (f"{count} {name}{'' if count == 1 else 's'}" for count, name in counts)
        typer.echo(f"removed {instances}, {facts} and {requests}")
