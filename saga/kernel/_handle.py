"""What every engine offers, and the handle of one instance: the same class on every engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

from pydantic import ValidationError

from saga.errors import InvalidRequestError, UnknownSagaError
from saga.kernel._instance import Instance
from saga.kernel._names import call_name
from saga.kernel._requests import Abort, Cancel, Decide, Resolve, Skip
from saga.kernel._requests import Request as AnyRequest
from saga.kernel._requests import Retry as RetryRequest
from saga.kernel._steps import CompensatableStep, Decision, Declared, Nested, Runs, Step
from saga.kernel._values import DidNotHappen, Happened, SagaState
from saga.kernel._view import SagaView, ending_of, view_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from datetime import datetime

    from saga.kernel._definition import Definition
    from saga.kernel._facts import Fact

__all__ = ("Engine", "Journals", "SagaHandle", "SagaSummary")

Request = TypeVar("Request")  # type checkers print these names
Result = TypeVar("Result")
Input = TypeVar("Input")
Output = TypeVar("Output")
Answer = TypeVar("Answer")
Declaration = TypeVar("Declaration", bound="Declared")


@dataclass(frozen=True, slots=True)
class SagaSummary:
    """One line of a list of instances.

    Attributes:
        id: Id of the instance.
        saga: Name of the saga.
        state: Its state.
        started_at: When it started.
        changed_at: When its state last changed.
        parent: Id of the instance it is nested in, or None.
    """

    id: str
    saga: str
    state: SagaState
    started_at: datetime
    changed_at: datetime
    parent: str | None = None


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


class SagaHandle(Generic[Result]):
    """One saga instance: its result, its view, its facts, and what can be asked of it.

    Attributes:
        id: Id of the instance.
    """

    def __init__(self, journals: Journals, definition: Definition, id: str) -> None:
        self.id = id
        self._journals = journals
        self._definition = definition

    def __repr__(self) -> str:
        return f"SagaHandle({self._definition.saga} {self.id})"

    async def result(self) -> Result:
        """Wait for the end and return the result.

        Cancelling the wait changes nothing about the saga.

        Raises:
            SagaCompensatedError: if the saga ended COMPENSATED.
            SagaStuckError: if the saga is, or becomes, STUCK; its message is the operator's page.
        """
        return self.result_of(await self._journals.at_rest(self.id))

    def result_of(self, instance: Instance) -> Result:
        """Return the result that an instance at rest has, or raise how else it ended."""
        if instance.state is not SagaState.COMPLETED:
            raise ending_of(view_of(instance))
        return cast("Result", self._definition.result.decode(instance.result or "null"))

    async def view(self) -> SagaView:
        """Return the instance as its durable journal tells it."""
        return view_of(Instance().fold_all(await self._journals.journal(self.id)))

    def facts(self) -> AsyncIterator[Fact]:
        """Yield every fact from the first on, as they become durable, until the instance ends."""
        return self._journals.follow(self.id)

    async def decide(
        self, decision: Decision[Answer], answer: Answer, *, call: int = 1, by: str, why: str = ""
    ) -> None:
        """Answer a decision; an early answer is kept until it is awaited.

        Args:
            decision: The decision, such as `MoneyTransfer.review`.
            answer: The answer.
            call: Which use of it in `run`, from 1.
            by: Who answers.
            why: The reason, for the journal.

        Raises:
            UnknownSagaError: if the saga class declares no such decision.
            InvalidRequestError: if the answer does not fit its type.
            ActRefusedError: if the instance has ended.
        """
        known = self._definition.decisions.get(_declared(decision, Decision).name)
        if known is None:
            declared = ", ".join(self._definition.decisions) or "none"
            msg = f"{self._definition.saga} declares no decision {decision.name!r}; it declares {declared}"
            raise UnknownSagaError(msg)
        name = call_name(decision.name, _number(call))
        await self._send(Decide, call=name, payload=known.answer.encode(answer), by=by, why=why)

    async def resolve(
        self,
        step: Step[Input, Output],
        verdict: Happened[Output] | DidNotHappen,
        *,
        call: int = 1,
        by: str,
        why: str,
    ) -> None:
        """Say what became of a call that is in doubt.

        Args:
            step: The step, such as `MoneyTransfer.credit`.
            verdict: `Happened(output)`, or `DidNotHappen()`, which promises that it never will.
            call: Which use of the step in `run`, from 1.
            by: Who says so.
            why: How they know.

        Raises:
            ActRefusedError: if there is no doubt about the call.
            InvalidRequestError: if the output does not fit the step's type.
        """
        action = self._definition.step(_declared(step, Step).name).action
        _check_verdict(self.id, verdict)
        payload = None
        if isinstance(verdict, Happened) and action.returns is not None:
            payload = action.returns.encode(verdict.output)
        name = call_name(step.name, _number(call))
        await self._send(Resolve, call=name, finding=verdict.finding, payload=payload, by=by, why=why)

    async def skip(
        self, step: CompensatableStep[Any, Any] | Nested[Any, Any], *, call: int = 1, by: str, why: str
    ) -> None:
        """Say that a call's compensation (or confirmation) was done by hand.

        Raises:
            ActRefusedError: if nothing of that call waits to be compensated.
        """
        name = call_name(self._definition.step(_declared(step, Step).name).name, _number(call))
        await self._send(Skip, call=name, by=by, why=why)

    async def retry(self, *, by: str, why: str) -> None:
        """Let everything that is blocked be tried again.

        Raises:
            ActRefusedError: if nothing is blocked.
        """
        await self._send(RetryRequest, by=by, why=why)

    async def abort(self, *, by: str, why: str) -> None:
        """Give the instance up before its pivot, and compensate.

        Raises:
            ActRefusedError: if the pivot has registered, or backward recovery has begun.
        """
        await self._send(Abort, by=by, why=why)

    async def cancel(self, *, by: str = "", why: str = "") -> None:
        """Ask the saga to stop and compensate; after the pivot this is noted only.

        Raises:
            ActRefusedError: if the instance has ended.
        """
        await self._send(Cancel, by=by, why=why)

    async def send(self, request: AnyRequest) -> None:
        """Send a request that was made elsewhere, such as on the command line.

        Raises:
            ActRefusedError: if it makes no sense in the state that the instance is in.
        """
        await self._journals.send(self.id, request)

    async def _send(self, kind: type[Any], **fields: object) -> None:  # one of the requests
        try:
            request = kind(**fields)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            msg = f"{self.id}: {first['loc'][0] if first['loc'] else 'request'}: {first['msg']}"
            raise InvalidRequestError(msg) from None
        await self._journals.send(self.id, request)


def _check_verdict(id: str, verdict: object) -> None:
    if not isinstance(verdict, (Happened, DidNotHappen)):
        msg = f"{id}: resolve takes Happened(output) or DidNotHappen(), not {type(verdict).__name__}"
        raise InvalidRequestError(msg)


def _declared(one: Declaration, kind: type[Declared]) -> Declaration:
    # Callers without a type checker give the name of a call, as it stands on the page of a STUCK instance.
    if not isinstance(one, kind):
        msg = f"give the {kind.__name__.lower()} as declared, such as MoneyTransfer.debit, and its call=; not {one!r}"
        raise InvalidRequestError(msg)
    return one


def _number(call: object) -> int:
    if isinstance(call, bool) or not isinstance(call, int) or call < 1:
        msg = f"call counts the uses of a step in run from 1; {call!r} is none"
        raise InvalidRequestError(msg)
    return call


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
