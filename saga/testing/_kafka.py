"""The places where a Kafka broker can be had; each raises AbsentError where it has none."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from saga.testing._docker import expect_daemon
from saga.testing._kafka_fetch import KAFKA_VERSION, copy_jars
from saga.testing._places import AbsentError, free_port
from saga.testing._temporal_cache import cached, fetched
from saga.testing._temporal_fetch import required
from saga.testing._temporal_program import guarded

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from saga.testing._temporal_program import Program

__all__ = ("ADDRESS", "answers", "container", "named", "places", "served")

ADDRESS = "SAGA_TEST_KAFKA"
JARS = f"kafka-{KAFKA_VERSION}"
CLUSTER = "c2FnYWtpdC10ZXN0cy0wMQ"  # 16 bytes in base64, as the broker wants them; each cluster is alone
ANSWER_SECONDS = 2  # for what is there already
START_SECONDS = 60  # for what has to come up on a busy machine
LOOK_SECONDS = 0.05
ATTEMPTS = 3  # a port that was free may be taken before the broker binds it

# The broker replaces the shell, so that the signal which ends the one ends the other.
START = """\
umask 077
printf %s "$1" > server.properties
shift
format=$1 server=$2
$format format --cluster-id "$3" --config server.properties --ignore-formatted > format.log 2>&1 || {
    cat format.log; exit 1; }
exec $server server.properties
"""
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
num.partitions=4
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
"""


def places(data_folder: Path | None, port: int | None) -> Mapping[str, AbstractContextManager[str]]:
    """Name the places in the order in which they are asked."""
    here = {
        "PATH": _here(_installed, data_folder, port),
        "cache": _here(_cached_programs, data_folder, port),
        "Maven": _here(lambda: _java(fetched(JARS, copy_jars)), data_folder, port),
    }
    if data_folder is not None or port is not None:
        return here
    if os.environ.get(ADDRESS):  # whoever gives an address wants that broker, not another
        return {ADDRESS: named(os.environ[ADDRESS])}
    return {"Docker": container(), **here}


@contextmanager
def named(address: str) -> Generator[str]:
    """Use the broker at that address."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise AbsentError("it holds no address such as 127.0.0.1:9092")
    _expect_answer(address, ANSWER_SECONDS)
    yield address


@contextmanager
def container() -> Generator[str]:
    """Run a container, where a daemon answers."""
    expect_daemon()
    from testcontainers.community.kafka import KafkaContainer  # noqa: PLC0415 - optional

    with ExitStack() as running:
        try:
            broker = KafkaContainer().with_kraft().with_env("KAFKA_NUM_PARTITIONS", "4")
            broker.ports = {f"{broker.port}/tcp": ("127.0.0.1",)}  # type: ignore[dict-item]  # else every interface
            running.enter_context(broker)
            address = str(broker.get_bootstrap_server()).replace("localhost", "127.0.0.1")
            _expect_answer(address, START_SECONDS)
        except Exception as error:  # whatever it is, the next place is asked and the reason is told
            raise AbsentError(f"{type(error).__name__}: {error}") from error
        yield address


@contextmanager
def _here(programs: Callable[[], tuple[str, str]], data_folder: Path | None, port: int | None) -> Generator[str]:
    """Start a broker of those programs."""
    storage, server = programs()
    with served(storage, server, data_folder, port) as address:
        yield address


def _installed() -> tuple[str, str]:
    for ending in (".sh", ""):
        storage, server = shutil.which(f"kafka-storage{ending}"), shutil.which(f"kafka-server-start{ending}")
        if storage and server:
            return storage, server
    raise AbsentError("kafka-storage and kafka-server-start are not both there")


def _cached_programs() -> tuple[str, str]:
    folder = cached(JARS)
    if folder is None:
        raise AbsentError("no earlier run has fetched it")
    return _java(folder)


def _java(jars: Path) -> tuple[str, str]:
    java = required("java")
    if " " in java or " " in str(jars):
        raise AbsentError(f"a path with a space cannot be used: {java}, {jars}")
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"
    run = f"{java} -XX:+UseSerialGC -Xmx512m {quiet} -cp {jars}/*"
    return f"{run} -XX:TieredStopAtLevel=1 kafka.tools.StorageTool", f"{run} kafka.Kafka"


@contextmanager
def served(storage: str, server: str, data_folder: Path | None = None, port: int | None = None) -> Generator[str]:
    """Format the folder if it is empty, and serve it until the block ends.

    Args:
        storage: The command that formats, its words apart.
        server: The command that serves, its words apart.
        data_folder: Where the data are; by default in a folder that goes with the broker.
        port: A port of the loopback; by default a free one.
    """
    said = ""
    for _ in range(ATTEMPTS):
        chosen = free_port() if port is None else port
        data = "data" if data_folder is None else str(data_folder.absolute())
        properties = PROPERTIES.format(port=chosen, controller=free_port(), data=data)
        command = ["/bin/sh", "-fc", START, "sh", properties, storage, server, CLUSTER]
        address = f"127.0.0.1:{chosen}"
        with guarded(command, _environment()) as program:
            if _came_up(address, program):
                yield address
                return
            said = program.told()
    raise AbsentError(f"the broker ended {ATTEMPTS} times: {said}")


def _came_up(address: str, program: Program) -> bool:
    """Wait until the broker answers; False if it ended instead."""
    latest = time.monotonic() + START_SECONDS
    while not program.ended(LOOK_SECONDS):
        if answers(address):
            return True
        if time.monotonic() > latest:
            raise AbsentError(f"no broker answers within {START_SECONDS} seconds: {program.told()}")
    return False


def _expect_answer(address: str, within: float) -> None:
    latest = time.monotonic() + within
    while not answers(address):
        if time.monotonic() > latest:
            raise AbsentError(f"no broker answers within {within} seconds")
        time.sleep(LOOK_SECONDS)


def answers(address: str) -> bool:
    """Whether a broker tells there which requests it knows: it does so once it serves."""
    host, _, port = address.rpartition(":")
    versions = struct.pack(">hhih", 18, 0, 1, -1)  # ApiVersions 0, correlation id 1, no client id
    with suppress(OSError), socket.create_connection((host, int(port)), ANSWER_SECONDS) as broker:
        broker.settimeout(ANSWER_SECONDS)
        broker.sendall(struct.pack(">i", len(versions)) + versions)
        return broker.recv(8)[4:] == struct.pack(">i", 1)
    return False


def _environment() -> dict[str, str]:
    # Nothing of KAFKA_* or of Java's options may change what the broker does.
    path = os.environ.get("PATH", os.defpath)
    return {"PATH": path, "LC_ALL": "C", "TZ": "UTC", "KAFKA_HEAP_OPTS": "-Xmx512m"}
