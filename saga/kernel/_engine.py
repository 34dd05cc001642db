"""What every engine offers, and what a handle needs of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from saga.kernel._values import SagaState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from datetime import datetime

    from saga.kernel._facts import Fact
    from saga.kernel._handle import SagaHandle
    from saga.kernel._instance import Instance
    from saga.kernel._requests import Request as AnyRequest
    from saga.kernel._steps import Runs

__all__ = ("Engine", "Journals", "SagaSummary")

Request = TypeVar("Request")  # type checkers print these names
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class SagaSummary:
    """One line of a list of instances.

    Attributes:
        id: Id of the instance.
        saga: Name of the saga.
        state: Its state; None if the server ended it from outside, by a termination for instance, before it got to an
            end of its own. Nothing was compensated by that, and `recover` is for it. Embedded there is no such thing.
        started_at: When it started.
        changed_at: When its state last changed.
        parent: Id of the instance it is nested in, or None.
    """

    id: str
    saga: str
    state: SagaState | None
    started_at: datetime
    changed_at: datetime
    parent: str | None = None

    @property
    def ended_from_outside(self) -> bool:
        """Whether it was ended before it got to an end of its own, so that somebody has to recover it."""
        return self.state is None


class Journals(Protocol):
    """What a handle needs from its engine."""

    async def journal(self, id: str) -> list[Fact]:
        """Return the durable facts of an instance, in order."""
        ...

    async def send(self, id: str, request: AnyRequest) -> None:
        """Bring a request to whoever drives the instance; return once it is durable."""
        ...

    async def at_rest(self, id: str) -> Instance:
        """Return the instance once it has ended or is STUCK, durably."""
        ...

    def follow(self, id: str) -> AsyncIterator[Fact]:
        """Yield every fact of an instance, from the first to its end, as they become durable."""
        ...


class Engine(Protocol):
    """What every engine offers."""

    async def start(
        self,
        saga: type[Runs[Request, Result]],
        request: Request,
        *,
        id: str,
    ) -> SagaHandle[Result]:
        """Start an instance, or return the handle of the one that has this id and the same request."""
        ...

    async def run(
        self,
        saga: type[Runs[Request, Result]],
        request: Request,
        *,
        id: str,
    ) -> Result:
        """Start an instance and wait for its result."""
        ...

    async def get(self, saga: type[Runs[Request, Result]], id: str) -> SagaHandle[Result]:
        """Return the handle of an instance."""
        ...

    def list(
        self,
        *,
        saga: type[Runs[Any, Any]] | str | None = None,
        states: Iterable[SagaState] = (),
        id_prefix: str = "",
        started_after: datetime | None = None,
        started_before: datetime | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[SagaSummary]:
        """Yield instances, newest first."""
        ...
