"""The folder of a run: who may use it, and what is left alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from examples.money_transfer.folder import FolderError, opened
from examples.money_transfer.report import Chapter
from examples.money_transfer.world import World

ROOT = Path(__file__).parents[2]
TAKES_IT = """
import sys
from examples.money_transfer.folder import opened
with opened(sys.argv[1], rows=1):
    print("taken", flush=True)
    sys.stdin.read()
"""


def test_a_run_is_remembered(tmp_path: Path) -> None:
    """Its number of rows and the chapters that were told are those of the run that was begun."""
    told = Chapter(title="One.", states={"a": "COMPLETED"})
    with opened(str(tmp_path / "new"), rows=7) as folder:
        assert (folder.resumed, folder.rows, folder.told(1)) == (False, 7, None)
        folder.keep(1, told)
    with opened(str(tmp_path / "new"), rows=9) as folder:
        assert (folder.resumed, folder.rows, folder.told(1), folder.told(2)) == (True, 7, told, None)


def test_a_run_keeps_its_engine_and_its_name(tmp_path: Path) -> None:
    """It goes on where it began; its name tells it from other runs on the same server."""
    with opened(str(tmp_path / "one"), rows=1, engine="temporal") as folder:
        queue = folder.task_queue
    with opened(str(tmp_path / "one"), rows=1, engine="temporal") as folder:
        assert folder.task_queue == queue
    with (
        pytest.raises(FolderError, match="on the temporal engine; give --engine temporal, or another folder"),
        opened(str(tmp_path / "one"), rows=1),
    ):
        pass
    with opened(str(tmp_path / "two"), rows=1, engine="temporal") as other:
        assert other.task_queue != queue
        other.finish()
    with (
        pytest.raises(FolderError, match=f"temporal workflow list --query 'TaskQueue = \"{other.task_queue}\"'"),
        opened(str(tmp_path / "two"), rows=1, engine="temporal"),
    ):
        pass


def test_a_folder_is_private(tmp_path: Path) -> None:
    """Nobody else can read what is in it."""
    with opened(str(tmp_path / "new"), rows=1) as folder:
        assert folder.path.stat().st_mode & 0o777 == 0o700
        assert (folder.path / "run.db").stat().st_mode & 0o777 == 0o600


def test_a_temporary_folder_is_removed() -> None:
    """Without a name nothing is kept."""
    with opened(None, rows=1) as folder:
        assert folder.path.is_dir()
    assert not folder.path.exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    """Whatever lies in it may be somebody's."""
    (tmp_path / "south.db").write_text("mine")
    with pytest.raises(FolderError, match="is not empty and holds no run"), opened(str(tmp_path), rows=1):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["south.db"]


def test_a_file_named_like_ours_is_left_alone(tmp_path: Path) -> None:
    """What is no database of a run is not written to."""
    (tmp_path / "run.db").write_text("mine" * 1000)
    with pytest.raises(FolderError, match="holds no run of the demo"), opened(str(tmp_path), rows=1):
        pass
    assert (tmp_path / "run.db").read_text() == "mine" * 1000


def test_a_place_where_no_folder_can_be(tmp_path: Path) -> None:
    """A file in the way is told as such, not as a traceback."""
    (tmp_path / "file").touch()
    for name in ("file", "file/new"):
        with (
            pytest.raises(FolderError, match="cannot be used: .*; give a folder"),
            opened(str(tmp_path / name), rows=1),
        ):
            pass


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    """The second is refused; when the first is killed, the folder is free."""
    command = [sys.executable, "-c", TAKES_IT, str(tmp_path / "new")]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "taken\n"
        with pytest.raises(FolderError, match="another process runs the demo"), opened(str(tmp_path / "new"), rows=1):
            pass
        other.kill()
    with opened(str(tmp_path / "new"), rows=1) as folder:
        assert folder.resumed


@pytest.mark.parametrize("name", ["a b", "50%41", "it's #1", "\u00fcn\u00ef"])
def test_any_name_will_do(tmp_path: Path, name: str) -> None:
    """A name that a URL would read as something else is a name."""
    with opened(str(tmp_path / name), rows=1) as folder, World.at(folder.path) as world:
        world.open_accounts()
        world.open_accounts()
        assert world.north.total() > 0
    assert (tmp_path / name / "north.db").is_file()
