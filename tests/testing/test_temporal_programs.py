"""The programs of the Temporal servers: found or fetched once, and ended whatever happens."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from saga.testing import _temporal, _temporal_cache, _temporal_fetch, _temporal_guard, _temporal_program
from saga.testing._places import AbsentError
from saga.testing._temporal_program import guarded
from saga.testing.servers import ServerUnavailableError, temporal

OwnTemporal = Callable[..., AbstractContextManager[str]]


def executable(path: Path, script: str) -> Path:
    """A program that does what the shell script says."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The empty folder of a user's cache for this package."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sagakit"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is first on the PATH."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


# -- what is found -----------------------------------------------------------------------


def test_a_machine_that_has_nothing_says_so_for_each_place(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Without programs, network and cache, the reasons name what would help."""
    monkeypatch.delenv(_temporal.ADDRESS, raising=False)
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with pytest.raises(ServerUnavailableError) as refused, temporal():
        pass
    reasons = refused.value.reasons
    assert list(reasons) == ["Docker", "PATH", "cache", "SDK download", "go install"]
    assert reasons["PATH"] == "temporal is not there"
    assert reasons["cache"] == "no earlier run has fetched it"
    assert "failed to download" in reasons["SDK download"]
    assert reasons["go install"] == "go is not there"
    assert [path.suffix for path in cache.iterdir()] == [".lock"]
    with pytest.raises(AbsentError, match="java is not there"), _temporal.maven():
        pass


def test_the_program_on_the_path_is_started(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `temporal` on the PATH comes before the cache, and gets the arguments of a quick server."""
    executable(programs / "temporal", 'echo "$@"')
    place = _temporal.places(Path("/folder/data.db"), 7000)["PATH"]
    with pytest.raises(AbsentError) as told, place:
        pass
    assert str(told.value).endswith(
        "server start-dev --headless --ip 127.0.0.1 --port 7000 --log-level error"
        " --dynamic-config-value history.transferProcessorMaxPollRPS=10000"
        " --dynamic-config-value history.timerProcessorMaxPollRPS=10000"
        " --dynamic-config-value matching.numTaskqueueReadPartitions=1"
        " --dynamic-config-value matching.numTaskqueueWritePartitions=1 --db-filename /folder/data.db"
    )


def test_a_server_that_ends_at_once_is_tried_again_and_then_told(tmp_path: Path) -> None:
    """A server that cannot bind its port is started again; after the last attempt its words are shown."""
    server = executable(tmp_path / "server", f"echo started >> {tmp_path}/starts; echo could not bind to $1 >&2")
    with pytest.raises(AbsentError, match="could not bind to 7000"), _temporal.served(lambda _: [str(server), "7000"]):
        pass
    assert (tmp_path / "starts").read_text().count("started") == _temporal.ATTEMPTS


def test_a_program_that_cannot_run_is_told(tmp_path: Path) -> None:
    """A file that is no program says so instead of hanging."""
    with pytest.raises(AbsentError, match="No such file"), _temporal.served(lambda _: [str(tmp_path / "gone")]):
        pass


# -- what is fetched ----------------------------------------------------------------------


def test_go_builds_once(cache: Path, programs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Go is asked for one version of the program, once; the cache has it afterwards, for its owner alone."""
    executable(programs / "go", f'echo "$@" >> {tmp_path}/asked; echo program > "$GOBIN/temporal"')
    folder = _temporal_cache.fetched(_temporal.PROGRAM, _temporal_fetch.build)
    assert _temporal_cache.fetched(_temporal.PROGRAM, _temporal_fetch.build) == folder
    assert folder == cache / _temporal.PROGRAM
    assert (folder / "temporal").read_text() == "program\n"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "asked").read_text() == "install github.com/temporalio/cli/cmd/temporal@v1.5.1\n"
    assert capfd.readouterr().err.count("takes minutes: go install") == 1


def test_a_build_shows_that_it_goes_on(
    cache: Path, programs: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whoever waits for a build is told at times that it still runs."""
    monkeypatch.setattr(_temporal_fetch, "TELL_SECONDS", 0.1)
    executable(programs / "go", "sleep 1")
    _temporal_cache.fetched(_temporal.PROGRAM, _temporal_fetch.build)
    assert "go has been at work for" in capfd.readouterr().err


def test_a_build_that_does_not_end_is_given_up(cache: Path, programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build has a time limit, and what it runs ends with it."""
    monkeypatch.setattr(_temporal_fetch, "TELL_SECONDS", 0.1)
    monkeypatch.setattr(_temporal_fetch, "BUILD_SECONDS", -1)
    executable(programs / "go", "exec sleep 600")
    with pytest.raises(AbsentError, match="go did not end"):
        _temporal_cache.fetched(_temporal.PROGRAM, _temporal_fetch.build)


def test_a_build_that_fails_leaves_nothing_and_says_why(cache: Path, programs: Path) -> None:
    """What Go complained about reaches the reader, and the next run builds anew."""
    executable(programs / "go", 'echo half > "$GOBIN/temporal"; echo no such module >&2; exit 1')
    with pytest.raises(AbsentError, match="go failed: no such module"):
        _temporal_cache.fetched(_temporal.PROGRAM, _temporal_fetch.build)
    assert _temporal_cache.cached(_temporal.PROGRAM) is None
    assert not list(cache.glob("*.part"))


def test_what_a_killed_process_left_is_no_program(cache: Path, programs: Path) -> None:
    """A folder that was filled in part is made again."""
    (cache / f"{_temporal.PROGRAM}.part").mkdir(parents=True)
    (cache / f"{_temporal.PROGRAM}.part" / "leftover").touch()
    executable(programs / "go", 'echo program > "$GOBIN/temporal"')
    folder = _temporal_cache.fetched(_temporal.PROGRAM, _temporal_fetch.build)
    assert [path.name for path in folder.iterdir()] == ["temporal"]


def test_two_processes_never_build_at_once(cache: Path, programs: Path, tmp_path: Path) -> None:
    """Of several processes one builds; the others say that they wait, and find what it built."""
    executable(programs / "go", f'echo asked >> {tmp_path}/asked; sleep 1; echo program > "$GOBIN/temporal"')
    script = """
from saga.testing import _temporal, _temporal_cache, _temporal_fetch
folder = _temporal_cache.fetched(_temporal.PROGRAM, _temporal_fetch.build)
print((folder / "temporal").read_text())
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    outputs = [run.communicate() for run in runs]
    assert [out.strip() for out, _ in outputs] == ["program"] * 3, outputs
    assert (tmp_path / "asked").read_text() == "asked\n"


def test_a_lock_is_waited_for_with_a_word(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A process that holds the lock for too long is named, after a word to whoever waits."""
    monkeypatch.setattr(_temporal_cache, "WAIT_SECONDS", 0)
    cache.mkdir(parents=True)
    with _temporal_cache._locked(cache / "thing.lock"), pytest.raises(AbsentError, match=r"thing\.lock"):
        _temporal_cache.fetched("thing", lambda folder: None)
    assert "another process is fetching thing" in capfd.readouterr().err
    assert _temporal_cache.fetched("thing", lambda folder: None) == cache / "thing"


def test_a_cache_that_cannot_be_written_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A cache folder that is a file is a reason, not a crash."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(AbsentError, match="cannot be written"):
        _temporal_cache.fetched("thing", lambda folder: None)


@pytest.mark.parametrize("given", ["", "relative/path"])
def test_the_cache_is_at_home_unless_it_is_named(given: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without an absolute XDG_CACHE_HOME the cache is in the user's home, as that standard says."""
    monkeypatch.setenv("XDG_CACHE_HOME", given)
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = _temporal_cache.fetched("thing", lambda folder: None)
    assert folder == tmp_path / ".cache" / "sagakit" / "thing"


def test_what_the_sdk_has_is_taken_over(
    own_temporal: OwnTemporal, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The SDK's own program ends up under our name; here it finds the file that it would download."""
    program = shutil.which("temporal") or _temporal_cache.fetched(_temporal.PROGRAM, _temporal_fetch.build) / "temporal"
    (tmp_path / "temporal-v1.5.1").symlink_to(program)
    _temporal_fetch.download(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["temporal"]
    assert "downloading the Temporal dev server" in capfd.readouterr().err


def test_a_download_site_out_of_reach_is_given_up_soon(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A site from which nothing arrives costs a short wait, not the run."""
    monkeypatch.setattr(_temporal_fetch, "FIRST_BYTE_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(AbsentError, match="nothing arrives"):
            _temporal_cache.fetched(_temporal.PROGRAM, _temporal_fetch.download)
    assert _temporal_cache.cached(_temporal.PROGRAM) is None


def test_maven_that_fails_says_why(cache: Path, programs: Path) -> None:
    """What Maven complained about reaches the reader."""
    for program in ("java", "javac"):
        executable(programs / program, "exit 0")
    executable(programs / "mvn", "echo could not resolve temporal-test-server; exit 1")
    with pytest.raises(AbsentError, match="mvn failed: could not resolve"), _temporal.maven():
        pass


# -- the guard ----------------------------------------------------------------------------


def test_a_program_works_in_a_folder_that_goes_with_it() -> None:
    """What a program leaves in its folder is gone when it has ended, and is for its owner alone."""
    with guarded(["sh", "-c", "pwd; umask; exec sleep 600"], os.environ) as program:
        while len(told := program.told().split()) < 2:
            time.sleep(0.01)
        assert Path(told[0]).is_dir()
    assert int(told[1], 8) == 0o077
    assert not Path(told[0]).exists()


def altered_guard(monkeypatch: pytest.MonkeyPatch, folder: Path, old: str, new: str) -> None:
    """Has programs run under a guard whose source differs in one place."""
    source = Path(_temporal_guard.__file__).read_text()
    assert old in source
    copy = folder / "guard.py"
    copy.write_text(source.replace(old, new))
    monkeypatch.setattr(_temporal_guard, "__file__", str(copy))


def test_a_program_that_does_not_listen_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A server that ignores the request to end is ended anyway."""
    altered_guard(monkeypatch, tmp_path, "STOP_SECONDS = 10", "STOP_SECONDS = 0.2")
    with guarded(["sh", "-c", "trap '' TERM; echo $$; while :; do sleep 0.1; done"], os.environ) as program:
        while not (told := program.told()):
            time.sleep(0.01)
    with pytest.raises(ProcessLookupError):
        os.kill(int(told), 0)


def test_a_guard_that_does_not_listen_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A guard that misses the word to end is told again, in a way that it cannot miss."""
    altered_guard(monkeypatch, tmp_path, "(STANDARD_INPUT, signals)", "(signals,)")
    monkeypatch.setattr(_temporal_program, "STOP_SECONDS", 0.2)
    with guarded(["sh", "-c", "echo $$; exec sleep 600"], os.environ) as program:
        while not (told := program.told()):
            time.sleep(0.01)
    with pytest.raises(ProcessLookupError):
        os.kill(int(told), 0)


def test_a_guard_that_is_asked_to_end_takes_the_program_along() -> None:
    """Whoever ends the guard by its process id ends the server."""
    with guarded(["sh", "-c", "echo $$; exec sleep 600"], os.environ) as program:
        while not (told := program.told()):
            time.sleep(0.01)
        program.guard.terminate()
        assert program.ended(30)
    with pytest.raises(ProcessLookupError):
        os.kill(int(told), 0)
