"""A real Temporal server is found, served on loopback alone, and gone afterwards."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio import workflow
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from saga.testing import _temporal
from saga.testing._places import AbsentError, free_port
from saga.testing.servers import ServerUnavailableError, temporal, temporal_time_skipping
from tests import conftest

OwnTemporal = Callable[..., AbstractContextManager[str]]


@workflow.defn
class Rest:
    """Rests for some seconds and tells how long that took by its own clock."""

    @workflow.run
    async def run(self, seconds: int) -> float:
        began = workflow.now()
        await asyncio.sleep(seconds)
        return (workflow.now() - began) / timedelta(seconds=1)


async def rest(address: str, seconds: int) -> float:
    """Lets a workflow rest on that server."""
    client = await Client.connect(address)
    name = uuid4().hex
    async with Worker(client, task_queue=name, workflows=[Rest], workflow_runner=UnsandboxedWorkflowRunner()):
        return await client.execute_workflow(Rest.run, seconds, id=name, task_queue=name)


def listens(address: str) -> bool:
    """Whether anybody takes a connection there."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 1).close()
    except OSError:
        return False
    return True


@contextmanager
def absent(reason: str) -> Generator[str]:
    """A place that has no server."""
    raise AbsentError(reason)
    yield


# -- the servers --------------------------------------------------------------------------


async def test_a_real_server_runs_a_workflow(temporal_address: str) -> None:
    """A client connects to the session's server, and a worker runs a workflow there."""
    assert await rest(temporal_address, 0) == 0


async def test_time_skips(temporal_time_skipping_address: str) -> None:
    """A workflow rests for an hour of the server's time, in less than a test may take."""
    assert await rest(temporal_time_skipping_address, 3600) >= 3600


@pytest.mark.parametrize("place", [temporal, temporal_time_skipping])
def test_a_started_server_is_private_and_ends(
    place: Callable[[], AbstractContextManager[str]],
    own_temporal: OwnTemporal,
    temporal_time_skipping_address: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that was started listens on one address of the loopback alone, and is gone after the block."""
    for address in (_temporal.ADDRESS, _temporal.TIME_SKIPPING_ADDRESS):
        monkeypatch.delenv(address, raising=False)
    monkeypatch.setattr(_temporal, "container", lambda: absent("not here"))
    with place() as address:
        port = address.rpartition(":")[2]
        assert address == f"127.0.0.1:{port}"
        assert listens(address)
        assert not listens(f"127.0.0.2:{port}")
    assert not listens(address)


def test_an_error_in_the_block_ends_the_server_too(own_temporal: OwnTemporal) -> None:
    """Whatever leaves the block leaves no server behind, and is not mistaken for an absent one."""
    seen: list[str] = []
    with pytest.raises(AbsentError, match="mine"), own_temporal(port=free_port()) as address:
        seen.append(address)
        raise AbsentError("mine")
    assert not listens(seen[0])


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_ends_with_the_process_that_started_it(end: signal.Signals, own_temporal: OwnTemporal) -> None:
    """A process that is killed cleans nothing up, and still leaves no server behind."""
    script = f"""
import time
from saga.testing.servers import temporal
with temporal(port={free_port()}) as address:
    print(address, flush=True)
    time.sleep(600)
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment, text=True
    ) as starter:
        assert starter.stdout is not None
        address = starter.stdout.readline().strip()
        assert listens(address)
        starter.send_signal(end)
    while listens(address):  # the time limit of the test ends this
        time.sleep(0.05)


async def test_a_server_started_again_has_its_data(own_temporal: OwnTemporal, tmp_path: Path) -> None:
    """A server on the file and the port of an earlier one continues the workflow that nobody finished."""
    data, port, name = tmp_path / "data.db", free_port(), uuid4().hex
    with own_temporal(database_file=data, port=port) as address:
        client = await Client.connect(address)
        await client.start_workflow(Rest.run, 0, id=name, task_queue=name)
    assert not listens(address)
    with own_temporal(database_file=data, port=port) as again:
        assert again == address
        client = await Client.connect(again)
        assert (await client.get_workflow_handle(name).describe()).status == WorkflowExecutionStatus.RUNNING
        async with Worker(client, task_queue=name, workflows=[Rest], workflow_runner=UnsandboxedWorkflowRunner()):
            assert await client.get_workflow_handle(name).result() == 0


