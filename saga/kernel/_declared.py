"""What is declared in the body of a saga class: its name, its place, and its two faces, on the class and in `run`."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar, overload

from saga.errors import OutsideSagaError

if TYPE_CHECKING:
    from datetime import timedelta
    from typing import Self

    from saga.kernel._policy import Policy
    from saga.kernel._values import Kind, Role

__all__ = ("Decision", "Declared", "Part", "Step")

Input = TypeVar("Input")
Output = TypeVar("Output")
Answer = TypeVar("Answer")


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


class Decision(Declared, Generic[Answer]):
    """A question that somebody outside answers with `handle.decide`.

    Example:
        >>> from datetime import timedelta
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
