"""The names that users may import: adding one is a decision, losing one is a break."""

import importlib
import inspect
from pathlib import Path
from types import ModuleType

import pytest

import saga

PACKAGE = Path(saga.__file__).parent

# Every change of this list belongs into CHANGELOG.md.
FRONT_DOOR = [
    "AskAgain",
    "Compensatable",
    "Decision",
    "DecisionTimedOut",
    "DidNotHappen",
    "Effect",
    "EmbeddedEngine",
    "Engine",
    "Finding",
    "Happened",
    "Nested",
    "Pivot",
    "ReadOnly",
    "Retriable",
    "Retry",
    "Saga",
    "SagaAborted",
    "SagaCompensatedError",
    "SagaDefinitionError",
    "SagaError",
    "SagaHandle",
    "SagaState",
    "SagaStuckError",
    "SagaView",
    "StepInDoubt",
    "StepRejected",
    "Verdict",
    "__version__",
    "current_step",
    "participant",
]

MOST_NAMES = 30


def public_modules() -> list[str]:
    """Names of all modules of `saga` in whose path nothing starts with an underscore."""
    paths = [path.relative_to(PACKAGE.parent).with_suffix("") for path in PACKAGE.rglob("*.py")]
    parts = [path.parts[:-1] if path.name == "__init__" else path.parts for path in paths]
    return sorted(".".join(names) for names in parts if not any(name.startswith("_") for name in names))


def exported(module: ModuleType) -> list[str]:
    """What `from module import *` would import."""
    return list(getattr(module, "__all__", ()))


def defined_here(module: ModuleType) -> set[str]:
    """Public classes and functions that the module defines; for a package, also those of its modules."""
    inside = module.__name__ + "."
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isroutine(value))
        and (
            value.__module__ == module.__name__ or (hasattr(module, "__path__") and value.__module__.startswith(inside))
        )
    }


def test_the_front_door_is_frozen() -> None:
    """`saga` exports exactly these names, in order, and few enough to learn."""
    assert exported(saga) == FRONT_DOOR
    assert sorted(FRONT_DOOR) == FRONT_DOOR
    assert len(FRONT_DOOR) <= MOST_NAMES


@pytest.mark.parametrize("name", public_modules())
def test_a_public_module_exports_exactly_its_public_names(name: str) -> None:
    """Every public module lists its names once, each of them exists, and nothing public is left out."""
    module = importlib.import_module(name)
    names = exported(module)
    assert names, f"{name} has no __all__"
    assert len(names) == len(set(names))
    assert [missing for missing in names if not hasattr(module, missing)] == []
    assert defined_here(module) - set(names) == set()


@pytest.mark.parametrize("name", public_modules())
def test_a_public_module_says_what_it_is_for(name: str) -> None:
    """Every public module and every name it exports has a docstring."""
    module = importlib.import_module(name)
    described = [module, *(getattr(module, each) for each in exported(module))]
    bare = [each for each in described if inspect.isclass(each) or inspect.isroutine(each) or inspect.ismodule(each)]
    assert [each.__name__ for each in bare if not inspect.getdoc(each)] == []
