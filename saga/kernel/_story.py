"""What went wrong in an author's code, told by its own frames."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ("story_of",)


def story_of(error: BaseException) -> str:
    """Return the traceback of what left an author's code, without the frames of this library above it."""
    story = error.__traceback__
    while story is not None and story.tb_next is not None and _is_ours(story):
        story = story.tb_next
    return "".join(traceback.format_exception(type(error), error, story))


def _is_ours(story: TracebackType) -> bool:
    return str(story.tb_frame.f_globals.get("__name__", "")).startswith("saga.kernel.")
