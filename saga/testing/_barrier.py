"""A barrier in memory, for participants that are plain fakes: it keeps the promises of the real one."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, TypeGuard, TypeVar, cast

from saga.errors import KeyReusedError, StepRejected, SuspendedError
from saga.kernel import RECORDED, DidNotHappen, Effect, Happened, Kind, Role, maybe_current_step

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from saga.kernel import StepContext

__all__ = ("behind_barrier", "is_behind_barrier")

Participant = TypeVar("Participant")


def behind_barrier(participant: Participant, *, rejects: Sequence[type[Exception]] = ()) -> Participant:
    """Put a fake behind a barrier of its own, so that it may be as simple as a dictionary.

    Whatever a saga calls then behaves as behind the real barrier: a repeat returns what was recorded, a rejection
    is recorded, a compensation learns what its action returned, one whose action never happened does nothing and
    suspends the key, an action that comes after its compensation is refused, another input under the same key is
    refused, and a probe answers from the record, without asking the fake. What a test itself calls or looks at is
    the fake's own.

    Put behind a barrier what really is behind one, and say so with `barrier=True` on its steps; `explore` refuses the
    rest. Elsewhere a fake that never acts twice hides what its participant will do.

    Args:
        participant: The fake; all the roles of a step have to be methods of the same one.
        rejects: Exception types by which its methods say no, beside `StepRejected`.

    Example:
        >>> class Bank:
        ...     cents = 100
        ...     def debit(self, cents: int) -> int:
        ...         self.cents -= cents
        ...         return self.cents
        >>> bank = behind_barrier(Bank())
        >>> bank.debit(30), bank.cents
        (70, 70)
    """
    return cast("Participant", _Guarded(participant, _Barrier((StepRejected, *rejects))))


def is_behind_barrier(participant: object) -> bool:
    """Tell whether a participant was put behind a barrier for a test."""
    return isinstance(participant, _Guarded)


class _State(StrEnum):
    DONE = "done"
    REJECTED = "rejected"
    SUSPENDED = "suspended"
    COMPENSATED = "compensated"
    CONFIRMED = "confirmed"


@dataclass(frozen=True, slots=True)
class _Row:
    state: _State
    input: object = None
    output: object = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a call comes to without its body."""

    output: object = None


@dataclass(slots=True)
class _Passage:
    """One call on its way through the barrier.

    Attributes:
        performs: Whether the body runs.
        value: What it is given.
        output: What the call comes to.
    """

    performs: bool
    value: object = None
    output: object = None


_SETTLES: Final = {Role.COMPENSATION: _State.COMPENSATED, Role.CONFIRMATION: _State.CONFIRMED}
_STAYS: Final = frozenset({_State.DONE, _State.CONFIRMED})
_GONE: Final = frozenset({_State.SUSPENDED, _State.COMPENSATED})


class _Guarded:
    """Stands before a participant: methods that a step calls go through the barrier, all else does not."""

    def __init__(self, participant: object, barrier: _Barrier) -> None:
        object.__setattr__(self, "_participant", participant)
        object.__setattr__(self, "_barrier", barrier)

    def __getattr__(self, name: str) -> Any:  # whatever the participant has
        value = getattr(self._participant, name)
        return self._barrier.guarding(value) if inspect.ismethod(value) else value

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._participant, name, value)


