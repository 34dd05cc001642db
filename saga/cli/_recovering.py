"""The command that recovers an instance which its workflow cannot bring to an end any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from saga.kernel import positional

from ._acts import By, Why, check_who
from ._loading import load_one
from ._options import AsJson, Id
from ._output import print_json
from ._place import Place, at_place, opened_server, temporal
from ._text import printable

if TYPE_CHECKING:
    from saga.kernel import SagaView

__all__ = ("recover",)


@at_place
def recover(
    id: Id,
    target: Annotated[
        str, typer.Argument(metavar="MODULE:CLASS", help="The saga class of the instance.", show_default=False)
    ],
    *,
    by: By = "",
    why: Why = "",
    place: Place,
    as_json: AsJson = False,
) -> None:
    """Start an instance on Temporal again that was terminated, timed out or cannot go on, so that it compensates.

    It keeps its id. What its history proves was done or in doubt is compensated; past its pivot it goes forward.
    """
    check_who(by, why)
    if not place.on_server:
        raise typer.BadParameter(
            "recover is for sagas on Temporal, give --address HOST:PORT or --engine temporal; "
            "a saga in a journal goes on with the next engine"
        )
    definition = load_one(target)
    with opened_server(place) as server:
        view: SagaView = temporal().recovered(server, definition.cls, id, by=by, why=why)
    if as_json:
        print_json({"id": id, "act": "recover", "state": view.state.value})
        return
    look = " ".join(filter(None, ("saga show", place.options, positional(id))))
    typer.echo(printable(f"{id}: recover is journaled; the saga is {view.state} now. See how it goes on: {look}"))
