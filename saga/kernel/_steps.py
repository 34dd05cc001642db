"""Step kinds as an author declares them: typed descriptors, nothing that runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, overload

from saga.kernel._declared import Part, Step
from saga.kernel._policy import FOREVER, TIMEOUT, Policy, Retry
from saga.kernel._values import Effect, Finding, Kind, Role

if TYPE_CHECKING:
    from typing import Self

__all__ = ("Nested", "Pivot", "ReadOnly", "Retriable", "Runs")

Input = TypeVar("Input")
Output = TypeVar("Output")
Request_contra = TypeVar("Request_contra", contravariant=True)
Result_co = TypeVar("Result_co", covariant=True)


class Runs(Protocol[Request_contra, Result_co]):
    """What types an engine: an object whose `run` takes a request and returns a result."""

    async def run(self, request: Request_contra, /) -> Result_co:
        """Run the plan."""
        ...


class _Executable(Step[Input, Output]):
    """Takes an action of either colour; the four public kinds share its constructor."""

    default_retry: ClassVar[Retry] = Retry()

    @overload
    def __init__(
        self,
        action: Callable[[Input], Awaitable[Output]],
        *,
        rejects: Sequence[type[Exception]] = (),
        timeout: timedelta = ...,
        retry: Retry | None = None,
        barrier: bool = False,
        safe_to_overtake: bool = False,
        settle_time: timedelta | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        action: Callable[[Input], Output],
        *,
        rejects: Sequence[type[Exception]] = (),
        timeout: timedelta = ...,
        retry: Retry | None = None,
        barrier: bool = False,
        safe_to_overtake: bool = False,
        settle_time: timedelta | None = None,
    ) -> None: ...
    def __init__(
        self,
        action: Callable[[Input], Any],
        *,
        rejects: Sequence[type[Exception]] = (),
        timeout: timedelta = TIMEOUT,
        retry: Retry | None = None,
        barrier: bool = False,
        safe_to_overtake: bool = False,
        settle_time: timedelta | None = None,
    ) -> None:
        """Declare a step.

        Args:
            action: The activity, `async` or not: a function or a participant's method of one argument.
            rejects: Exception types by which the participant says that nothing happened.
            timeout: Time limit of one attempt.
            retry: When a failed attempt is followed by another; the default depends on the kind.
            barrier: Whether the participant is behind a barrier, so that a late action does nothing.
            safe_to_overtake: Whether a compensation may run beside an attempt that still acts.
            settle_time: How long an attempt can still act after its time limit passed, at most.
        """
        policy = Policy(timeout, self.default_retry if retry is None else retry, barrier, safe_to_overtake, settle_time)
        super().__init__({Role.ACTION: Part(action, policy)}, rejects)


class Pivot(_Executable[Input, Output]):
    """The go/no-go step: before it everything can be compensated, after it everything is retried.

    Example:
        >>> def charge(cents: int) -> str: return "c-1"
        >>> def find_charge(cents: int) -> Finding[str]: ...
        >>> step = Pivot(charge, rejects=[ValueError]).probed_by(find_charge)
    """

    kind = Kind.PIVOT

    def probed_by(
        self,
        probe: Callable[[Input], Finding[Output]] | Callable[[Input], Awaitable[Finding[Output]]],
        *,
        every: timedelta = timedelta(seconds=5),
        timeout: timedelta = TIMEOUT,
    ) -> Self:
        """Add the activity that is asked what became of a pivot in doubt.

        Args:
            probe: Takes the pivot's input and answers `Happened`, `DidNotHappen` or `AskAgain`.
            every: Waiting time before it is asked again.
            timeout: Time limit of one question.
        """
        return self._with(
            Role.PROBE, Part(probe, Policy(timeout, replace(FOREVER, first=every, factor=1.0, cap=every)))
        )


class Retriable(_Executable[Input, Output]):
    """A step after the pivot: retried until it is done, without limit by default.

    Example:
        >>> def notify(text: str) -> None: ...
        >>> step = Retriable(notify)
    """

    kind = Kind.RETRIABLE
    default_retry = FOREVER


class ReadOnly(_Executable[Input, Output]):
    """A step that changes nothing, so that nothing has to be compensated.

    Example:
        >>> def balance(account: str) -> int: return 0
        >>> step = ReadOnly(balance)
    """

    kind = Kind.READ_ONLY


class Nested(Step[Input, Output]):
    """A step that runs another saga as a child.

    The child's effects stay compensable by the parent, so it holds only compensatable and read-only steps,
    unless `compensated_by` gives the step a compensation of its own.
    """

    kind = Kind.NESTED

    def __init__(self, saga: type[Runs[Input, Output]]) -> None:
        """Declare a nested saga."""
        super().__init__({}, ())
        self.saga: type = saga

    def compensated_by(
        self,
        compensation: Callable[[Effect[Input, Output]], object],
        *,
        timeout: timedelta = TIMEOUT,
        retry: Retry = FOREVER,
    ) -> Self:
        """Compensate the child as a whole: an activity that takes its request and result."""
        return self._with(Role.COMPENSATION, Part(compensation, Policy(timeout, retry)))
