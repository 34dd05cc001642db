"""The runtime of one instance on Temporal: activities, timers and children of its workflow.

Nothing is written by it: what it schedules becomes durable when the server takes the workflow task, together with
what was acknowledged meanwhile. So `flush` has nothing to wait for, and the schedule command is the registration (S1).
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from temporalio import workflow
from temporalio.common import RawValue, RetryPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ActivityError, ApplicationError, ChildWorkflowError, WorkflowAlreadyStartedError
from temporalio.workflow import ActivityCancellationType, ChildWorkflowCancellationType, ParentClosePolicy

from saga.errors import PayloadTooLargeError, SagaError
from saga.kernel import CODE_FAULTS, NOT_STARTED, PARENT_STOPS, CallState, Outcome, Role, SagaState, child_id
from saga.kernel import facts as f

from ._activities import CHILD_RESULT
from ._marks import Asked
from ._nested import child_done, request_of
from ._outcomes import answered, child_failed, given_up
from ._payloads import to_raw
from ._telling import Telling

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from saga.kernel import Call, Conductor, Fact, Failure, Policy

__all__ = ("BrokenCodeError", "TemporalRuntime")

_HEARTBEAT: Final = timedelta(seconds=15)
"""Without a sign of life for this long an attempt counts as lost; shorter attempts need none."""
_AGES: Final = timedelta(days=3650)
_AT_ONCE: Final = timedelta(milliseconds=1)
_LAST_EVENT: Final = 45_000
_LAST_BYTE: Final = 45 * 1024 * 1024
"""Events and bytes of one history; the server ends a workflow, without a word to it, at 51,200 and 50 MB."""


class BrokenCodeError(SagaError):
    """The code of a saga raised what no saga may raise; the workflow task fails until fixed code is deployed (S3)."""


class TemporalRuntime:
    """What Temporal does for one instance; what the server cannot see rides along with what it is asked for.

    Args:
        queues: Task queues of participants that have one of their own.
        budget: Events of history after which the instance goes on in a new run, carrying its journal;
            None for as many as the server suggests. It may not change while the run is on: a replay has to agree.

    Attributes:
        facts: The journal of this instance, in order.
        conductor: Who is told when a timer fires.
        full: Done once the history is as long as it may grow and nothing is in flight any more.
        telling: What the history does not tell yet.
    """

    def __init__(self, queues: Mapping[str, str], budget: int | None) -> None:
        self.facts: list[Fact] = []
        self.conductor: Conductor | None = None
        self.full: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues = queues
        self._budget = budget
        self._active = 0
        self._waits: dict[datetime, asyncio.Task[None]] = {}
        self._kept: datetime | None = None
        self._stays = False
        self._asking: set[asyncio.Future[None]] = set()
        self.telling = Telling()

    def now(self) -> datetime:
        """Return the time of the workflow task."""
        return workflow.now()

    def record(self, facts: Sequence[Fact]) -> None:
        """Take note of facts."""
        self.facts += facts
        self.telling.take(facts)
        for fact in facts:
            if isinstance(fact, f.SagaStuck):
                self._stuck(fact)
            elif isinstance(fact, (f.RunContinued, f.RecoveryContinued)):
                workflow.upsert_memo({"saga_state": None})

    def _stuck(self, fact: f.SagaStuck) -> None:
        for one in fact.reasons:
            if one.reason in CODE_FAULTS and one.failure is not None:
                raise BrokenCodeError(one.failure.traceback or str(one.failure))
        workflow.upsert_memo({"saga_state": self.telling.tell(to_raw(json.dumps(SagaState.STUCK)))})

    def flush(self) -> asyncio.Future[None]:
        """Be done at once: everything leaves with the workflow task, or nothing does."""
        self._is_full()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    # -- the length of a history -----------------------------------------------------------

    def stay(self) -> None:
        """Go on in this run, however long it grows: no payload holds the journal that the next would need."""
        self._stays, self.full = True, asyncio.get_running_loop().create_future()

    def _is_full(self) -> bool:
        """Tell whether nothing may begin in this run any more; once nothing is in flight, say so.

        Raises:
            PayloadTooLargeError: if this run may not grow on, and no new one can take the journal over.
        """
        info = workflow.info()
        if self._stays:
            if info.get_current_history_length() >= _LAST_EVENT or info.get_current_history_size() >= _LAST_BYTE:
                name = f"{info.workflow_type} {info.workflow_id}"
                text = "its journal is too large for the start of a new run, and this one's history may not grow on"
                raise PayloadTooLargeError(f"{name}: {text}. Compensate it with: saga recover")
            return False
        over = self._budget is not None and info.get_current_history_length() >= self._budget
        long = info.is_continue_as_new_suggested() or over
        if long and self._active == 0 and not self.full.done():
            self.full.set_result(None)
        return long

    # -- calls -----------------------------------------------------------------------------

    async def perform(self, call: Call, failed: Callable[[Failure, bool], None]) -> Outcome:  # noqa: ARG002
        """Perform an activity, or run a nested saga as a child workflow."""
        if self._is_full():  # the next run begins it: a new run drops what is in flight without a word
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:  # not any more
                return Outcome(CallState.REJECTED, workflow.now(), failure=NOT_STARTED, attempts=0)
        self._active += 1
        try:
            return await (self._nest(call) if _is_child(call) else self._act(call))
        finally:
            self._active -= 1

    async def _act(self, call: Call) -> Outcome:
        activity = call.activity.activity
        assert activity is not None  # noqa: S101 - only a nested saga's action has none
        policy = call.activity.policy
        handle: workflow.ActivityHandle[Any] = workflow.start_activity(
            activity.name,
            to_raw(call.input, Asked(run=workflow.info().original_execution_run_id).model_dump()),
            activity_id=call.name,
            summary=_summary(call),
            task_queue=self._queues.get(activity.participant or ""),
            result_type=RawValue,
            start_to_close_timeout=policy.timeout,
            heartbeat_timeout=_HEARTBEAT if policy.timeout > _HEARTBEAT else None,
            retry_policy=_retries(policy),
            cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        try:
            output = await _ended(handle, handle.cancel)
        except ActivityError as error:
            return given_up(error, call, workflow.now(), first_run=workflow.info().original_execution_run_id)
        return answered(output, call, workflow.now())

    async def _nest(self, call: Call) -> Outcome:
        nested = call.step.nested
        assert nested is not None  # noqa: S101 - the caller asked
        child = child_id(call.id, call.call)
        starting = asyncio.ensure_future(
            workflow.start_child_workflow(
                nested.saga,
                request_of(call),
                id=child,
                result_type=RawValue,
                cancellation_type=ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
                parent_close_policy=ParentClosePolicy.ABANDON,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            )
        )
        asked_to_stop = await _stopped_while_starting(starting)
        stop: Callable[[], object] = partial(self._ask_to_stop, child)
        try:
            running: asyncio.Task[RawValue] = starting.result()
            stop = partial(running.cancel, PARENT_STOPS)
        except WorkflowAlreadyStartedError:  # a reset went back to before its start: it runs, or it ran
            running = self._attach(call, child)
        if asked_to_stop:
            stop()
        try:
            output = await _ended(running, stop)
        except (ActivityError, ChildWorkflowError) as error:
            return child_failed(error.cause or error, call, workflow.now())
        return child_done(output, workflow.now())

    def _attach(self, call: Call, child: str) -> workflow.ActivityHandle[Any]:
        return workflow.start_activity(
            CHILD_RESULT,
            child,
            activity_id=call.name,
            result_type=RawValue,
            start_to_close_timeout=_AGES,
            heartbeat_timeout=_HEARTBEAT,
            cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )

    def _ask_to_stop(self, child: str) -> object:
        """Ask a child that this run did not start to stop; who waits for its end goes on waiting."""

        async def ask() -> None:
            with suppress(ApplicationError):  # it has ended
                await workflow.get_external_workflow_handle(child).cancel(reason=PARENT_STOPS)

        asking = asyncio.ensure_future(ask())
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)
        return asking

    # -- timers --------------------------------------------------------------------------

    def keep(self, due: datetime) -> None:
        """Never cancel the timer of this time: it would only be set again."""
        self._kept = due

    def wake_at(self, due: datetime | None) -> None:
        """Set a timer under the name of what it is for, and cancel those that nobody waits for any more."""
        for other in [one for one in self._waits if one not in {due, self._kept}]:
            self._waits.pop(other).cancel()
        if due is not None and due not in self._waits:
            self._waits[due] = asyncio.ensure_future(self._wait(due))

    async def _wait(self, due: datetime) -> None:
        conductor = self.conductor
        first = None if conductor is None else conductor.decider.next_due()
        seconds = (due - workflow.now()).total_seconds()
        if seconds > 0:
            await self._sleep(seconds, to_raw(json.dumps(first[0] if first else "timer")))  # a payload, as any text
        else:  # no timer, and so no event to tell anything by
            await asyncio.sleep(0)
        self._waits.pop(due, None)
        if self.conductor is not None:
            self.conductor.tick()

    async def _sleep(self, seconds: float, name: RawValue) -> None:
        summary: Any = self.telling.tell(name)
        since = workflow.info().get_current_history_length()
        try:
            await workflow.sleep(seconds, summary=summary)
        except asyncio.CancelledError:
            self.telling.taken_back(summary, since)
            raise


async def _ended(running: asyncio.Task[RawValue], stop: Callable[[], object]) -> RawValue:
    """Wait for an activity or a child; to be asked to stop is passed on, and its end is awaited all the same."""
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError:
            stop()
    return running.result()


async def _stopped_while_starting(starting: asyncio.Task[Any]) -> bool:
    """Wait until a child runs, or cannot; tell whether it was asked to stop meanwhile.

    It is asked only once it runs: a start that is cancelled says neither whether it runs nor how it ends.
    """
    stopped = False
    while not starting.done():
        try:
            await asyncio.wait([starting])
        except asyncio.CancelledError:
            stopped = True
    return stopped


def _is_child(call: Call) -> bool:
    return call.step.nested is not None and call.role is Role.ACTION


def _summary(call: Call) -> str | None:
    return None if call.role is Role.ACTION else call.role.value


def _retries(policy: Policy) -> RetryPolicy:
    retry = policy.retry
    first = max(retry.first, _AT_ONCE)
    return RetryPolicy(
        initial_interval=first,
        backoff_coefficient=retry.factor,
        maximum_interval=max(retry.cap, first),
        maximum_attempts=retry.attempts or 0,
    )
