"""Step kinds as an author declares them: typed descriptors, nothing that runs."""

from __future__ import annotations

import copy
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar, overload

from saga.errors import OutsideSagaError
from saga.kernel._policy import FOREVER, TIMEOUT, Policy, Retry
from saga.kernel._values import Effect, Finding, Kind, Role

if TYPE_CHECKING:
    from typing import Self

__all__ = (
    "Compensatable",
    "CompensatableStep",
    "Decision",
    "Declared",
    "Given",
    "Nested",
    "Part",
    "Pivot",
    "ReadOnly",
    "Retriable",
    "Runs",
    "Step",
)

Input = TypeVar("Input")
Output = TypeVar("Output")
Mapped = TypeVar("Mapped")
Answer = TypeVar("Answer")
Request_contra = TypeVar("Request_contra", contravariant=True)
Result_co = TypeVar("Result_co", covariant=True)


class Runs(Protocol[Request_contra, Result_co]):
    """What types an engine: an object whose `run` takes a request and returns a result."""

    async def run(self, request: Request_contra, /) -> Result_co:
        """Run the plan."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """One role of a step as it was declared: which function, under which policy.

    Attributes:
        function: What the author wrote; the definition check turns it into an activity.
        policy: How it is tried.
        given: For a compensation that takes other input: makes it from the effect.
    """

    function: object
    policy: Policy
    given: Callable[[Any], Any] | None = None  # from an Effect to any input


def _here(depth: int) -> str:
    # The fault list names the author's own line.
    frame = sys._getframe(depth)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


class Declared:
    """Something declared in the body of a saga class, with its name and place.

    Attributes:
        name: Name of the attribute; empty until the class body has ended.
        where: File and line of the declaration.
    """

    def __init__(self, depth: int = 3) -> None:
        self.name = ""
        self.where = _here(depth)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = self.name or name


class Step(Declared, Generic[Input, Output]):
    """A step that is complete: on the class it is the step, on an instance it is called and awaited."""

    kind: ClassVar[Kind]

    def __init__(self, parts: dict[Role, Part], rejects: Sequence[type[Exception]], depth: int = 4) -> None:
        super().__init__(depth)
        self.parts = parts
        self.rejects = rejects  # as it was written; the definition check looks at it

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Callable[[Input], Coroutine[Any, Any, Output]]: ...
    def __get__(self, instance: object | None, owner: type) -> Self | Callable[[Input], Coroutine[Any, Any, Output]]:
        if instance is None:
            return self
        return _play_of(instance, self.name).call(self)

    def _with(self, role: Role, part: Part) -> Self:
        one = copy.copy(self)
        one.parts = {**self.parts, role: part}
        return one


class _Play(Protocol):
    """What a saga object needs from whoever runs it."""

    def call(self, step: Step[Input, Output], /) -> Callable[[Input], Coroutine[Any, Any, Output]]: ...
    def decision(self, decision: Decision[Answer], /) -> Callable[[], Coroutine[Any, Any, Answer]]: ...


def _play_of(instance: object, name: str) -> _Play:
    play: _Play | None = getattr(instance, "_play", None)
    if play is None:
        msg = f"{type(instance).__name__}.{name} was called outside a running saga; start it with an engine"
        raise OutsideSagaError(msg)
    return play


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


class Decision(Declared, Generic[Answer]):
    """A question that somebody outside answers with `handle.decide`.

    Example:
        >>> review = Decision(bool, within=timedelta(hours=4))
    """

    def __init__(self, answer: type[Answer], *, within: timedelta) -> None:
        """Declare a decision.

        Args:
            answer: Type of the answer.
            within: How long `run` waits before it sees `DecisionTimedOut`.
        """
        super().__init__()
        self.answer = answer
        self.within = within

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Callable[[], Coroutine[Any, Any, Answer]]: ...
    def __get__(self, instance: object | None, owner: type) -> Self | Callable[[], Coroutine[Any, Any, Answer]]:
        if instance is None:
            return self
        return _play_of(instance, self.name).decision(self)
