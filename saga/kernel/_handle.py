"""The handle of one instance: the same class on every engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from pydantic import ValidationError

from saga.errors import ActRefusedError, InvalidRequestError, UnknownSagaError
from saga.kernel._compensatable import CompensatableStep
from saga.kernel._declared import Decision, Declared, Step
from saga.kernel._instance import Instance
from saga.kernel._names import call_name, split_call
from saga.kernel._requests import Abort, Cancel, Decide, Resolve, Skip
from saga.kernel._requests import Request as AnyRequest
from saga.kernel._requests import Retry as RetryRequest
from saga.kernel._steps import Nested
from saga.kernel._values import DidNotHappen, Happened, SagaState
from saga.kernel._view import DecisionView, SagaView, ending_of, view_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from saga.kernel._codec import Codec
    from saga.kernel._definition import Definition, RoleDefinition
    from saga.kernel._engine import Journals
    from saga.kernel._facts import Fact

__all__ = ("SagaHandle",)

Request = TypeVar("Request")  # type checkers print these names
Result = TypeVar("Result")
Input = TypeVar("Input")
Output = TypeVar("Output")
Answer = TypeVar("Answer")
Declaration = TypeVar("Declaration", bound="Declared")


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
    ) -> DecisionView:
        """Answer a decision; an answer that comes early is kept until `run` asks.

        Args:
            decision: The decision, such as `MoneyTransfer.review`.
            answer: The answer.
            call: Which use of it in `run`, from 1.
            by: Who answers.
            why: The reason, for the journal.

        Returns:
            The decision as the journal tells it now. Where its `due` is None, `run` has not asked yet: the answer is
            kept for a call that `run` may make later, or never.

        Raises:
            UnknownSagaError: if the saga class declares no such decision.
            InvalidRequestError: if the answer does not fit its type.
            ActRefusedError: if the instance has ended, or if the answer was ignored, because there is another one,
                time is up, or the saga is compensating. The journal holds an answer that was ignored, too.
        """
        known = self._definition.decisions.get(self._declared(decision, Decision).name)
        if known is None:
            declared = ", ".join(self._definition.decisions) or "none"
            which = repr(decision.name) if decision.name else "that is no class attribute"
            msg = f"{self._what} declares no decision {which}; it declares {declared}"
            raise UnknownSagaError(msg)
        name = call_name(decision.name, self._number(call))
        payload = self._encoded(known.answer, answer, f"the answer to {name}")
        await self._send(Decide, call=name, payload=payload, by=by, why=why)
        try:
            view = await self.view()
        except UnknownSagaError:  # it has ended, and was purged meanwhile
            return DecisionView(call=name, due=None, answer=payload, by=by, timed_out=False)
        return _taken(view, name, payload, by)

    async def resolve(
        self,
        step: Step[Input, Output],
        verdict: Happened[Output] | DidNotHappen,
        *,
        call: int = 1,
        within: str = "",
        by: str,
        why: str,
        seen: SagaView | None = None,
    ) -> None:
        """Say what became of a call that is in doubt.

        Args:
            step: The step, such as `MoneyTransfer.credit`.
            verdict: `Happened(output)`, or `DidNotHappen()`, which promises that it never will.
            call: Which use of the step in `run`, from 1.
            within: For a call that a nested saga handed over, the call that ran the nested saga, such as `pay.1`;
                `order.1/pay.1` for one that is nested twice.
            by: Who says so.
            why: How they know.
            seen: The view that they looked at; how far it went is journaled.

        Raises:
            ActRefusedError: if there is no doubt about the call.
            InvalidRequestError: if the output does not fit the step's type.
        """
        name, action = self._call(step, call, within)
        payload = None
        if not isinstance(cast("object", verdict), (Happened, DidNotHappen)):
            raise self._refused(f"resolve takes Happened(output) or DidNotHappen(), not {type(verdict).__name__}")
        if isinstance(verdict, Happened) and action.returns is not None:
            payload = self._encoded(action.returns, verdict.output, f"the output of {name}")
        fields = {"call": name, "finding": verdict.finding, "payload": payload}
        await self._act(Resolve, seen, by=by, why=why, **fields)

    async def skip(
        self,
        step: CompensatableStep[Any, Any] | Nested[Any, Any],
        *,
        call: int = 1,
        within: str = "",
        by: str,
        why: str,
        seen: SagaView | None = None,
    ) -> None:
        """Say that a call's compensation (or confirmation) was done by hand.

        Args:
            step: The step, such as `MoneyTransfer.debit`, or a nested saga with a compensation of its own.
            call: Which use of the step in `run`, from 1.
            within: For a call that a nested saga handed over, the call that ran the nested saga, as in `resolve`.
            by: Who did it.
            why: What they did.
            seen: The view that they looked at; how far it went is journaled.

        Raises:
            ActRefusedError: if nothing of that call waits to be compensated.
        """
        name, _ = self._call(step, call, within)
        await self._act(Skip, seen, by=by, why=why, call=name)

    async def retry(self, *, by: str, why: str, seen: SagaView | None = None) -> None:
        """Let everything that is blocked be tried again; `seen` is the view that was looked at.

        Raises:
            ActRefusedError: if nothing is blocked.
        """
        await self._act(RetryRequest, seen, by=by, why=why)

    async def abort(self, *, by: str, why: str, seen: SagaView | None = None) -> None:
        """Give the instance up before its pivot, and compensate; `seen` is the view that was looked at.

        Raises:
            ActRefusedError: if the pivot has registered, or backward recovery has begun.
        """
        await self._act(Abort, seen, by=by, why=why)

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

    def _call(self, step: Step[Any, Any] | Nested[Any, Any], call: int, within: str) -> tuple[str, RoleDefinition]:
        """Return the name of a call and the action of its step, in a nested saga's where `within` says so."""
        name = self._declared(step, Step).name
        full = f"{self._children(within)}/{name}" if within else name
        return call_name(full, self._number(call)), self._definition.step(full).action

    async def _act(self, kind: type[Any], seen: SagaView | None, **fields: object) -> None:  # one of the requests
        if seen is not None and seen.id != self.id:
            raise self._refused(f"seen is a view of {seen.id}; give the view of this instance, or none")
        await self._send(kind, seen=None if seen is None else seen.facts, **fields)

    async def _send(self, kind: type[Any], **fields: object) -> None:  # one of the requests
        try:
            request = kind(**fields)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise self._refused(f"{first['loc'][0] if first['loc'] else 'request'}: {first['msg']}") from None
        await self._journals.send(self.id, request)

    # -- what a caller may get wrong ---------------------------------------------------------

    @property
    def _what(self) -> str:
        return f"{self._definition.saga} {self.id}"

    def _refused(self, text: str) -> InvalidRequestError:
        return InvalidRequestError(f"{self._what}: {text}; nothing was sent")

    def _encoded(self, codec: Codec, value: object, what: str) -> str:
        try:
            return codec.encode(value)
        except InvalidRequestError as error:
            msg = f"{self._what}: {what} was refused and nothing was sent; {error}"
            raise InvalidRequestError(msg) from None

    def _declared(self, one: Declaration, kind: type[Declared]) -> Declaration:
        # Callers without a type checker give the name of a call, as it stands on the page of a STUCK instance.
        if not isinstance(one, kind):
            text = f"give the {kind.__name__.lower()} as declared, such as MoneyTransfer.debit, and its call="
            raise self._refused(f"{text}, not {one!r}")
        return one

    def _children(self, within: str) -> str:
        if not all(split_call(part)[1] for part in within.split("/")):
            raise self._refused(f"within names calls of nested sagas, such as pay.1; {within!r} is none")
        return within

    def _number(self, call: object) -> int:
        if isinstance(call, bool) or not isinstance(call, int) or call < 1:
            raise self._refused(f"call counts the uses of a step in run from 1; {call!r} is none")
        return call


def _taken(view: SagaView, call: str, payload: str, by: str) -> DecisionView:
    """Return the decision if this answer is the one that counts."""
    known = next((one for one in view.decisions if one.call == call), None)
    if known is not None and (known.answer, known.by) == (payload, by):
        return known
    if known is not None and known.answer is not None:
        text = f"{known.by} answered it already"
    else:
        text = "its time was up" if known is not None and known.timed_out else "the saga compensates"
    msg = f"{view.saga} {view.id} is {view.state}: the answer to {call} is journaled and ignored, {text}"
    raise ActRefusedError(msg)
