"""Options and arguments that several commands share, and how they are read."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from saga.errors import InvalidIdError

from ._exits import JSON_ASKED
from ._text import duration_of, instant_of

if TYPE_CHECKING:
    from collections.abc import Generator

    from saga.embedded import Journal

__all__ = (
    "AsJson",
    "Call",
    "Database",
    "Id",
    "Payloads",
    "as_duration",
    "as_instant",
    "json_text",
    "opened",
)


def _remember(context: typer.Context, asked: bool) -> bool:  # noqa: FBT001 - the form of a callback
    context.meta[JSON_ASKED] = asked
    return asked


def _check_id(id: str) -> str:
    # Ids of nested sagas hold a `~`, so this asks for less than starting one does.
    if not id or not id.isprintable():
        raise InvalidIdError(f"{id!r} can be no saga's id: ids are not empty and hold no control characters")
    return id


def _id(context: typer.Context, id: str) -> str:
    return id if context.resilient_parsing else _check_id(id)


Id = Annotated[
    str,
    typer.Argument(metavar="ID", callback=_id, help="Id of the instance, such as transfer-42.", show_default=False),
]
Call = Annotated[
    str,
    typer.Argument(metavar="CALL", help="Call such as credit.1; `credit` means its first.", show_default=False),
]
Database = Annotated[
    str,
    typer.Option(
        "--database",
        metavar="URL",
        envvar="SAGA_DATABASE",
        help="The journal: sqlite:///transfers.db or postgresql://user@host/database.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", callback=_remember, is_eager=True, help="Print JSON.")]
Payloads = Annotated[
    bool,
    typer.Option("--payloads", help="Show requests, inputs, outputs and results; they may hold secrets."),
]


@contextmanager
def opened(database: str) -> Generator[Journal]:
    """Open the journal of `--database`.

    Raises:
        BadParameter: if none was named.
        JournalError: if it cannot be used.
    """
    if not database:
        raise typer.BadParameter("no journal was named: give --database sqlite:///transfers.db, or set SAGA_DATABASE")
    from saga.embedded import Journal  # noqa: PLC0415 - SQLAlchemy is loaded when a journal is needed

    with Journal.open(database) as journal:
        yield journal


def as_duration(text: str) -> timedelta:
    """Read a duration of the command line."""
    try:
        return duration_of(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def as_instant(text: str) -> datetime:
    """Read an instant of the command line."""
    try:
        return instant_of(text, datetime.now(UTC))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def json_text(text: str, name: str) -> str:
    """Return JSON text that was given on the command line, or that standard input holds if it is `-`.

    Raises:
        BadParameter: if it is no JSON.
    """
    try:
        given = sys.stdin.read() if text == "-" else text
        json.loads(given, parse_constant=_refuse)
        given.encode()
    except (ValueError, RecursionError) as error:  # the text may be secret, so it is not shown
        raise typer.BadParameter(
            f'{name} is no JSON ({error}); quote it for the shell, such as \'{{"id": "p-1"}}\' or \'"text"\''
        ) from None
    return given


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")
