"""Stories: what a saga does, step by step, told and checked in one expression; no engine and no participants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from saga.errors import StepRejected
from saga.kernel import (
    Abort,
    CallState,
    Cancel,
    Decide,
    Failure,
    Happened,
    Resolve,
    RetryRequest,
    Role,
    SagaState,
    Skip,
    call_name,
    definition_of,
    view_of,
)
from saga.kernel import facts as f
from saga.testing._arguments import request_of
from saga.testing._told import StoryError, Told, described

if TYPE_CHECKING:
    from datetime import timedelta
    from typing import Self

    from saga.kernel import CallRecord, Decision, Request, Runs, SagaView, Step, Verdict

__all__ = ("Story", "StoryError", "given")

RunRequest = TypeVar("RunRequest")
Result = TypeVar("Result")

_ANYTHING: Final[Any] = object()
"""Stands for: not looked at."""
_BY: Final = "storyteller"


def given(saga: type[Runs[RunRequest, Result]], request: RunRequest, *, id: str = "story") -> Story[Result]:
    """Begin the story of one instance.

    Every `expects...` names the activity that has to be in flight now, and what follows it says what that came to.
    The last word says how the saga ends. Nothing is performed, so no participant is needed. A nested saga is a step
    like any other here: what its own steps do is another story.

    Args:
        saga: The saga class.
        request: What `run` is given.
        id: Id of the instance.

    Raises:
        StoryError: wherever the saga does something else, or the story says what cannot be.
        InvalidRequestError: if the request does not fit.
        InvalidIdError: if the id cannot name an instance.
        PayloadTooLargeError: if the request is larger than a journal takes.

    Example:
        >>> from saga import Compensatable, Effect, ReadOnly, Saga
        >>> def reserve(seats: int) -> str: ...
        >>> def release(effect: Effect[int, str]) -> None: ...
        >>> def check(reservation: str) -> bool: ...
        >>> class Trip(Saga):
        ...     reserve = Compensatable(reserve).compensated_by(release)
        ...     check = ReadOnly(check)
        ...     async def run(self, seats: int) -> str:
        ...         reservation = await self.reserve(seats)
        ...         await self.check(reservation)
        ...         return reservation
        >>> story = given(Trip, 2).expects("reserve", 2).done("r-1").expects("check").in_doubt()
        >>> _ = story.expects_compensation("reserve").compensated()
    """
    definition = definition_of(saga)
    return Story(Told(definition, request_of(definition, request, id), id))


class Story(Generic[Result]):
    """The story of one instance, told from its start; made by `given`."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._current: CallRecord | None = None

    @property
    def view(self) -> SagaView:
        """The instance as it is now."""
        return view_of(self._told.instance)

    # -- expecting -----------------------------------------------------------------------

    def expects(self, step: Step[Any, Any] | str, value: object = _ANYTHING) -> Self:
        """Expect a step's action to be in flight, called with `value` if that is given."""
        return self._expect(step, Role.ACTION, value)

    def expects_compensation(self, step: Step[Any, Any] | str, value: object = _ANYTHING) -> Self:
        """Expect a step's compensation to be in flight. It is done unless something else is said next."""
        return self._expect(step, Role.COMPENSATION, value)

    def expects_confirmation(self, step: Step[Any, Any] | str, value: object = _ANYTHING) -> Self:
        """Expect a step's confirmation to be in flight. It is done unless something else is said next."""
        return self._expect(step, Role.CONFIRMATION, value)

    def expects_forgetting(self, step: Step[Any, Any] | str, value: object = _ANYTHING) -> Self:
        """Expect the dropping of what an action kept. It is done unless something else is said next."""
        return self._expect(step, Role.FORGET, value)

    def expects_probe(self, step: Step[Any, Any] | str, value: object = _ANYTHING) -> Self:
        """Expect a pivot's probe to be in flight; `found` says what it finds."""
        return self._expect(step, Role.PROBE, value)

    def _expect(self, step: Step[Any, Any] | str, role: Role, value: object) -> Self:
        self._finish()
        name = step if isinstance(step, str) else step.name
        if role not in self._told.step(step).roles:
            raise self._told.error(described(name, role), f"{name} has none")
        for record in self._told.instance.in_flight.values():
            if record.role is role and record.step == name:
                self._current = record
                self._check_input(record, value)
                return self
        raise self._told.error(described(name, role), self._how_it_is())

    def _check_input(self, record: CallRecord, value: object) -> None:
        if value is _ANYTHING:
            return
        takes = self._told.definition.step(record.step).roles[record.role].takes
        expected, found = self._told.encode(takes, value, f"an input of {record.name}"), self._told.input_of(record)
        if not takes.same(expected, found):
            raise self._told.error(f"{record.name} with {expected}", f"{record.name} with {found}")

    def _finish(self) -> None:
        """Let a compensation, confirmation or forgetting of which nothing was said be done."""
        current, self._current = self._current, None
        if current is not None and current.role not in {Role.ACTION, Role.PROBE}:
            self._told.take(f.CallDone(at=self._told.now, call=current.name))

    # -- what it came to -----------------------------------------------------------------

    def done(self, output: object = None) -> Self:
        """The activity returned `output`."""
        record = self._taken("done")
        returns = self._told.definition.step(record.step).roles[record.role].returns
        payload = None if returns is None else self._told.encode(returns, output, f"an output of {record.name}")
        return self._take(f.CallDone(at=self._told.now, call=record.name, payload=payload))

    def rejected(self, error: Exception | str = "rejected") -> Self:
        """The participant said no: an exception of the step's `rejects`, `StepRejected`, or the text of one."""
        record = self._taken("rejected")
        refusal = StepRejected(error) if isinstance(error, str) else error
        step = self._told.definition.step(record.step)
        says_no: tuple[type[Exception], ...] = (StepRejected, *step.rejects)
        if not isinstance(refusal, says_no):
            known = ", ".join(one.__name__ for one in says_no)
            found = f"{type(refusal).__name__}, which leaves it in doubt"
            raise self._told.error(f"a rejection of {record.name}: {known}", found)
        if record.role is Role.ACTION and record.unanswered and not step.action.policy.barrier:
            found = "an attempt before the crash may have acted, and no barrier says that it did not"
            raise self._told.error(f"{record.name} to be in doubt", found)
        return self._take(f.CallRejected(at=self._told.now, call=record.name, failure=Failure.of(refusal)))

    def in_doubt(self, error: Exception | str = "no answer", *, overdue: bool = False) -> Self:
        """Nobody knows whether it happened; `overdue` says that an attempt was given up and may still act."""
        record = self._taken("in doubt")
        failure = Failure.of(TimeoutError(error) if isinstance(error, str) else error)
        at = self._told.now
        fact = f.CallInDoubt(at=at, call=record.name, failure=failure, overdue_at=at if overdue else None)
        return self._take(fact)

    def found(self, verdict: Verdict[Any]) -> Self:
        """The probe found out: `Happened(output)` or `DidNotHappen()`."""
        record = self._taken("found")
        payload = self._output(record, verdict)
        fact = f.CallProbed(at=self._told.now, call=record.call, finding=verdict.finding, payload=payload)
        return self._take(fact)

    def _output(self, record: CallRecord, verdict: Verdict[Any]) -> str | None:
        returns = self._told.definition.step(record.step).action.returns
        if not isinstance(verdict, Happened) or returns is None:
            return None
        return self._told.encode(returns, verdict.output, f"an output of {record.call}")

    def _taken(self, word: str) -> CallRecord:
        record, self._current = self._current, None
        if record is None:
            raise self._told.error(f"something to be {word}", "no activity was expected just before")
        if (word == "found") is not (record.role is Role.PROBE):
            raise self._told.error("found(...) for a probe, and only for a probe", f"{record.name} {word}")
        return record

    def _take(self, fact: f.Fact) -> Self:
        self._told.take(fact)
        return self

    # -- meanwhile -----------------------------------------------------------------------

    def after(self, duration: timedelta) -> Self:
        """Time passes: what is due meanwhile happens, the deadline too."""
        self._finish()
        self._told.wait(duration)
        return self

    def decides(self, decision: Decision[Any] | str, answer: object, *, call: int = 1) -> Self:
        """Somebody answers a decision."""
        declared = self._told.decision(decision)
        payload = self._told.encode(declared.answer, answer, f"an answer to {declared.name}")
        return self._ask(Decide(call=call_name(declared.name, call), payload=payload, by=_BY))

    def cancelled(self) -> Self:
        """Somebody cancels the saga."""
        return self._ask(Cancel(by=_BY, why="told"))

    def aborted(self) -> Self:
        """An operator gives the saga up."""
        return self._ask(Abort(by=_BY, why="told"))

    def retried(self) -> Self:
        """An operator lets what is blocked be tried again."""
        return self._ask(RetryRequest(by=_BY, why="told"))

    def skipped(self, step: Step[Any, Any] | str, *, call: int = 1) -> Self:
        """An operator did a compensation or confirmation by hand."""
        return self._ask(Skip(call=self._told.call(step, call), by=_BY, why="told"))

    def resolved(self, step: Step[Any, Any] | str, verdict: Verdict[Any], *, call: int = 1) -> Self:
        """An operator says what became of a call."""
        name = self._told.call(step, call)
        record = self._told.instance.calls.get(name)
        if record is None:
            raise self._told.error(f"{name} to resolve", f"{name} was never called")
        payload = self._output(record, verdict)
        return self._ask(Resolve(call=name, finding=verdict.finding, payload=payload, by=_BY, why="told"))

    def crashed(self) -> Self:
        """The process crashes and another one takes over: what is in flight may or may not have acted."""
        self._finish()
        self._told.crash()
        return self

    def _ask(self, request: Request) -> Self:
        self._finish()
        self._told.ask(request)
        return self

    # -- endings -------------------------------------------------------------------------

    def completed(self, result: Result = _ANYTHING) -> Self:
        """The saga is COMPLETED, with `result` if that is given."""
        self._end(SagaState.COMPLETED)
        returns = self._told.definition.result
        found = self._told.instance.result or "null"
        if result is not _ANYTHING:
            expected = self._told.encode(returns, result, "a result of run")
            if not returns.same(expected, found):
                raise self._told.error(f"the result {expected}", f"the result {found}")
        return self

    def compensated(self) -> Self:
        """The saga is COMPENSATED."""
        return self._end(SagaState.COMPENSATED)

    def stuck(self, *calls: str) -> Self:
        """The saga is STUCK, by exactly these calls (such as `debit.1/compensation`) if any are given."""
        self._end(SagaState.STUCK)
        found = [one.call or "its code" for one in self._told.instance.stuck]
        if calls and sorted(calls) != sorted(found):
            raise self._told.error(f"STUCK by {', '.join(calls)}", f"STUCK by {', '.join(found)}")
        return self

    def running(self) -> Self:
        """The saga is RUNNING."""
        return self._end(SagaState.RUNNING)

    def _end(self, state: SagaState) -> Self:
        self._finish()
        if self._told.instance.state is not state:
            raise self._told.error(str(state), self._how_it_is())
        self._told.check_replay()
        return self

    def _how_it_is(self) -> str:
        instance = self._told.instance
        for one in instance.stuck:
            if one.failure is not None and one.failure.traceback:
                return f"STUCK by its code: {one.failure}"
        waiting = [one.name for one in instance.in_flight.values() if one.state is CallState.IN_FLIGHT]
        if waiting and not instance.ended:
            return f"{instance.state}; say what {', '.join(waiting)} came to"
        asked = [one.call for one in instance.decisions.values() if one.answer is None and not one.timed_out]
        if asked and instance.state is SagaState.RUNNING:
            return f"RUNNING; say what is decided about {', '.join(asked)}, or that time passes"
        return str(instance.state)
