"""What a command's exit code says, and which error comes to which."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from enum import IntEnum
from typing import TYPE_CHECKING, Any, cast

import typer
from typer.core import TyperGroup

from saga.errors import (
    ActRefusedError,
    InvalidIdError,
    InvalidRequestError,
    PayloadTooLargeError,
    SagaDefinitionError,
    SagaError,
    UnknownSagaError,
)

from ._text import NO_TEXT, is_text, plain, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("JSON_ASKED", "ExitCode", "Group", "exit_code_of")

JSON_ASKED = "saga.json"
"""Key, in the metadata of a command's context, of whether `--json` was given."""


_PIPE_CLOSED = 141  # what a shell shows for a program whose reader went away


class ExitCode(IntEnum):
    """Exit codes of `saga`; 130 and 141 are the shell's, for an interrupted command and a closed pipe.

    Attributes:
        OK: Done.
        NO: The answer is no: an act was refused, or a class has faults.
        USAGE: The command line makes no sense; nothing was tried.
        PLATFORM: The journal cannot be used, something is not installed, or a module cannot be imported.
        UNKNOWN: There is no such instance, or no such decision.
        QUEUED: The act is in the journal, and no engine has answered yet.
    """

    OK = 0
    NO = 1
    USAGE = 2
    PLATFORM = 3
    UNKNOWN = 4
    QUEUED = 5


_CODES: tuple[tuple[type[SagaError], ExitCode], ...] = (
    (ActRefusedError, ExitCode.NO),
    (SagaDefinitionError, ExitCode.NO),
    (InvalidIdError, ExitCode.USAGE),
    (InvalidRequestError, ExitCode.USAGE),
    (PayloadTooLargeError, ExitCode.USAGE),
    (UnknownSagaError, ExitCode.UNKNOWN),
)


def exit_code_of(error: Exception) -> ExitCode:
    """Return the exit code of a command that ended with `error`, one of the library or the operating system.

    Example:
        >>> exit_code_of(UnknownSagaError("no such instance")).name
        'UNKNOWN'
    """
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.PLATFORM)


class Group(TyperGroup):
    """The commands, with every error that can be foreseen turned into one message and an exit code."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Read what stands before the command."""
        asked = "--json" in args[: args.index("--") if "--" in args else None]
        try:
            _check_text(args)
            context = super().make_context(info_name, args, parent, **extra)
        except Exception as error:
            if asked and (usage := _usage(error)):
                raise _told_as_json("UsageError", usage.format_message(), ExitCode.USAGE) from None
            raise
        context.meta[JSON_ASKED] = asked  # until a command has read its options, and knows better
        return context

    def invoke(self, ctx: Any) -> Any:  # whatever Typer's own context is; what commands return is not used
        """Run the command that was named."""
        try:
            self._run(ctx)
        except BrokenPipeError:
            _write_nowhere()
            raise typer.Exit(_PIPE_CLOSED) from None
        except Exception as error:
            if os.environ.get("SAGA_TRACEBACK") == "1" and not _usage(error):
                raise
            raise _exit_of(error, as_json=ctx.meta[JSON_ASKED]) from None

    def _run(self, ctx: Any) -> None:
        try:
            super().invoke(ctx)
        finally:  # most commands leave with an exit code of their own, and what they said must have arrived
            sys.stdout.flush()


def _check_text(words: Sequence[str]) -> None:
    """Refuse what no database, server or JSON can hold: Python reads a byte that is no text as half a character."""
    for number, word in enumerate(words, start=1):
        if not is_text(word):
            raise typer.BadParameter(f"word {number} of the command line is no text: {NO_TEXT}")


def _usage(error: Exception) -> typer.BadParameter | None:
    """Return an error about the command line; all of them are like the one that Typer shows to the world."""
    return cast("typer.BadParameter", error) if isinstance(error, typer.BadParameter.__mro__[1]) else None


def _exit_of(error: Exception, *, as_json: bool) -> Exception:
    """Say what went wrong, and return what ends the command; what nobody foresaw comes back as it is."""
    if usage := _usage(error):
        usage.message = plain(usage.message)
        if as_json:
            return _told_as_json("UsageError", usage.format_message(), ExitCode.USAGE)
        usage.message = printable(usage.message, lines=True)
        return usage
    if isinstance(error, OSError):
        _write_nowhere()
    elif not isinstance(error, SagaError):
        return error
    code, name = exit_code_of(error), type(error).__name__
    if as_json:
        return _told_as_json(name, plain(str(error)), code)
    text = f"{name}: {error}" if isinstance(error, OSError) else plain(str(error))
    typer.echo(f"Error: {printable(text, lines=True)}", err=True)
    return typer.Exit(code)


def _told_as_json(name: str, message: str, code: ExitCode) -> typer.Exit:
    typer.echo(json.dumps({"error": {"type": name, "message": message, "exit_code": int(code)}}), err=True)
    return typer.Exit(code)


def _write_nowhere() -> None:
    """Give the last flush, when Python ends, somewhere to go."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
