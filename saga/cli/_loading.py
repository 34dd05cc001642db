"""Finds saga classes by the names of their modules."""

from __future__ import annotations

import importlib
import sys
import traceback
import warnings
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from saga.errors import NotDeterministicWarning, SagaDefinitionError, SagaError
from saga.kernel import Definition, Saga, definition_of

from ._text import place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from types import ModuleType

__all__ = ("Loaded", "ModuleImportError", "load", "load_function", "load_one")


class ModuleImportError(SagaError):
    """A module raised an error, or ended the process, when it was imported."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a target names: the definitions of its saga classes, and what was warned of while they were made."""

    definitions: tuple[Definition, ...]
    warnings: tuple[str, ...]


def load(target: str) -> Loaded:
    """Import `module:Class`, or all saga classes that `module` defines; modules of this folder are found.

    Raises:
        SagaDefinitionError: if a class that is made on the way has faults.
        ModuleImportError: if the module is there and cannot be imported.
        BadParameter: if there is no such module or class.
    """
    name, path = _parts(target)
    with warnings.catch_warnings(record=True) as caught, _as_library(name):
        warnings.simplefilter("always", NotDeterministicWarning)
        module = _imported(name)
    found = (_attribute(module, path),) if path else _defined(module)
    if not found:
        raise typer.BadParameter(f"{name} defines no saga class")
    told = [str(one.message) for one in caught if issubclass(one.category, NotDeterministicWarning)]
    return Loaded(_definitions(found, target), tuple(told))


def load_one(target: str) -> Definition:
    """Import `module:Class`.

    Raises:
        SagaDefinitionError: if a class that is made on the way has faults.
        ModuleImportError: if the module is there and cannot be imported.
        BadParameter: if there is no such module or class.
    """
    if ":" not in target:
        raise typer.BadParameter(f"{target!r} names no class; write module:Class, such as shop.sagas:Order")
    return load(target).definitions[0]


def load_function(target: str, option: str) -> Callable[[], object]:
    """Import the function `module:function`, which takes nothing; the folder of the call is looked in.

    Raises:
        ModuleImportError: if the module is there and cannot be imported.
        BadParameter: if there is no such module or function.
    """
    name, _, path = target.partition(":")
    if not path or not all(part.isidentifier() for part in (*name.split("."), *path.split("."))):
        raise typer.BadParameter(f"{option}: {target!r} names no function; write module:function")
    with _as_library(name):
        found: object = _imported(name)
    for part in path.split("."):
        if not hasattr(found, part):
            raise typer.BadParameter(f"{option}: {name} has no {path}")
        found = getattr(found, part)
    if not callable(found):
        raise typer.BadParameter(f"{option}: {target} is no function; write one that returns the participants by name")
    return found


def _parts(target: str) -> tuple[str, str]:
    name, colon, path = target.partition(":")
    if all(part.isidentifier() for part in name.split(".")) and bool(colon) is bool(path) and not name.endswith(".py"):
        return name, path
    example = "shop.sagas:Order"
    if name.endswith(".py") and not name.startswith((".", "/")):
        example = f"{name.removesuffix('.py').replace('/', '.')}:{path or 'Class'}"
    raise typer.BadParameter(f"{target!r} names no saga class; write module:Class, such as {example}")


@contextmanager
def _as_library(name: str) -> Generator[None]:
    """Let a module see no arguments of ours, and let what it prints not mix with what we do."""
    arguments, sys.argv = sys.argv, [name]
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        sys.argv = arguments


def _imported(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # an installed command does not look where it is called
    try:
        return importlib.import_module(name)
    except (SagaError, KeyboardInterrupt):
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise typer.BadParameter(f"{error}; modules are looked for here and where Python finds them") from None
        raise ModuleImportError(_told(name, error)) from error
    except BaseException as error:  # whatever a module does, it is not this command that failed
        raise ModuleImportError(_told(name, error)) from error


def _told(name: str, error: BaseException) -> str:
    what = f"{type(error).__name__}: {error}".removesuffix(": ")
    if isinstance(error, SystemExit):
        what = f"it ends the process ({what}); let it do so only beneath if __name__ == '__main__'"
    where = "" if isinstance(error, SyntaxError) else _where(error)  # which names its place itself
    first, *more = what.split("\n")
    return "\n".join([f"{name} cannot be imported: {first}{where}", *(f"  {line}" for line in more)])


def _where(error: BaseException) -> str:
    """Return the last line of the user's own that ran, or the last of all."""
    frames = [one for one in traceback.extract_tb(error.__traceback__) if not one.filename.startswith("<frozen")]
    here = [one for one in frames if not Path(place_of(one.filename)).is_absolute()]
    last = (here or frames)[-1]
    return f" ({place_of(last.filename)}:{last.lineno})"


def _attribute(module: ModuleType, path: str) -> object:
    found: object = module
    for part in path.split("."):
        if not hasattr(found, part):
            known = ", ".join(one.__name__ for one in _defined(module)) or "none"
            raise typer.BadParameter(f"{module.__name__} has no {path}; its saga classes: {known}")
        found = getattr(found, part)
    return found


def _defined(module: ModuleType) -> tuple[type[Saga], ...]:
    """Return the saga classes of a module; a base that others finish is none, one that nobody finishes is."""
    return tuple(
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Saga)
        and value.__module__ == module.__name__
        and ("__definition__" in vars(value) or not value.__subclasses__())
    )


def _definitions(found: Iterable[object], target: str) -> tuple[Definition, ...]:
    """Return the definitions of classes.

    Raises:
        SagaDefinitionError: if one of them has no `run`; all of them are named.
    """
    faulty: list[SagaDefinitionError] = []
    definitions: list[Definition] = []
    for one in found:
        try:
            definitions.append(definition_of(_saga_class(one, target)))
        except SagaDefinitionError as error:
            faulty.append(error)
    if faulty:
        names, places = (", ".join(dict.fromkeys(each)) for each in zip(*map(_named, faulty), strict=True))
        raise SagaDefinitionError(names, places, [fault for error in faulty for fault in error.faults])
    return tuple(definitions)


def _named(error: SagaDefinitionError) -> tuple[str, str]:
    return error.saga, error.faults[0].where


def _saga_class(value: object, target: str) -> type[Saga]:
    if not isinstance(value, type):
        raise typer.BadParameter(f"{target} is no class")
    if not issubclass(value, Saga) or value is Saga:
        raise typer.BadParameter(f"{target} is no saga class; a saga class derives from saga.Saga")
    return value
