"""The engine that runs inside the application's own process, on SQLite or PostgreSQL."""

from saga.embedded._engine import EmbeddedEngine
from saga.embedded._journal import Journal

__all__ = ("EmbeddedEngine", "Journal")
