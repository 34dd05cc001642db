"""Asking a Temporal server: every answer that is an error becomes one that says what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from temporalio.client import WorkflowQueryFailedError, WorkflowQueryRejectedError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from saga import errors
from saga.errors import ActRefusedError, InvalidRequestError, SagaError, ServerError, UnknownSagaError
from saga.kernel import positional

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

__all__ = ("asked", "listed", "refused")

Answer = TypeVar("Answer")

_GONE: Final = "it has ended, or it never was"


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


async def listed(asking: AsyncIterator[Answer]) -> AsyncIterator[Answer]:
    """Yield what the server lists.

    Raises:
        ServerError: if the server or its namespace cannot be reached.
    """
    try:
        async for one in asking:
            yield one
    except RPCError as error:
        raise refused(error, "the list of instances") from None


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
        hint = f"saga recover --by YOU --why ... {positional(id, 'module:Class')}"
        return ServerError(f"{text}. Start its recovery with: {hint}")
    if error.status is RPCStatusCode.NOT_FOUND:
        if "namespace" in error.message.lower():
            return ServerError(f"{error.message.rstrip('.')}; name another, or have it created")
        return UnknownSagaError(f"the server has no running instance {id!r}: {_GONE}")
    unheard = error.status is RPCStatusCode.FAILED_PRECONDITION and "poller" in error.message
    if unheard or error.status in {RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED}:
        text = f"{id}: no answer in time; does a worker poll the task queue of this saga?"
        return ServerError(f"{text} Start one with: saga worker module:Class --task-queue ...")
    return ServerError(f"{id}: the server answered {error.status.name}: {error.message}")
