"""How a server is looked for: place after place, until one has it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager, ExitStack

__all__ = ("AbsentError", "first_in", "free_port")


class AbsentError(Exception):
    """A place does not have the server; the message says why."""


def first_in(
    places: Mapping[str, AbstractContextManager[str]], running: ExitStack
) -> tuple[str | None, dict[str, str]]:
    """Enter the first place that has the server.

    Returns:
        The address, or None if no place has the server, and why each place that was asked has none.
    """
    reasons: dict[str, str] = {}
    for name, place in places.items():
        try:
            return running.enter_context(place), reasons
        except AbsentError as absent:
            reasons[name] = str(absent).strip()
    return None, reasons


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
