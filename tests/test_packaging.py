"""What is built is what is used: the wheel works in an empty environment, far from the checkout."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHIPPED = "saga/_examples/money_transfer/"
FOREIGN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTEST_CURRENT_TEST")


def run(*command: str | Path, cwd: Path) -> str:
    """Runs a program that knows nothing of this environment; a failure shows what it printed."""
    environment = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment | {"NO_COLOR": "1", "COLUMNS": "100"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


def belongs(path: Path) -> bool:
    """Whether a file is part of the example, rather than left there by a run."""
    return path.is_file() and "__pycache__" not in path.parts and not path.suffix.startswith(".db")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built as a release would be."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that holds the wheel, what it requires, and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    programs = folder / ("Scripts" if sys.platform == "win32" else "bin")
    run(programs / "python", "-m", "pip", "install", "--quiet", wheel, cwd=folder)
    return programs


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_wheel_ships_types_and_the_example(wheel: Path) -> None:
    """Type checkers see our annotations, `saga demo` finds its example, and tests stay at home."""
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"saga", "integrations"}
    assert {"saga/py.typed", "integrations/py.typed"} <= set(names)
    example = ROOT / "examples" / "money_transfer"
    expected = {path.relative_to(example).as_posix() for path in example.rglob("*") if belongs(path)}
    shipped = {name.removeprefix(SHIPPED) for name in names if name.startswith(SHIPPED)}
    assert shipped == expected != set()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_command_works_outside_the_checkout(elsewhere: Path, tmp_path: Path) -> None:
    """The installed `saga` explains itself, wherever it is called."""
    assert "demo" in run(elsewhere / "saga", "--help", cwd=tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_demo_runs_outside_the_checkout(elsewhere: Path, tmp_path: Path) -> None:
    """The installed `saga demo` runs to its proof with what the wheel brought."""
    assert "3" in run(elsewhere / "saga", "demo", "--transfers", "3", cwd=tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_installed_package_is_not_the_checkout(elsewhere: Path, tmp_path: Path) -> None:
    """The environment of these tests really holds the wheel, and none of the optional vendors."""
    code = "import saga; from importlib.util import find_spec; print(saga.__file__, *map(find_spec, {}))"
    optional = ("psycopg", "pytest")
    file, *vendors = run(elsewhere / "python", "-c", code.format(optional), cwd=tmp_path).split()
    assert Path(file).is_relative_to(elsewhere.parent)
    assert vendors == ["None", "None"]


def test_importing_the_front_door_is_light(tmp_path: Path) -> None:
    """`import saga` in a fresh interpreter loads no engine, no database and no broker."""
    code = "import sys, saga; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = set(run(sys.executable, "-c", code, cwd=tmp_path).split())
    assert "pydantic" in loaded
    assert loaded.isdisjoint({"sqlalchemy", "temporalio", "aiokafka", "alembic", "tenacity", "typer", "rich"})


def test_the_version_is_the_distributions(tmp_path: Path) -> None:
    """The version a program sees is the one that was installed."""
    code = "import saga, importlib.metadata as m; print(saga.__version__ == m.version('sagakit'))"
    assert run(sys.executable, "-c", code, cwd=tmp_path).strip() == "True"
