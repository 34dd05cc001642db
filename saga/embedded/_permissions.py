"""Why a SQLite journal's file cannot be written, as far as the system tells, and what would change that."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

__all__ = ("why_read_only",)

_BESIDE = ("", "-wal", "-shm")  # what SQLite keeps for a database, and gives the same permissions


def why_read_only(file: Path) -> str | None:
    """Return what keeps this user from writing to a journal's file, and what to do; None if nothing is seen."""
    if sys.platform == "win32":  # it has no such permissions
        return None
    try:
        return _mount(file) or _permissions(file)
    except OSError:  # not even that can be seen
        return None


def _mount(file: Path) -> str | None:
    found = os.statvfs(file if _exists(file) else file.parent)
    if not found.f_flag & os.ST_RDONLY:
        return None
    return "it lies on a file system that is mounted read-only; mount it for writing, or choose another place"


def _permissions(file: Path) -> str | None:
    folder, files = file.parent, [file.with_name(file.name + ending) for ending in _BESIDE]
    shut = [one for one in files if _exists(one) and not os.access(one, os.W_OK)]
    is_shut = not os.access(folder, os.W_OK | os.X_OK)
    if not shut and not is_shut:
        return None
    names = [*map(str, shut), *([f"its folder {folder}, where SQLite keeps its log"] if is_shut else [])]
    return f"this user may not write to {' and '.join(names)}; {_advice(folder if is_shut else None, shut)}"


def _advice(folder: Path | None, files: list[Path]) -> str:
    if any(one.stat().st_uid != os.geteuid() for one in [*files, *([folder] if folder else [])]):
        return (
            "that belongs to another user: run as that one, have it give this user the right, or choose another place"
        )
    commands = [f"chmod u+wx {shlex.quote(str(folder))}"] if folder else []
    if files:
        commands.append(f"chmod 600 {shlex.join(map(str, files))}")
    return f"choose another place, or {' && '.join(commands)}"


def _exists(file: Path) -> bool:
    try:
        return file.exists()
    except PermissionError:  # its folder is shut altogether
        return False
