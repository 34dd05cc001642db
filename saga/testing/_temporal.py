"""The places where a Temporal server can be had; each raises AbsentError where it has none."""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from saga.testing._docker import expect_daemon
from saga.testing._places import AbsentError, free_port
from saga.testing._temporal_cache import cached, fetched
from saga.testing._temporal_fetch import CLI_VERSION, JAVA_VERSION, build, copy_jars, download, required
from saga.testing._temporal_program import guarded

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from saga.testing._temporal_program import Program

__all__ = ("ADDRESS", "TIME_SKIPPING_ADDRESS", "places", "served", "time_skipping_places")

ADDRESS = "SAGA_TEST_TEMPORAL"
TIME_SKIPPING_ADDRESS = "SAGA_TEST_TEMPORAL_TIME_SKIPPING"
IMAGE = f"temporalio/temporal:{CLI_VERSION}"
PROGRAM = f"temporal-cli-{CLI_VERSION}"  # the same program, built or downloaded
JARS = f"temporal-test-server-{JAVA_VERSION}"
POLLS = 10_000  # a second; with the default of 20 every task of the only shard waits about 50 ms
ANSWER_SECONDS = 2  # for what is there already
START_SECONDS = 60  # for what has to come up on a busy machine
LOOK_SECONDS = 0.05
ATTEMPTS = 3  # a port that was free may be taken before the server binds it


def places(database_file: Path | None, port: int | None) -> Mapping[str, AbstractContextManager[str]]:
    """Name the places of the dev server in the order in which they are asked."""
    here = {
        "PATH": _here(lambda: required("temporal"), database_file, port),
        "cache": _here(_cached_program, database_file, port),
        "SDK download": _here(lambda: fetched(PROGRAM, download) / "temporal", database_file, port),
        "go install": _here(lambda: fetched(PROGRAM, build) / "temporal", database_file, port),
    }
    if database_file is not None or port is not None:
        return here
    if os.environ.get(ADDRESS):  # whoever gives an address wants that server, not another
        return {ADDRESS: named(os.environ[ADDRESS])}
    return {"Docker": container(), **here}


def time_skipping_places() -> Mapping[str, AbstractContextManager[str]]:
    """Name the places of the time skipping server in the order in which they are asked."""
    if os.environ.get(TIME_SKIPPING_ADDRESS):
        return {TIME_SKIPPING_ADDRESS: named(os.environ[TIME_SKIPPING_ADDRESS])}
    return {"Maven": maven()}


@contextmanager
def named(address: str) -> Generator[str]:
    """Use the server at that address."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise AbsentError("it holds no address such as 127.0.0.1:7233")
    _expect_answer(address, within=ANSWER_SECONDS)
    yield address


@contextmanager
def container() -> Generator[str]:
    """Run a container, where a daemon answers."""
    expect_daemon()
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - optional

    with ExitStack() as running:
        try:
            server = DockerContainer(IMAGE).with_command(_arguments("0.0.0.0", 7233))  # noqa: S104 - in the container
            server.ports = {"7233/tcp": ("127.0.0.1",)}  # type: ignore[dict-item]  # else every interface
            running.enter_context(server)
            host = server.get_container_host_ip().replace("localhost", "127.0.0.1")
            address = f"{host}:{server.get_exposed_port(7233)}"
            _expect_answer(address, within=START_SECONDS)
        except Exception as error:  # whatever it is, the next place is asked and the reason is told
            raise AbsentError(f"{type(error).__name__}: {error}") from error
        yield address


@contextmanager
def maven() -> Generator[str]:
    """Start the time skipping server, which Maven fetches."""
    java = required("java")
    jars = fetched(JARS, copy_jars)
    quick = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]  # it starts in half the time
    classes = f"{jars}{os.pathsep}{jars / '*'}"
    with served(lambda port: [java, *quick, "-cp", classes, "LoopbackServer", str(port)]) as address:
        yield address


@contextmanager
def _here(program: Callable[[], str | Path], database_file: Path | None, port: int | None) -> Generator[str]:
    """Start the dev server of that program."""
    data = [] if database_file is None else ["--db-filename", str(database_file.absolute())]
    path = str(program())
    with served(lambda port: [path, *_arguments("127.0.0.1", port), *data], port) as address:
        yield address


def _cached_program() -> Path:
    folder = cached(PROGRAM)
    if folder is None:
        raise AbsentError("no earlier run has fetched it")
    return folder / "temporal"


def _arguments(ip: str, port: int) -> list[str]:
    polls = ("history.transferProcessorMaxPollRPS", "history.timerProcessorMaxPollRPS")
    # With more than one partition a task now and then waits two seconds for a poller of its own partition.
    parts = ("matching.numTaskqueueReadPartitions", "matching.numTaskqueueWritePartitions")
    settings = {**dict.fromkeys(polls, POLLS), **dict.fromkeys(parts, 1)}
    values = [text for name, value in settings.items() for text in ("--dynamic-config-value", f"{name}={value}")]
    return ["server", "start-dev", "--headless", "--ip", ip, "--port", str(port), "--log-level", "error", *values]


@contextmanager
def served(command: Callable[[int], list[str]], port: int | None = None) -> Generator[str]:
    """Start a server on that port of the loopback, by default a free one, until the block ends."""
    said = ""
    for _ in range(ATTEMPTS):
        chosen = free_port() if port is None else port
        address = f"127.0.0.1:{chosen}"
        with guarded(command(chosen), _environment()) as program:
            if _answers(address, START_SECONDS, program):
                yield address
                return
            said = program.told()
    raise AbsentError(f"the server ended {ATTEMPTS} times: {said}")


def _expect_answer(address: str, within: float) -> None:
    _answers(address, within, None)


def _answers(address: str, within: float, program: Program | None) -> bool:
    """Wait until the server answers; False if the program ended instead."""
    with ThreadPoolExecutor(1) as thread:  # this one may run an event loop already
        return thread.submit(asyncio.run, _answer(address, within, program)).result()


async def _answer(address: str, within: float, program: Program | None) -> bool:
    latest = time.monotonic() + within
    while program is None or not program.ended():
        try:
            await _connect(address)
        except (RuntimeError, TimeoutError) as error:
            if time.monotonic() > latest:
                raise AbsentError(f"no server answers within {within} seconds: {error}") from error
            await asyncio.sleep(LOOK_SECONDS)
        else:
            return True
    return False


async def _connect(address: str) -> None:
    from temporalio.client import Client  # noqa: PLC0415 - optional

    async with asyncio.timeout(ANSWER_SECONDS):
        await Client.connect(address)
    await asyncio.sleep(LOOK_SECONDS)  # lets the SDK's thread leave the interpreter (temporalio/sdk-python#300)


def _environment() -> dict[str, str]:
    # Nothing of TEMPORAL_* or of Java's options may change what the server does, and it calls nobody.
    path = os.environ.get("PATH", os.defpath)
    return {"PATH": path, "LC_ALL": "C", "TZ": "UTC", "TEMPORAL_VERSION_CHECK_DISABLED": "1"}
