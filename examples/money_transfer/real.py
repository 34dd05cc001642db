"""The real participants, for `saga worker`: banks whose databases lie in the folder `banks`."""

from collections.abc import Mapping
from pathlib import Path

from .world import World

__all__ = ("banks",)


def banks() -> Mapping[str, object]:
    """Open the banks; what a killed worker leaves in them is whole, so nothing has to be closed."""
    folder = Path("banks")
    folder.mkdir(mode=0o700, exist_ok=True)
    world = World.at(folder)
    world.open_accounts()
    return world.participants()
