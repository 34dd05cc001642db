"""What a command's exit code says, and which error comes to which."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from enum import IntEnum
from typing import Any

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

from ._text import printable

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
        PLATFORM: The journal cannot be used, or something is not installed.
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


def exit_code_of(error: SagaError) -> ExitCode:
    """Return the exit code of a command that ended with `error`.

    Example:
        >>> exit_code_of(UnknownSagaError("no such instance")).name
        'UNKNOWN'
    """
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.PLATFORM)


class Group(TyperGroup):
    """The commands, with every error of the library turned into one message and an exit code."""

    def invoke(self, ctx: Any) -> Any:  # whatever Typer's own context is; what commands return is not used
        """Run the command that was named."""
        try:
            super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            _write_nowhere()
            raise typer.Exit(_PIPE_CLOSED) from None
        except SagaError as error:
            if os.environ.get("SAGA_TRACEBACK") == "1":
                raise
            code = exit_code_of(error)
            typer.echo(_told(error, code, as_json=ctx.meta.get(JSON_ASKED, False)), err=True)
            raise typer.Exit(code) from None


def _write_nowhere() -> None:
    """Give the last flush, when Python ends, somewhere to go."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _told(error: SagaError, code: ExitCode, *, as_json: bool) -> str:
    if as_json:
        told = {"type": type(error).__name__, "message": str(error), "exit_code": int(code)}
        return json.dumps({"error": told})
    return f"Error: {printable(str(error), lines=True)}"
