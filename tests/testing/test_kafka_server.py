"""A real Kafka is found, served on loopback alone, keeps its data if asked to, and is gone afterwards."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from saga.participant import KafkaBroker
from saga.participant._outbox_rows import Record
from saga.testing import _kafka, _kafka_fetch
from saga.testing._places import AbsentError, free_port
from saga.testing.servers import ServerUnavailableError, kafka
from tests.conftest import do_without
from tests.participant.messages import records_of


async def send(address: str, topic: str, value: bytes) -> None:
    """Sends one record."""
    async with KafkaBroker(address).publisher() as publisher:
        published = await publisher.publish([Record(topic, b"key", value, ())])
        assert list(published.done) == [0]


@contextmanager
def absent(reason: str) -> Generator[str]:
    """A place that has no server."""
    raise AbsentError(reason)
    yield


@contextmanager
def own_kafka(**options: object) -> Generator[str]:
    """A broker of the test's own."""
    try:
        running = kafka(**options)
        address = running.__enter__()
    except ServerUnavailableError as error:
        do_without(error)
        raise
    try:
        yield address
    finally:
        running.__exit__(None, None, None)


async def test_a_real_broker_takes_and_gives_a_record(kafka_address: str) -> None:
    """What was sent to the session's broker comes back."""
    topic = uuid4().hex
    await send(kafka_address, topic, b"hello")
    assert [record.value for record in await records_of(kafka_address, topic, 1)] == [b"hello"]


async def test_a_broker_started_again_has_its_data(tmp_path: Path) -> None:
    """A broker on the folder and port of an earlier one has its records; it listens on loopback alone, and ends."""
    folder, port, topic = tmp_path / "data", free_port(), uuid4().hex
    with own_kafka(data_folder=folder, port=port) as address:
        assert address == f"127.0.0.1:{port}"
        assert _kafka.answers(address)
        assert not _kafka.answers(f"127.0.0.2:{port}")
        await send(address, topic, b"kept")
    assert not _kafka.answers(address)
    with own_kafka(data_folder=folder, port=port) as again:
        assert [record.value for record in await records_of(again, topic, 1)] == [b"kept"]


def test_a_broker_ends_with_the_process_that_started_it(kafka_address: str) -> None:
    """A process that is killed cleans nothing up, and still leaves no broker behind."""
    script = f"""
import time
from saga.testing.servers import kafka
with kafka(port={free_port()}) as address:
    print(address, flush=True)
    time.sleep(600)
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment, text=True
    ) as starter:
        assert starter.stdout is not None
        address = starter.stdout.readline().strip()
        assert _kafka.answers(address)
        starter.send_signal(signal.SIGKILL)
    while _kafka.answers(address):  # the time limit of the test ends this
        time.sleep(0.05)


def test_places_are_asked_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there already comes before what is fetched; who asks for data or a port gets a broker of his own."""
    monkeypatch.delenv(_kafka.ADDRESS, raising=False)
    here = ["PATH", "cache", "Maven"]
    assert list(_kafka.places(None, None)) == ["Docker", *here]
    monkeypatch.setenv(_kafka.ADDRESS, "127.0.0.1:1")
    assert list(_kafka.places(None, None)) == [_kafka.ADDRESS]
    assert list(_kafka.places(Path("data"), None)) == here
    assert list(_kafka.places(None, 9092)) == here


def test_the_broker_in_the_environment_is_used_and_left_running(
    kafka_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address in the environment wins over every other place, and its broker is not ours to end."""
    monkeypatch.setenv(_kafka.ADDRESS, kafka_address)
    with kafka() as address:
        assert address == kafka_address
    assert _kafka.answers(kafka_address)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no address", "host:port"])
def test_an_address_that_does_not_answer_is_an_error(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever gives an address is never handed another broker instead."""
    monkeypatch.setenv(_kafka.ADDRESS, address)
    with pytest.raises(ServerUnavailableError, match=_kafka.ADDRESS) as refused, kafka():
        pass
    assert list(refused.value.reasons) == [_kafka.ADDRESS]


def test_a_port_that_stays_silent_is_no_broker() -> None:
    """A port that takes connections and speaks no Kafka does not count."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not _kafka.answers(f"127.0.0.1:{silent.getsockname()[1]}")


def test_every_place_says_why_it_has_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without Docker, programs, Java and Maven the error lists all places, each with its reason."""
    monkeypatch.delenv(_kafka.ADDRESS, raising=False)
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    with pytest.raises(ServerUnavailableError) as refused, kafka():
        pass
    assert list(refused.value.reasons) == ["Docker", "PATH", "cache", "Maven"]
    assert refused.value.reasons["Maven"] == "mvn is not there"


def test_a_broker_that_ends_at_once_is_tried_again_and_then_told() -> None:
    """A broker that cannot start is started again; after the last attempt its log is shown."""
    with (
        pytest.raises(AbsentError, match="ended 3 times: .*could not bind"),
        _kafka.served("true", "echo could not bind"),
    ):
        pass


def test_a_folder_that_cannot_be_formatted_is_told() -> None:
    """What the formatting said reaches the reader, and no broker is started on it."""
    with pytest.raises(AbsentError, match="cat: "), _kafka.served("cat", "true"):
        pass


def test_jars_that_cannot_be_fetched_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A Maven that fails is told with what it said."""
    program = tmp_path / "mvn"
    program.write_text("#!/bin/sh\necho no such repository\nexit 1\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(AbsentError, match="no such repository"):
        _kafka_fetch.copy_jars(tmp_path)
