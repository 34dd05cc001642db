"""The class that a saga derives from."""

from __future__ import annotations

import ast
import asyncio
import inspect
import random as random_numbers
import sys
import textwrap
import warnings
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from saga.errors import NotDeterministicWarning, OutsideSagaError
from saga.kernel._check import check
from saga.kernel._declared import Declared
from saga.kernel._definition import short_place

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from saga.kernel._definition import Definition

__all__ = ("Saga",)


class _Body(dict[str, object]):
    """The namespace of a class body that notices a step that hides another."""

    def __setitem__(self, name: str, value: object) -> None:
        hidden = self.get(name)
        if isinstance(hidden, Declared):
            hidden.name = name
            cast("list[Declared]", self.setdefault("__twice__", [])).append(hidden)
        super().__setitem__(name, value)


class _SagaType(type):
    @classmethod
    def __prepare__(cls, _name: str, _bases: tuple[type, ...], /, **_: Any) -> _Body:  # keywords of the class statement
        return _Body()


class _Play(Protocol):
    """Where a saga object's clock and chance come from."""

    def now(self) -> datetime: ...
    def random(self) -> random_numbers.Random: ...


class Saga(metaclass=_SagaType):
    """A business transaction over several services: declare its steps, write `run`.

    `run` must be deterministic: time, chance and I/O come from `self.now()`, `self.random()`, `self.sleep()` and
    the steps. Inside it asyncio's own waiting (`gather`, `TaskGroup`, `wait`, `timeout`, `Queue`, ...) is durable.

    Attributes:
        deadline: Time after the start at which backward recovery starts; None for no deadline.

    Raises:
        SagaDefinitionError: when the class is made, if anything about it is wrong.

    Example:
        >>> from saga import Compensatable, Effect, Saga
        >>> def reserve(seats: int) -> str: return "r-1"
        >>> def release(effect: Effect[int, str]) -> None: ...
        >>> class Trip(Saga):
        ...     reserve = Compensatable(reserve).compensated_by(release)
        ...     async def run(self, seats: int) -> str:
        ...         return await self.reserve(seats)
    """

    deadline: ClassVar[timedelta | None] = None
    __definition__: ClassVar[Definition]
    __where__: ClassVar[str]
    _play: _Play | None = None

    def __init_subclass__(cls, *, name: str = "", **options: object) -> None:
        """Check the class. `name=` keeps the journaled name of a class that was renamed."""
        super().__init_subclass__(**options)
        # Annotations may use names of the calling scope.
        frame = sys._getframe(1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        cls.__where__ = where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        if not hasattr(cls, "run"):
            return  # a base class that only shares steps
        twice = [one for base in cls.__mro__ for one in base.__dict__.get("__twice__", ())]
        scope = {**frame.f_locals, **vars(cls)}
        cls.__definition__ = check(cls, saga=name or cls.__name__, where=where, scope=_types_in(scope), twice=twice)
        _warn_of_chance(cls)

    def now(self) -> datetime:
        """Return the time of the last fact, the same on every replay."""
        return self.__play("now").now()

    def random(self) -> random_numbers.Random:
        """Return random numbers seeded by the instance's id, the same on every replay."""
        return self.__play("random").random()

    async def sleep(self, duration: timedelta) -> None:
        """Wait durably; a restart in between does not start the wait again.

        Raises:
            TypeError: if `duration` is no timedelta.
        """
        self.__play("sleep")
        if not isinstance(cast("object", duration), timedelta):
            msg = f"self.sleep takes a timedelta, not {duration!r}; write self.sleep(timedelta(seconds=...))"
            raise TypeError(msg)
        await asyncio.sleep(duration.total_seconds())

    def __play(self, name: str) -> _Play:
        if self._play is None:
            msg = f"{type(self).__name__}.{name}() was called outside a running saga; start it with an engine"
            raise OutsideSagaError(msg)
        return self._play


def _types_in(scope: Mapping[str, object]) -> dict[str, object]:
    # Step descriptors may share a name with a type that an annotation means.
    return {name: value for name, value in scope.items() if not isinstance(value, Declared)}


_CHANCE = {
    "datetime.now": "self.now()",
    "datetime.utcnow": "self.now()",
    "datetime.today": "self.now()",
    "date.today": "self.now()",
    "time.time": "self.now()",
    "time.monotonic": "self.now()",
    "time.sleep": "self.sleep(...)",
    "random.random": "self.random()",
    "random.randint": "self.random()",
    "random.choice": "self.random()",
    "random.uniform": "self.random()",
    "uuid.uuid4": "self.random()",
    "uuid.uuid1": "self.random()",
    "uuid4": "self.random()",
    "os.urandom": "self.random()",
    "secrets.token_hex": "self.random()",
    "open": "a step",
    "asyncio.to_thread": "a step",
    "input": "a decision",
}


def _warn_of_chance(cls: type) -> None:
    """Warn of what can be seen in the source of `run`; replay refuses the rest."""
    run = cls.__dict__.get("run")
    if run is None:
        return
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(run)))
    except (OSError, SyntaxError, TypeError):
        return  # no source, as in an interactive session
    for node in [one for one in ast.walk(tree) if isinstance(one, ast.Call)]:
        name = ast.unparse(node.func)
        instead = _CHANCE.get(name) or _CHANCE.get(".".join(name.split(".")[-2:]))
        if instead:
            code = run.__code__
            place = short_place(f"{code.co_filename}:{code.co_firstlineno + node.lineno - 1}")
            text = f"{cls.__name__}.run calls {name}(), which a replay would not repeat ({place}); use {instead}"
            warnings.warn(text, NotDeterministicWarning, stacklevel=3)