async def test_a_server_starts_beside_a_running_event_loop(own_temporal: OwnTemporal) -> None:
    """A test that is asynchronous itself may start a server."""
    with own_temporal(port=free_port()) as address:
        assert await rest(address, 0) == 0


def test_only_a_server_of_our_own_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for a file or a port gets neither the server of an address nor a container."""
    monkeypatch.setenv(_temporal.ADDRESS, "127.0.0.1:1")
    here = ["PATH", "cache", "SDK download", "go install"]
    assert list(_temporal.places(Path("data.db"), None)) == here
    assert list(_temporal.places(None, 7233)) == here


# -- the places ---------------------------------------------------------------------------


def test_places_are_asked_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there already comes before what is fetched, and a download before a build."""
    monkeypatch.delenv(_temporal.ADDRESS, raising=False)
    monkeypatch.delenv(_temporal.TIME_SKIPPING_ADDRESS, raising=False)
    assert list(_temporal.places(None, None)) == ["Docker", "PATH", "cache", "SDK download", "go install"]
    assert list(_temporal.time_skipping_places()) == ["Maven"]


@pytest.mark.parametrize(
    ("server", "variable", "fixture"),
    [
        (temporal, _temporal.ADDRESS, "temporal_address"),
        (temporal_time_skipping, _temporal.TIME_SKIPPING_ADDRESS, "temporal_time_skipping_address"),
    ],
)
def test_the_server_in_the_environment_is_used_and_left_running(
    server: Callable[[], AbstractContextManager[str]],
    variable: str,
    fixture: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An address in the environment wins over every other place, and its server is not ours to end."""
    running = request.getfixturevalue(fixture)
    monkeypatch.setenv(variable, running)
    with server() as address:
        assert address == running
    assert listens(running)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no address", "http://127.0.0.1:port"])
@pytest.mark.parametrize(
    ("server", "variable"),
    [(temporal, _temporal.ADDRESS), (temporal_time_skipping, _temporal.TIME_SKIPPING_ADDRESS)],
)
def test_an_address_that_does_not_answer_is_an_error(
    server: Callable[[], AbstractContextManager[str]],
    variable: str,
    address: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever gives an address is never handed another server instead."""
    monkeypatch.setenv(variable, address)
    with pytest.raises(ServerUnavailableError, match=variable) as refused, server():
        pass
    assert list(refused.value.reasons) == [variable]


def test_an_address_that_stays_silent_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that takes connections and speaks no gRPC costs a short wait, not the run."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv(_temporal.ADDRESS, f"127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(ServerUnavailableError, match="no server answers"), temporal():
            pass


def test_every_place_says_why_it_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """When no place has a server the error lists all of them in order, each with its reason."""
    places = {"here": absent("no room"), "there": absent("too far")}
    monkeypatch.setattr(_temporal, "places", lambda *_: places)
    with pytest.raises(ServerUnavailableError) as refused, temporal():
        pass
    assert str(refused.value).splitlines() == [
        "no Temporal can be had here:",
        "  here: no room",
        "  there: too far",
    ]


def test_without_a_daemon_docker_is_passed_by(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A Docker address where nobody listens is said."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    with pytest.raises(AbsentError, match="no daemon answers"), _temporal.container():
        pass


def test_without_a_server_ci_fails_and_others_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fixtures ask once, and tell every test why there is no server; in CI that is a failure."""
    asked: list[str] = []

    @contextmanager
    def nowhere() -> Generator[str]:
        asked.append("server")
        raise ServerUnavailableError("Temporal", {"PATH": "nothing there"})
        yield

    monkeypatch.setitem(conftest.TEMPORAL_SERVERS, "temporal_address", nowhere)
    servers = conftest.TemporalServers()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="nothing there"):
        servers.address("temporal_address")
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="nothing there"):
        servers.address("temporal_address")
    assert asked == ["server"]
