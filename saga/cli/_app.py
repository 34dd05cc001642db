"""The `saga` command: which commands there are, and what their help says."""

from __future__ import annotations

import io
import os
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, NamedTuple, NoReturn

import typer

from saga._version import __version__

from . import _acts, _classes, _demo, _purging, _reading, _recovering, _serving
from ._exits import ExitCode, Group

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ("application", "main")

_ABOUT = """\b
Business transactions over several services: look at them, act on them, draw them.

The journal is named by --database URL or by the environment's SAGA_DATABASE. Acts work while the engine runs in
another process: they are left in the journal, and the engine answers. For sagas on Temporal name the server:
--address HOST:PORT, or --engine temporal with what Temporal's own profile and environment say; its workers answer.
"""

_EXITS = """\b
Exit codes:
  0  done
  1  the answer is no: the act was refused, the class has faults
  2  the command line makes no sense; nothing was tried
  3  the journal or the server cannot be used, no worker answers, something is not installed or missing, a module
     cannot be imported, or the command itself failed
  4  there is no such instance
  5  the act is in the journal, or left with the server, and no engine has answered yet

\b
Examples:
  saga demo
  export SAGA_DATABASE=sqlite:///transfers.db
  saga list --state stuck
  saga show transfer-42
  saga retry transfer-42 --by YOU --why "the bank is back"
  saga check shop.sagas:Order
  saga worker shop.sagas:Order --task-queue shop --participants shop.real:banks
  saga list --address 127.0.0.1:7233 --state stuck

\b
With SAGA_TRACEBACK=1 an error shows where it comes from; NO_COLOR=1 takes the colours away.
"""


class _Command(NamedTuple):
    run: Callable[..., None]
    summary: str
    examples: tuple[str, ...]


# In the order in which help lists them.
_COMMANDS: Mapping[str, _Command] = {
    "demo": _Command(
        _demo.demo,
        "Move money between two banks, and prove that all is there.",
        ("saga demo", "saga demo --transfers 1000 --kill", "saga demo --directory demo"),
    ),
    "list": _Command(
        _reading.list_,
        "List instances, newest first.",
        (
            "saga list --database sqlite:///transfers.db",
            "saga list --state stuck --state compensating --since 2h",
            "saga list --saga MoneyTransfer --prefix transfer- --limit 0 --json",
            "saga list --count",
        ),
    ),
    "show": _Command(
        _reading.show,
        "Show what happened to an instance, and what helps.",
        ("saga show transfer-42", "saga show transfer-42 --payloads --json"),
    ),
    "retry": _Command(
        _acts.retry,
        "Try again what is blocked: the cause is fixed.",
        ('saga retry transfer-42 --by YOU --why "the account is thawed"',),
    ),
    "skip": _Command(
        _acts.skip,
        "Say that a compensation was done by hand.",
        ('saga skip transfer-42 debit.1 --by YOU --why "refunded by hand"',),
    ),
    "resolve": _Command(
        _acts.resolve,
        "Say what became of a call that is in doubt.",
        (
            """saga resolve transfer-42 credit.1 --happened '{"id": "p-1"}' --by YOU --why "it is booked\"""",
            'saga resolve transfer-42 credit.1 --did-not-happen --by YOU --why "their books are closed"',
        ),
    ),
    "abort": _Command(
        _acts.abort,
        "Give a saga up before its pivot, and compensate.",
        ('saga abort transfer-42 --by YOU --why "the customer gave up"',),
    ),
    "cancel": _Command(
        _acts.cancel,
        "Ask a saga to stop and compensate.",
        ('saga cancel transfer-42 --by YOU --why "ordered twice"',),
    ),
    "decide": _Command(
        _acts.decide,
        "Answer a decision.",
        (
            """saga decide transfer-42 review.1 '{"approved": true}' --by YOU""",
            """saga decide order-7 approval '"granted"' --by YOU""",
        ),
    ),
    "facts": _Command(
        _reading.facts,
        "Print an instance's journal, a JSON object per line.",
        ("saga facts transfer-42", "saga facts transfer-42 --payloads > transfer-42.ndjson"),
    ),
    "diagram": _Command(
        _classes.diagram,
        "Draw a class, an instance or the states, in Mermaid.",
        ("saga diagram shop.sagas:Order", "saga diagram --id transfer-42", "saga diagram --states"),
    ),
    "check": _Command(
        _classes.check,
        "Check saga classes, and print all their faults.",
        ("saga check shop.sagas:Order", "saga check shop.sagas"),
    ),
    "worker": _Command(
        _serving.worker,
        "Run sagas on a Temporal server.",
        (
            "saga worker shop.sagas:Order --address 127.0.0.1:7233 --task-queue shop --participants shop.real:banks",
            "saga worker shop.sagas --profile production --task-queue shop --drain 60",
        ),
    ),
    "recover": _Command(
        _recovering.recover,
        "Compensate an instance that was ended from outside.",
        ("""saga recover order-7 shop.sagas:Order --address 127.0.0.1:7233 --by YOU --why "it was terminated\"""",),
    ),
    "purge": _Command(
        _purging.purge,
        "Remove instances that ended long ago, for good.",
        ("saga purge --older-than 90d", "saga purge --older-than 2w --saga MoneyTransfer"),
    ),
}


def _epilog(examples: tuple[str, ...]) -> str:
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in examples)


def application() -> typer.Typer:
    """Return the command with all its commands."""
    app = typer.Typer(
        name="saga",
        cls=Group,
        help=_ABOUT,
        epilog=_EXITS,
        no_args_is_help=True,
        rich_markup_mode=None,  # help and usage errors as plain text: they read the same in a pipe and on a terminal
        pretty_exceptions_enable=False,  # it would show the values of variables, payloads among them
        add_completion=True,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback()(_saga)
    for name, command in _COMMANDS.items():
        app.command(name, short_help=command.summary, epilog=_epilog(command.examples))(command.run)
    return app


def _show_version(asked: bool) -> None:  # noqa: FBT001 - the form of a callback
    if asked:
        typer.echo(f"saga {__version__}")
        raise typer.Exit


def _saga(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    _ = version


def main() -> None:
    """Run the command that the arguments of this process name, and end the process with its exit code."""
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # an id may hold what the terminal cannot show
    try:
        application()(prog_name="saga")
    except SystemExit as ended:
        _leave(ended)
    except Exception:  # noqa: BLE001 - Python's own exit code for it is 1, which means no
        traceback.print_exc()
        _leave(SystemExit(int(ExitCode.PLATFORM)))


def _leave(ended: SystemExit) -> NoReturn:
    """End the process; one that talked to a Temporal server without Python's own farewell."""
    # temporalio 1.x may abort an interpreter that ends right after the last call of its client, which is known
    # upstream; the exit code would be lost. So nothing of Python's shutdown runs, and what was said is flushed here.
    if "temporalio.bridge.temporal_sdk_bridge" not in sys.modules:
        raise ended
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(ended.code if isinstance(ended.code, int) else int(ended.code is not None))


def _open_closed_streams() -> None:
    """Give a standard stream that somebody closed somewhere to go; else a database would get its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            setattr(sys, name, os.fdopen(opened, "w" if number else "r"))
