"""Tests of sagas without a server: exploration of every fault, stories, and a barrier for fakes.

What is named here is imported on first use, so that the pytest plugin stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from saga.testing._barrier import behind_barrier
    from saga.testing._explore import Exploration, ExplorationError, explore
    from saga.testing._story import Story, given
    from saga.testing._told import StoryError

__all__ = ("Exploration", "ExplorationError", "Story", "StoryError", "behind_barrier", "explore", "given")

_PLACES = {
    "Exploration": "_explore",
    "ExplorationError": "_explore",
    "Story": "_story",
    "StoryError": "_told",
    "behind_barrier": "_barrier",
    "explore": "_explore",
    "given": "_story",
}


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        msg = f"module 'saga.testing' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"saga.testing.{_PLACES[name]}"), name)
