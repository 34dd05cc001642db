"""Compensatable steps, which are complete only with their compensation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, overload

from saga.kernel._declared import Declared, Part, Step
from saga.kernel._policy import FOREVER, TIMEOUT, Policy, Retry
from saga.kernel._values import Effect, Kind, Role

if TYPE_CHECKING:
    from typing import Self

__all__ = ("Compensatable", "CompensatableStep", "Given")

Input = TypeVar("Input")
Output = TypeVar("Output")
Mapped = TypeVar("Mapped")


class CompensatableStep(Step[Input, Output]):
    """A compensatable step with its compensation."""

    kind = Kind.COMPENSATABLE

    def confirmed_by(
        self,
        confirmation: Callable[[Output], object],
        *,
        timeout: timedelta = TIMEOUT,
        retry: Retry = FOREVER,
    ) -> Self:
        """Make the effect tentative until `confirmation`, given the action's output, makes it final."""
        return self._with(Role.CONFIRMATION, Part(confirmation, Policy(timeout, retry)))

    def forgotten_by(
        self, activity: Callable[[Output], object], *, timeout: timedelta = TIMEOUT, retry: Retry = FOREVER
    ) -> Self:
        """Drop, when the saga completes, what the action kept for its compensation."""
        return self._with(Role.FORGET, Part(activity, Policy(timeout, retry)))


class Given(Declared, Generic[Input, Output, Mapped]):
    """A step whose compensation takes other input than the effect; `compensated_by` completes it."""

    def __init__(self, step: Compensatable[Input, Output], mapping: Callable[[Effect[Input, Output]], Mapped]) -> None:
        super().__init__()
        self.where = step.where
        self._step = step
        self._mapping = mapping

    def compensated_by(
        self,
        compensation: Callable[[Mapped], object],
        *,
        timeout: timedelta = TIMEOUT,
        retry: Retry = FOREVER,
    ) -> CompensatableStep[Input, Output]:
        """Add the compensation, an activity that takes what the mapping returns."""
        return self._step.completed(Part(compensation, Policy(timeout, retry), self._mapping))


class Compensatable(Declared, Generic[Input, Output]):
    """A step that a later failure compensates. Not callable until `compensated_by` completes it.

    Example:
        >>> def reserve(seats: int) -> str: return "r-1"
        >>> def release(effect: Effect[int, str]) -> None: ...
        >>> step = Compensatable(reserve).compensated_by(release)
    """

    default_retry: ClassVar[Retry] = Retry()

    @overload
    def __init__(
        self,
        action: Callable[[Input], Awaitable[Output]],
        *,
        rejects: Sequence[type[Exception]] = (),
        timeout: timedelta = ...,
        retry: Retry = ...,
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
        retry: Retry = ...,
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
        retry: Retry = Retry(),  # noqa: B008 - frozen
        barrier: bool = False,
        safe_to_overtake: bool = False,
        settle_time: timedelta | None = None,
    ) -> None:
        """Declare a compensatable step; the arguments are those of every step kind.

        Args:
            action: The activity, `async` or not: a function or a participant's method of one argument.
            rejects: Exception types by which the participant says that nothing happened.
            timeout: Time limit of one attempt.
            retry: When a failed attempt is followed by another; 3 attempts by default.
            barrier: Whether the participant is behind a barrier, so that a late action does nothing.
                A timeout cannot reveal that, so it has to be said.
            safe_to_overtake: Whether the compensation may run beside an attempt that still acts.
            settle_time: How long an attempt can still act after its time limit passed, at most.
        """
        super().__init__()
        self._action = Part(action, Policy(timeout, retry, barrier, safe_to_overtake, settle_time))
        self._rejects = rejects

    def compensated_by(
        self,
        compensation: Callable[[Effect[Input, Output]], object],
        *,
        timeout: timedelta = TIMEOUT,
        retry: Retry = FOREVER,
    ) -> CompensatableStep[Input, Output]:
        """Add the compensation: an activity that takes the effect. Retried without limit by default."""
        return self.completed(Part(compensation, Policy(timeout, retry)))

    def given(self, mapping: Callable[[Effect[Input, Output]], Mapped]) -> Given[Input, Output, Mapped]:
        """Make other input for the compensation, so that an existing activity can be it.

        `mapping` runs inside the saga and must be deterministic.
        """
        return Given(self, mapping)

    def completed(self, compensation: Part) -> CompensatableStep[Input, Output]:
        """Return the complete step; `compensated_by` calls it."""
        step = CompensatableStep[Input, Output](
            {Role.ACTION: self._action, Role.COMPENSATION: compensation}, self._rejects
        )
        step.where = self.where
        return step
