"""What the figures were measured on, without names of hosts or paths."""

from __future__ import annotations

import os
import platform
import sqlite3
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from ._databases import Databases
from ._measure import Measurements
from ._settings import Settings

_PACKAGES: Final = ("sagakit", "dbos", "temporalio", "sqlalchemy", "psycopg", "pydantic")


def environment(
    settings: Settings, databases: Databases, results: Measurements, *, seed: int, load_before: float
) -> dict[str, object]:
    """Return machine, versions, settings and what the databases said of their durability."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "load_average_before": round(load_before, 2),
        "system": f"{platform.system()} {platform.machine()}",
        "filesystem": filesystem(databases.folder),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "postgresql": databases.server_version(),
        "versions": {package: _version(package) for package in _PACKAGES},
        "durability": {cell.name: told.words for cell, told in results.durability.items()},
        "settings": {**asdict(settings), "seed": seed, "rounds_done": _rounds_done(results)},
    }


def cpu_model() -> str:
    """Return the processor's name as the kernel knows it."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")


def filesystem(folder: Path) -> str:
    """Return the kind of file system below `folder`: a flush on `tmpfs` costs nothing."""
    mounts = Path("/proc/mounts")
    best, kind = "", "unknown"
    for line in mounts.read_text(encoding="utf-8").splitlines() if mounts.exists() else []:
        _, point, found, *_ = line.split()
        if folder.resolve().is_relative_to(point) and len(point) > len(best):
            best, kind = point, found
    return kind


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _rounds_done(results: Measurements) -> int:
    return max((len(rounds) for rounds in results.rounds.values()), default=0)
