"""Finds saga classes by the names of their modules."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from saga.errors import NotDeterministicWarning, SagaError
from saga.kernel import Definition, Saga, definition_of

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ("Loaded", "load", "load_one")


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a target names: the definitions of its saga classes, and what was warned of while they were made."""

    definitions: tuple[Definition, ...]
    warnings: tuple[str, ...]


def load(target: str) -> Loaded:
    """Import `module:Class`, or all saga classes that `module` defines; modules of this folder are found.

    Raises:
        SagaDefinitionError: if a class that is made on the way has faults.
        BadParameter: if there is no such module or class, or the module cannot be imported.
    """
    name, colon, path = target.partition(":")
    if not name or bool(colon) is not bool(path):
        raise typer.BadParameter(f"{target!r} names no saga class; write module:Class, such as shop.sagas:Order")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", NotDeterministicWarning)
        module = _imported(name)
    found = (_attribute(module, path),) if path else tuple(_defined(module))
    if not found:
        raise typer.BadParameter(f"{name} defines no saga class")
    told = [str(one.message) for one in caught if issubclass(one.category, NotDeterministicWarning)]
    return Loaded(tuple(_definition(one, target) for one in found), tuple(told))


def load_one(target: str) -> Definition:
    """Import `module:Class`.

    Raises:
        SagaDefinitionError: if a class that is made on the way has faults.
        BadParameter: if there is no such module or class, or the module cannot be imported.
    """
    if ":" not in target:
        raise typer.BadParameter(f"{target!r} names no class; write module:Class, such as shop.sagas:Order")
    return load(target).definitions[0]


def _imported(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # an installed command does not look where it is called
    try:
        return importlib.import_module(name)
    except SagaError:
        raise
    except (Exception, SystemExit) as error:
        if os.environ.get("SAGA_TRACEBACK") == "1":
            raise
        raise typer.BadParameter(f"{name} cannot be imported: {_told(error)}") from None


def _told(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = "" if isinstance(error, ModuleNotFoundError) else f" ({Path(last.filename).name}:{last.lineno})"
    return f"{type(error).__name__}: {error}{where}"


def _attribute(module: ModuleType, path: str) -> object:
    found: object = module
    for part in path.split("."):
        if not hasattr(found, part):
            known = ", ".join(one.__name__ for one in _defined(module)) or "none"
            raise typer.BadParameter(f"{module.__name__} has no {path}; its saga classes: {known}")
        found = getattr(found, part)
    return found


def _defined(module: ModuleType) -> list[type[Saga]]:
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Saga)
        and "__definition__" in vars(value)
        and value.__module__ == module.__name__
    ]


def _definition(value: object, target: str) -> Definition:
    if not isinstance(value, type):
        raise typer.BadParameter(f"{target} is no class")
    try:
        return definition_of(value)
    except SagaError as error:
        raise typer.BadParameter(str(error)) from None
