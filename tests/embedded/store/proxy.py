"""A connection to a server that can be cut after the server acted and before its answer arrives."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Generator
from contextlib import contextmanager
from threading import Event, Thread

from sqlalchemy import make_url


class Proxy:
    """Passes bytes between clients and one server until it is told to swallow the next answer."""

    def __init__(self, host: str, port: int) -> None:
        self.swallowed = Event()
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._swallow = Event()
        self._sockets: list[socket.socket] = [self._listener]
        Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        port: int = self._listener.getsockname()[1]
        return port

    def swallow_next_answer(self) -> None:
        """Cut the connection on which the server answers next, instead of passing the answer on."""
        self._swallow.set()

    def close(self) -> None:
        """Cut every connection."""
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                self._sockets += [client, server]
                Thread(target=self._pass, args=(client, server, False), daemon=True).start()
                Thread(target=self._pass, args=(server, client, True), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if answers and self._swallow.is_set():
                    self._swallow.clear()
                    self.swallowed.set()
                    break
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxied(url: str) -> Generator[tuple[Proxy, str]]:
    """Yield a proxy before the server of `url`, and the URL that leads through it."""
    parsed = make_url(url)
    proxy = Proxy(parsed.host or "127.0.0.1", parsed.port or 5432)
    try:
        through = parsed.set(host="127.0.0.1", port=proxy.port, query={"sslmode": "disable"})
        yield proxy, through.render_as_string(hide_password=False)
    finally:
        proxy.close()
