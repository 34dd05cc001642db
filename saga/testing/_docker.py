"""Whether a Docker daemon answers, found out quickly."""

from __future__ import annotations

import socket
from importlib.util import find_spec
from urllib.parse import urlsplit

from saga.testing._places import AbsentError

__all__ = ("expect_daemon",)

ANSWER_SECONDS = 2
LOCAL = "unix:///var/run/docker.sock"
QUESTION = b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n"


def expect_daemon() -> None:
    """Return if a daemon answers at the address that testcontainers would use.

    The question is put on a bare socket: the client library waits up to a minute and leaves its own open.

    Raises:
        AbsentError: if testcontainers is not installed or no daemon answers within two seconds.
    """
    if find_spec("testcontainers") is None:
        raise AbsentError("the package testcontainers is not installed")
    from testcontainers.core.docker_client import get_docker_host  # noqa: PLC0415 - optional

    address = get_docker_host() or LOCAL
    try:
        answer = _ask(address)
    except (OSError, ValueError) as error:
        raise AbsentError(f"no daemon answers at {address}: {error}") from error
    if not answer:
        raise AbsentError(f"the daemon at {address} hung up")


def _ask(address: str) -> bytes:
    where = urlsplit(address)
    with _connection(where.scheme, where.path, where.hostname or "", where.port or 0) as connection:
        connection.settimeout(ANSWER_SECONDS)
        connection.sendall(QUESTION)
        return connection.recv(1)  # any answer will do, also one that asks for TLS


def _connection(scheme: str, path: str, host: str, port: int) -> socket.socket:
    if scheme != "unix":
        return socket.create_connection((host, port), ANSWER_SECONDS)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(ANSWER_SECONDS)
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection
