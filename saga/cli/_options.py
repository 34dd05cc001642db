"""Options and arguments that several commands share, and how they are read."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from saga.errors import InvalidIdError

from ._exits import JSON_ASKED
from ._text import NO_TEXT, duration_of, instant_of

__all__ = (
    "AsJson",
    "Call",
    "Id",
    "Payloads",
    "as_duration",
    "as_instant",
    "check_id",
    "json_text",
)


def _remember(context: typer.Context, asked: bool) -> bool:  # noqa: FBT001 - the form of a callback
    context.meta[JSON_ASKED] = asked
    return asked


def check_id(context: typer.Context, id: str | None) -> str | None:
    """Refuse what can be no instance's id."""
    # Ids of nested sagas hold a `~`, so this asks for less than starting one does.
    if not context.resilient_parsing and id is not None and not (id and id.isprintable()):
        raise InvalidIdError(f"{id!r} can be no saga's id: ids are not empty and hold no control characters")
    return id


Id = Annotated[
    str,
    typer.Argument(
        metavar="ID", callback=check_id, help="Id of the instance, such as transfer-42.", show_default=False
    ),
]
Call = Annotated[
    str,
    typer.Argument(metavar="CALL", help="Call such as credit.1; `credit` means its first.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", callback=_remember, is_eager=True, help="Print JSON.")]
Payloads = Annotated[
    bool,
    typer.Option("--payloads", help="Show requests, inputs, outputs and results; they may hold secrets."),
]


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
        given.encode()
        json.loads(given, parse_constant=_refuse)
    except UnicodeError:
        raise typer.BadParameter(f"{name} is no JSON: {NO_TEXT}") from None
    except (ValueError, RecursionError) as error:  # the text may be secret, so it is not shown
        raise typer.BadParameter(
            f'{name} is no JSON ({error}); quote it for the shell, such as \'{{"id": "p-1"}}\' or \'"text"\''
        ) from None
    return given


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")
