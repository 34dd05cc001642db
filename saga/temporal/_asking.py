"""Asking a Temporal server: every answer that is an error becomes one that says what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from temporalio.client import WorkflowQueryFailedError, WorkflowQueryRejectedError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from saga import errors
from saga.errors import ActRefusedError, InvalidRequestError, SagaError, UnknownSagaError

if TYPE_CHECKING:
    from collections.abc import Awaitable

__all__ = ("asked", "refused")

Answer = TypeVar("Answer")

_GONE: Final = "it has ended, or it never was"


class ServerError(SagaError):
    """The server, its namespace or a worker cannot be reached, or it answered something unexpected."""


async def asked(asking: Awaitable[Answer], id: str) -> Answer:
    """Return what the server answers about an instance.

    Raises:
        UnknownSagaError: if it has no such instance.
        ActRefusedError: if the instance refuses.
        ServerError: if the server, its namespace or a worker cannot be reached.
    """
    try:
        return await asking
    except WorkflowUpdateFailedError as error:
        raise _told(error.cause, id) from None
    except (WorkflowQueryFailedError, WorkflowQueryRejectedError) as error:
        raise ServerError(f"{id}: its worker could not answer: {error}") from None
    except RPCError as error:
        raise refused(error, id) from None


def _told(cause: BaseException, id: str) -> SagaError:
    if not isinstance(cause, ApplicationError):
        return ServerError(f"{id}: {cause}")
    kind = getattr(errors, cause.type or "", None)
    known = {ActRefusedError, InvalidRequestError, errors.PayloadTooLargeError}
    return (kind if kind in known else SagaError)(cause.message)


def refused(error: BaseException, id: str) -> SagaError:
    """Return what an error of the server, or the end of a workflow from outside, means."""
    if not isinstance(error, RPCError):
        cause = getattr(error, "cause", None) or error
        text = f"{id} was ended from outside ({type(cause).__name__}: {cause}); nothing was compensated by that"
        return ServerError(f"{text}. Start its recovery with: saga recover {id}")
    if error.status is RPCStatusCode.NOT_FOUND:
        if "namespace" in error.message.lower():
            return ServerError(f"{error.message}; check the namespace of the client")
        return UnknownSagaError(f"the server has no running instance {id!r}: {_GONE}")
    if error.status in {RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED}:
        text = f"{id}: no answer in time; does a worker poll the task queue of this saga?"
        return ServerError(f"{text} Start one with: saga worker module:Class --task-queue ...")
    return ServerError(f"{id}: the server answered {error.status.name}: {error.message}")
