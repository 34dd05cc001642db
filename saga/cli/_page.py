"""The page of a STUCK instance, with commands that a shell takes as they stand."""

from __future__ import annotations

import os
import re
import shlex
from typing import TYPE_CHECKING

from ._text import printable, with_places

if TYPE_CHECKING:
    from saga.kernel import SagaView

__all__ = ("page_of", "positional")

_END = "Nothing else will run until someone acts:\n"
_WHO = "--by YOU --why ..."
_WAY_OUT = re.compile(rf"  saga (\w+) ID(?: ([^-\s]\S*))?(?: (--.*?))? +{re.escape(_WHO)} +(?:# )?(.*)")


def positional(*words: str) -> str:
    """Return the arguments of a command as a shell takes them, and as no option is read.

    Example:
        >>> positional("transfer 42", "debit.1"), positional("-x")
        ("'transfer 42' debit.1", '-- -x')
    """
    return ("-- " if words[0].startswith("-") else "") + shlex.join(words)


def page_of(view: SagaView, database: str) -> str:
    """Return the page of a STUCK instance, as it is shown to somebody who may copy from it."""
    # The page is made for an id that needs no quotes: where it stands is then known for certain.
    story, end, ways = view.model_copy(update={"id": "ID"}).page().rpartition(_END)
    found = [_WAY_OUT.fullmatch(line) for line in ways.splitlines()]
    lines = [*_place(database), *(_command(view.id, *one.groups("")) for one in found if one)]
    if None in found:  # an operator is better served by a page that cannot be pasted than by none
        return with_places(printable(view.page(), lines=True))
    width = max(len(command) for command, _ in lines)
    # Each line is one that a shell understands, explanation included.
    commands = (f"  {command:<{width}}  # {text}" for command, text in lines)
    return "\n".join([with_places(printable(view.id + story.removeprefix("ID") + end[:-1], lines=True)), *commands])


def _command(id: str, act: str, call: str, options: str, text: str) -> tuple[str, str]:
    names = positional(*filter(None, (id, call)))
    words = (options, _WHO, names) if names.startswith("-- ") else (names, options, _WHO)
    return " ".join(filter(None, ("saga", act, *words))), text


def _place(database: str) -> list[tuple[str, str]]:
    if os.environ.get("SAGA_DATABASE"):
        return []
    known = database.startswith("sqlite")  # other URLs may hold a password
    return [(f"export SAGA_DATABASE={shlex.quote(database) if known else 'URL'}", "where they find the journal")]
