"""Brings a journal that an older version of the library made to the tables of this one."""

from __future__ import annotations

from pathlib import Path
from threading import Lock

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

__all__ = ("upgrade",)

_ALONE = Lock()  # Alembic keeps the running migration in globals


def upgrade(connection: Connection) -> None:
    """Run every migration that is due, inside the transaction that `connection` is in."""
    config = Config()
    # Alembic reads `%` in an option as the start of a reference.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    with _ALONE:
        command.upgrade(config, "head")
