"""How a saga class becomes a workflow class: one per saga, made at run time, driven by the kernel's conductor."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias, cast

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from saga.errors import InvalidRequestError, SagaError
from saga.kernel import (
    Abort,
    Cancel,
    Conductor,
    Decide,
    Decider,
    Resolve,
    RetryRequest,
    SagaState,
    Skip,
    admit,
    first_fact,
    resume,
    view_of,
)

from . import _classes
from ._carried import LARGEST_PART, carried_by, carrying, fits
from ._definitions import KEY, Remembered, check_kernel, remembered
from ._endings import failure_of
from ._nested import budget_of, cancellation, result_of, start_of
from ._payloads import facts_out, text_of, to_raw
from ._runtime import TemporalRuntime
from ._telling import CANCEL, DECIDE

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Mapping
    from contextlib import AbstractContextManager

    from saga.kernel import Definition, Request

__all__ = ("SagaWorkflow", "workflow_of")


_NO_LIMIT: Final = timedelta(days=3650)
"""What the time-skipping server gives a workflow that was started without a limit."""


class SagaWorkflow:
    """One instance of a saga on Temporal; `workflow_of` derives a class of it for every saga class."""

    definition: ClassVar[Definition]
    queues: ClassVar[Mapping[str, str]] = {}
    budget: ClassVar[int] = 10_000
    remembers: ClassVar[Mapping[str, Remembered]] = {}

    def __init__(self, *requests: object) -> None:
        self._start, text = start_of(requests)
        budget = budget_of(self._start, workflow.info().raw_memo.get(KEY), self.budget)
        self._runtime = TemporalRuntime(self.queues, budget)
        self.telling = self._runtime.telling
        self._fault: SagaError | None = None
        try:
            self._take_up(requests, text)
        except SagaError as error:  # raised by `conduct`: the SDK leaves a coroutine behind if this raises
            self._fault = error
            self._take_on(Decider(self.definition))

    def _take_up(self, requests: Sequence[object], text: str) -> None:
        """Begin, or go on where the journal ends that this run was started with."""
        check_kernel(workflow.info())
        if self._start.carried and isinstance(requests[0], RawValue):
            self._runtime.facts += carried_by(requests[0])
            self._take_on(resume(self.definition, self._runtime.facts, payload_limit=LARGEST_PART))
        else:
            self._take_on(Decider(self.definition, payload_limit=LARGEST_PART))
            self._begin(text)
        if self._decider.instance.deadline is not None:
            self._runtime.keep(self._decider.instance.deadline)

    def _begin(self, request: str) -> None:
        info, start = workflow.info(), self._start
        self._conductor.start(
            first_fact(
                self.definition,
                info.workflow_id,
                request,
                at=info.workflow_start_time,
                parent=start.parent,
                handed_over=start.handed_over,
            )
        )

    def _take_on(self, decider: Decider) -> None:
        self._decider = decider
        self._conductor = Conductor(decider, self._runtime)
        self._runtime.conductor = self._conductor

    async def conduct(self) -> RawValue:
        """Drive the instance to its end, or to the end of this run."""
        _refuse_time_limits()
        if self._fault is not None:
            raise self._fault
        while True:
            driving = asyncio.create_task(self._drive())
            await self._until_done(asyncio.wait([driving, self._runtime.full], return_when=asyncio.FIRST_COMPLETED))
            await self._until_done(workflow.wait_condition(workflow.all_handlers_finished))
            if driving.done():
                driving.result()
                return self._ending()
            carried = carrying(self._runtime.facts, self._start.model_copy(update={"budget": self.budget}))
            if fits(carried):
                workflow.continue_as_new(carried)
            driving.cancel()
            await self._until_done(asyncio.wait([driving]))
            self._runtime.stay()
            self._take_on(resume(self.definition, self._runtime.facts, payload_limit=LARGEST_PART))

    async def _until_done(self, waiting: Coroutine[Any, Any, object]) -> None:
        """Wait, and take a cancellation of the workflow as what it is: a request to stop and compensate."""
        task = asyncio.ensure_future(waiting)
        while not task.done():
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError:
                self._cancelled()

    async def _drive(self) -> None:
        while True:
            await self._conductor.conduct()
            if self._decider.instance.ended:
                return
            self._take_on(resume(self.definition, self._runtime.facts, payload_limit=LARGEST_PART))

    def _cancelled(self) -> None:
        reason = workflow.cancellation_reason() or ""
        if not self._decider.instance.ended:
            with self.telling.by(CANCEL):
                _ = self._conductor.request(cancellation(reason, self._start.parent))

    def _ending(self) -> RawValue:
        instance = self._decider.instance
        if instance.state is SagaState.COMPLETED:
            return self.telling.tell_at_the_end(result_of(instance, self.definition))
        failure = failure_of(instance, self._runtime.facts)
        first, *others = failure.details
        told = self.telling.tell(to_raw(json.dumps(first)))
        raise ApplicationError(failure.message, told, *others, type=failure.type, non_retryable=True)

    # -- what may be asked of it ---------------------------------------------------------

    def check(self, request: Request) -> None:
        """Refuse what makes no sense now, before anything of it is in the history."""
        try:
            admit(self._decider, request, workflow.now())
        except SagaError as error:
            raise ApplicationError(str(error), type=type(error).__name__, non_retryable=True) from None

    async def ask(self, request: Request, told: AbstractContextManager[None]) -> None:
        """Take a request that was checked, and that an event of its own tells in part or all of it."""
        try:
            with told:
                taken = self._conductor.request(request)
            await taken
        except SagaError as error:
            raise ApplicationError(str(error), type=type(error).__name__, non_retryable=True) from None

    @workflow.query(name="view", description="The instance: its state, its calls, and what it waits for.")
    def view(self) -> RawValue:
        """Return the view as JSON."""
        return to_raw(view_of(self._decider.instance).model_dump_json())

    @workflow.query(name="journal", description="Every fact so far: body and payload of each.")
    def journal(self) -> RawValue:
        """Return the journal as JSON."""
        return to_raw(json.dumps(facts_out(self._runtime.facts)))


def _refuse_time_limits() -> None:
    """A time limit of the server would end the recovery too, without a word (S11)."""
    info = workflow.info()
    if any(limit and limit < _NO_LIMIT for limit in (info.execution_timeout, info.run_timeout)):
        text = "a saga takes no execution or run timeout: it would cut the recovery short; declare `deadline` instead"
        raise ApplicationError(
            f"{info.workflow_type} {info.workflow_id}: {text}", type="ServerError", non_retryable=True
        )


Kind: TypeAlias = type[Any]  # one of the requests

_UPDATES: Mapping[str, tuple[Kind, str]] = {
    "cancel": (Cancel, "Stop and compensate, if the pivot has not registered."),
    "decide": (Decide, "Answer a decision."),
    "retry": (RetryRequest, "Let everything that is blocked be tried again."),
    "resolve": (Resolve, "Say what became of a call that is in doubt."),
    "skip": (Skip, "Say that a compensation or confirmation was done by hand."),
    "abort": (Abort, "Give the instance up before its pivot, and compensate."),
}


def _parsed(kind: Kind, inputs: Sequence[object]) -> Any:  # a request
    try:
        if len(inputs) == 1 and isinstance(inputs[0], RawValue):
            return kind.model_validate_json(text_of(inputs[0]) or "null")
        msg = f"{len(inputs)} inputs; it takes one, the request as JSON"
        raise InvalidRequestError(msg)
    except (ValueError, SagaError) as error:
        raise ApplicationError(str(error), type="InvalidRequestError", non_retryable=True) from None


def _update(name: str, kind: Kind, description: str) -> Any:  # what `workflow.update` makes
    async def take(self: SagaWorkflow, request: RawValue) -> RawValue:
        asked, update = _parsed(kind, [request]), workflow.current_update_info()
        payload: str | None = getattr(asked, "payload", None)
        await self.ask(asked, self.telling.asked_by(update.id if update else "", payload))
        return self.telling.tell(to_raw("null"))

    def check(self: SagaWorkflow, *requests: object) -> None:
        self.check(_parsed(kind, requests))

    take.__annotations__ = {"request": RawValue, "return": RawValue}
    check.__signature__ = inspect.signature(take)  # type: ignore[attr-defined]  # any other input comes all the same
    update = workflow.update(name=name, description=description)(take)
    update.validator(cast("Any", check))
    return update


async def _signalled(self: SagaWorkflow, name: str, requests: Sequence[RawValue]) -> None:
    """Take whatever comes as a signal: declared by its name, it would fail the task where its input does not fit."""
    if name != DECIDE.removeprefix("!"):
        workflow.logger.warning("a signal %r was ignored: sagas take `decide`", name)
        return
    try:
        decision = _parsed(Decide, requests)
        self.check(decision)
        await self.ask(decision, self.telling.by(DECIDE))
    except ApplicationError as error:  # a signal has nobody to tell
        self.telling.refused()
        workflow.logger.warning("a signalled decision was refused: %s", error.message)


_signalled.__annotations__ = {"name": str, "requests": Sequence[RawValue], "return": type(None)}
SagaWorkflow.signalled = workflow.signal(dynamic=True)(_signalled)  # type: ignore[attr-defined]

for _name, (_kind, _description) in _UPDATES.items():
    setattr(SagaWorkflow, _name, _update(_name, _kind, _description))


def workflow_of(
    definition: Definition, queues: Mapping[str, str] | None = None, budget: int = SagaWorkflow.budget
) -> type[SagaWorkflow]:
    """Return the workflow class of a saga class; its type on the server is the saga's name."""

    async def run(self: SagaWorkflow, *requests: object) -> RawValue:  # noqa: ARG001
        return await self.conduct()

    def init(self: SagaWorkflow, *requests: object) -> None:
        SagaWorkflow.__init__(self, *requests)

    name = f"{definition.saga}_{len(vars(_classes))}"
    run.__signature__ = init.__signature__ = inspect.signature(_declared)  # type: ignore[attr-defined]
    run.__annotations__, init.__annotations__ = _declared.__annotations__, {**_declared.__annotations__, "return": None}
    run.__module__, run.__qualname__, run.__doc__ = _classes.__name__, f"{name}.run", definition.cls.__doc__
    init.__name__, init.__qualname__ = "__init__", f"{name}.__init__"
    members = {
        "__module__": _classes.__name__,
        "__qualname__": name,
        "__doc__": definition.cls.__doc__,
        "__init__": workflow.init(init),
        "run": workflow.run(run),
        "definition": definition,
        "queues": dict(queues or {}),
        "budget": budget,
        "remembers": {one.saga: remembered(one) for one in _with_children(definition)},
    }
    made = type(name, (SagaWorkflow,), members)
    setattr(_classes, name, made)
    return workflow.defn(name=definition.saga)(made)


def _declared(self: Any, request: Any = None) -> Any:  # what a start looks like; any other input comes all the same
    raise NotImplementedError


_declared.__annotations__ = {"request": RawValue, "return": RawValue}


def _with_children(definition: Definition) -> Iterator[Definition]:
    yield definition
    yield from (step.nested for step in definition.steps.values() if step.nested is not None)
