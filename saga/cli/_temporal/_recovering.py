"""Starting the recovery of an instance that its workflow cannot bring to an end any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saga.temporal import recover

if TYPE_CHECKING:
    from saga.kernel import Runs, SagaView

    from ._server import Server

__all__ = ("recovered",)


def recovered(server: Server, saga: type[Runs[Any, Any]], id: str, *, by: str, why: str) -> SagaView:
    """Start an instance again so that it compensates, and return it as it is then.

    Raises:
        UnknownSagaError: if there is no such instance.
        ActRefusedError: if the instance needs no recovery.
        ServerError: if the server does not answer.
    """
    server.run(recover(server.client, saga, id, by=by, why=why))
    return server.view(id)
