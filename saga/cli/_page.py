"""The page of a STUCK instance, as it is shown to somebody who may copy from it."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from ._text import printable, with_places

if TYPE_CHECKING:
    from saga.kernel import SagaView

__all__ = ("page_of",)


def page_of(view: SagaView, database: str) -> str:
    """Return the page of an instance, with where the commands find its journal."""
    return with_places(printable(view.page(before=_place(database)), lines=True))


def _place(database: str) -> list[tuple[str, str]]:
    if os.environ.get("SAGA_DATABASE"):
        return []
    known = database.startswith("sqlite")  # other URLs may hold a password
    return [(f"export SAGA_DATABASE={shlex.quote(database) if known else 'URL'}", "where they find the journal")]
