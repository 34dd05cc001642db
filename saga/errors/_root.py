"""The root of every error, and how their messages are put together."""

from __future__ import annotations

__all__ = ("SagaError", "joined")


class SagaError(Exception):
    """Root of every error that this library raises on purpose."""


def joined(*parts: str) -> str:
    """Return the parts that are not empty, as one message."""
    return ": ".join(part for part in parts if part)
