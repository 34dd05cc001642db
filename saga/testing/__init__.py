"""Tests of sagas without a server: exploration of every fault, stories, a simulated engine, real servers.

What is named here is imported on first use, so that the pytest plugin stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from saga.testing._explore import Exploration, ExplorationError, explore

__all__ = ("Exploration", "ExplorationError", "explore")

_PLACES = {
    "Exploration": "saga.testing._explore",
    "ExplorationError": "saga.testing._explore",
    "explore": "saga.testing._explore",
}


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        msg = f"module 'saga.testing' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(_PLACES[name]), name)