class _Barrier:
    """Looks every key up before a body runs, and records what became of it."""

    def __init__(self, rejects: tuple[type[Exception], ...]) -> None:
        self._rejects = rejects
        self._rows: dict[str, _Row] = {}

    def guarding(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """Return a method behind the barrier; outside of a step it is as it was."""
        return self._asynchronous(method) if inspect.iscoroutinefunction(method) else self._synchronous(method)

    def _synchronous(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def guarded(*values: Any, **more: Any) -> object:  # whatever the method takes
            step = maybe_current_step()
            if step is None:
                return method(*values, **more)
            with self._passing(step, values[0]) as passage:
                if passage.performs:
                    passage.output = method(passage.value)
            return passage.output

        return guarded

    def _asynchronous(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        async def guarded(*values: Any, **more: Any) -> object:  # whatever the method takes
            step = maybe_current_step()
            if step is None:
                return await method(*values, **more)
            with self._passing(step, values[0]) as passage:
                if passage.performs:
                    passage.output = await method(passage.value)
            return passage.output

        return guarded

    @contextmanager
    def _passing(self, step: StepContext, value: object) -> Generator[_Passage]:
        """Look the key up, let the body run if it has to, and record what became of it."""
        answer = self._enter(step, value)
        if answer is not None:
            yield _Passage(performs=False, output=answer.output)
            return
        passage = _Passage(performs=True, value=self._known(step, value))
        try:
            yield passage
        except self._rejects as error:
            raise self._reject(step, value, error) from None
        passage.output = self._keep(step, value, passage.output)

    # -- before the body -----------------------------------------------------------------

    def _enter(self, step: StepContext, value: object) -> _Answer | None:
        if step.role is Role.PROBE:
            return self._probe(step)
        if step.role in _SETTLES:
            return self._settle(step)
        return _repeat(step, self._rows.get(step.key), value)

    def _probe(self, step: StepContext) -> _Answer:
        row = self._rows.setdefault(step.action_key, _Row(_State.SUSPENDED))
        return _Answer(Happened(output=row.output) if row.state in _STAYS else DidNotHappen())

    def _settle(self, step: StepContext) -> _Answer | None:
        compensates = step.role is Role.COMPENSATION
        if compensates:
            self._rows.setdefault(step.action_key, _Row(_State.SUSPENDED))
        state = self._rows[step.action_key].state if step.action_key in self._rows else None
        if state is _State.DONE:
            return None
        if state is _SETTLES[step.role] or (compensates and state is not _State.CONFIRMED):
            return _Answer()
        refusal = SuspendedError if state in _GONE else StepRejected
        raise _recorded(refusal(f"{step.key} came too late: {step.action_key} is {state or 'not recorded'}"))

    def _known(self, step: StepContext, value: Any) -> Any:  # any input
        """The saga may be in doubt about an action; its record is not."""
        if step.role is Role.COMPENSATION and _is_effect(value) and value.in_doubt:
            return value.model_copy(update={"output": self._rows[step.action_key].output, "in_doubt": False})
        return value

    # -- after it ------------------------------------------------------------------------

    def _keep(self, step: StepContext, value: object, output: object) -> object:
        if step.role not in _SETTLES:
            self._rows[step.key] = _Row(_State.DONE, value, output)
            return output
        action = self._rows[step.action_key]
        self._rows[step.action_key] = _Row(_SETTLES[step.role], action.input, action.output)
        return None

    def _reject(self, step: StepContext, value: object, error: Exception) -> Exception:
        if step.role not in _SETTLES:
            self._rows[step.key] = _Row(_State.REJECTED, value, error=error)
        return _recorded(error)


def _repeat(step: StepContext, row: _Row | None, value: object) -> _Answer | None:
    if row is None:
        return None
    if row.state in _GONE:
        raise _recorded(SuspendedError(f"{step.key} arrived after its compensation; nothing was done"))
    if row.input != value:
        msg = f"{step.key} was used before with another input; nothing was done"
        raise KeyReusedError(msg)
    if row.error is None:
        return _Answer(row.output)
    if step.role is Role.FORGET or step.kind is Kind.RETRIABLE:
        return None  # an operator may retry it, and a recorded no would stop him
    raise _recorded(row.error)


def _is_effect(value: object) -> TypeGuard[Effect[Any, Any]]:  # of any action
    return isinstance(value, Effect)


def _recorded(error: Exception) -> Exception:
    setattr(error, RECORDED, True)
    return error
