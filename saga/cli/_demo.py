"""The command that runs the example."""

from __future__ import annotations

import importlib
from typing import Annotated

import typer

from saga.errors import MissingExtraError

from ._options import AsJson

__all__ = ("demo",)

_EXAMPLE = "saga._examples.money_transfer.demo"


def demo(
    *,
    transfers: Annotated[
        int, typer.Option(metavar="N", min=1, max=1_000_000, help="How many transfers to make.")
    ] = 200,
    kill: Annotated[
        bool, typer.Option("--kill", help="Kill the process in the middle, again and again, while they run.")
    ] = False,
    directory: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Keep the databases there: in an empty folder, or in that of a run that was interrupted, to go on.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Move money between two banks, through refusals, doubt and a kill, and prove that every cent is there."""
    try:
        example = importlib.import_module(_EXAMPLE)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("saga._examples"):
            raise
        raise MissingExtraError(
            "this installation holds no example; install the released package: pip install sagakit"
        ) from None
    raise typer.Exit(example.main(transfers=transfers, kill=kill, as_json=as_json, directory=directory))
