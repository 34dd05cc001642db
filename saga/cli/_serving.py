"""The command that runs a worker on Temporal."""

from __future__ import annotations

import logging
import sys
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from saga.errors import ParticipantError

from ._loading import load, load_function
from ._options import AsJson
from ._output import print_json
from ._place import Address, EngineName, Namespace, Place, Profile, temporal
from ._text import printable

if TYPE_CHECKING:
    from ._temporal import Worked

__all__ = ("worker",)

_DRAIN = 30.0


def worker(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="MODULE[:CLASS]...", help="Saga classes, or modules for all that they define.", show_default=False
        ),
    ],
    *,
    task_queue: Annotated[
        str, typer.Option("--task-queue", metavar="NAME", help="Where the worker looks for work.", show_default=False)
    ],
    participants: Annotated[
        str,
        typer.Option(
            metavar="MODULE:FUNCTION",
            help="Function that returns the real participants by name; it may be async, or an async context manager.",
            show_default=False,
        ),
    ] = "",
    drain: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0, max=86_400, help="How long what runs may go on after the signal."),
    ] = _DRAIN,
    address: Address = "",
    namespace: Namespace = "",
    profile: Profile = "",
    as_json: AsJson = False,
) -> None:
    """Run sagas on a Temporal server until SIGINT or SIGTERM; a second signal ends it at once."""
    if not task_queue.strip():
        raise typer.BadParameter("--task-queue names no queue; give a name, such as transfers")
    serve = temporal().serve
    sagas = [one.cls for target in dict.fromkeys(targets) for one in load(target).definitions]
    function = load_function(participants, "--participants") if participants else None
    place = Place(engine=EngineName.TEMPORAL, address=address, namespace=namespace, profile=profile)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", handlers=[_log()])

    def say(worked: Worked) -> None:
        if as_json:
            print_json(asdict(worked))
        else:
            typer.echo(printable(_told(worked), lines=True))
        sys.stdout.flush()

    try:
        serve(place, task_queue, list(dict.fromkeys(sagas)), function, drain=timedelta(seconds=drain), say=say)
    except ParticipantError as error:
        raise ParticipantError(
            error if function else f"{error}\nname them with --participants module:function"
        ) from None
    if not as_json:
        typer.echo("ended; what it did not finish, the next worker does")


def _log() -> logging.Handler:
    """Return where the SDK's warnings go: a failed attempt, which is what sagas are for, in one line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_in_one_line)
    return handler


def _in_one_line(record: logging.LogRecord) -> bool:
    if record.name == "temporalio.activity" and record.exc_info and record.exc_info[1] is not None:
        record.msg, record.args = f"{record.exc_info[1]}: {record.getMessage()}", ()
        record.exc_info = None
    return True


def _told(worked: Worked) -> str:
    lines = [
        f"a worker polls the task queue {worked.task_queue!r} of {worked.address}, namespace {worked.namespace!r}",
        f"  sagas       {', '.join(worked.sagas)}",
        f"  activities  {', '.join(worked.activities) or 'none'}",
        "Ctrl-C or SIGTERM ends it, once what it runs is finished",
    ]
    return "\n".join(lines)
