"""The commands about saga classes: `check` and `diagram`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from saga.errors import SagaDefinitionError
from saga.kernel import class_diagram, instance_diagram, states_diagram

from ._exits import ExitCode
from ._loading import Loaded, load, load_one
from ._options import AsJson, check_id
from ._output import print_json
from ._place import Place, at_place, opened
from ._text import printable

if TYPE_CHECKING:
    from saga.kernel import Definition

__all__ = ("check", "diagram")


def check(
    target: Annotated[
        str,
        typer.Argument(
            metavar="MODULE[:CLASS]", help="A saga class, or a module for all that it defines.", show_default=False
        ),
    ],
    *,
    as_json: AsJson = False,
) -> None:
    """Check saga classes: print all faults, with file and line, and what a replay would not repeat."""
    try:
        loaded = load(target)
    except SagaDefinitionError as error:
        faults = [{"where": one.where, "name": one.name, "text": one.text} for one in error.faults]
        if as_json:
            print_json({"ok": False, "saga": error.saga, "faults": faults, "sagas": [], "warnings": []})
        else:
            typer.echo(printable(str(error), lines=True))
        raise typer.Exit(ExitCode.NO) from None
    _print_loaded(loaded, as_json=as_json)


def _print_loaded(loaded: Loaded, *, as_json: bool) -> None:
    if as_json:
        sagas = [
            {
                "saga": one.saga,
                "steps": list(one.steps),
                "decisions": list(one.decisions),
                "fingerprint": one.fingerprint,
            }
            for one in loaded.definitions
        ]
        warnings = list(loaded.warnings)
        print_json({"ok": True, "saga": None, "faults": [], "sagas": sagas, "warnings": warnings})
        return
    for one in loaded.definitions:
        typer.echo(f"{one.saga} can run: {_counted(one)}")
    for warning in loaded.warnings:
        typer.echo(printable(f"  warning: {warning}"))


def _counted(definition: Definition) -> str:
    steps = ", ".join(f"{step.name} ({step.kind.value})" for step in definition.steps.values())
    decisions = ", ".join(definition.decisions)
    return (steps or "no steps") + (f"; decisions {decisions}" if decisions else "")


@at_place
def diagram(
    target: Annotated[
        str | None, typer.Argument(metavar="[MODULE:CLASS]", help="A saga class: its plan.", show_default=False)
    ] = None,
    *,
    id: Annotated[
        str | None,
        typer.Option(
            "--id", metavar="ID", callback=check_id, help="An instance: the path it took.", show_default=False
        ),
    ] = None,
    states: Annotated[bool, typer.Option("--states", help="The states of every instance.")] = False,
    place: Place,
    as_json: AsJson = False,
) -> None:
    """Draw a saga class, an instance, or the table of states, as Mermaid text."""
    if (target is not None) + (id is not None) + states != 1:
        raise typer.BadParameter("name one thing to draw: MODULE:CLASS, --id ID, or --states")
    if id is not None:
        with opened(place) as instances:
            drawn = instance_diagram(instances.view(id))
    else:
        drawn = states_diagram() if target is None else class_diagram(load_one(target))
    if as_json:
        print_json({"mermaid": drawn})
    else:
        typer.echo(drawn, nl=False)
