"""The engine that runs inside the application's own process, on SQLite or PostgreSQL."""

from saga.embedded._engine import EmbeddedEngine

__all__ = ("EmbeddedEngine",)
