"""The page of a STUCK instance, as it is shown to somebody who may copy from it."""

from __future__ import annotations

import os
import re
import shlex
from typing import TYPE_CHECKING, Final

from saga.kernel import positional

from ._text import printable, with_places

if TYPE_CHECKING:
    from saga.kernel import SagaView

    from ._place import Place

__all__ = ("page_of", "recovery_of")

_COMMANDS: Final = "Nothing else will run until someone acts:\n"


def page_of(view: SagaView, place: Place) -> str:
    """Return the page of an instance, with where the commands find it."""
    before = [] if place.on_server or os.environ.get("SAGA_DATABASE") else [_journal(place.database)]
    told, between, commands = view.page(before=before).rpartition(_COMMANDS)
    if place.options:
        options = place.options.replace("\\", r"\\")
        commands = re.sub(r"^(  saga [a-z]+)", rf"\1 {options}", commands, flags=re.MULTILINE)
    return with_places(printable(told + between + commands, lines=True))


def recovery_of(view: SagaView, place: Place) -> str:
    """Return what helps an instance that somebody ended from outside."""
    words = filter(None, ("saga recover", place.options, "--by YOU --why ...", positional(view.id, "module:Class")))
    return f"Nothing runs it any more. This starts what compensates it:\n  {' '.join(words)}"


def _journal(database: str) -> tuple[str, str]:
    known = database.startswith("sqlite")  # other URLs may hold a password
    return f"export SAGA_DATABASE={shlex.quote(database) if known else 'URL'}", "where they find the journal"
