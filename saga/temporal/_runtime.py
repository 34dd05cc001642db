"""The runtime of one instance on Temporal: activities, timers and children of its workflow.

Nothing is written by it: what it schedules becomes durable when the server takes the workflow task, together with
what was acknowledged meanwhile. So `flush` has nothing to wait for, and the schedule command is the registration (S1).
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from temporalio import workflow
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import ActivityError, ChildWorkflowError, WorkflowAlreadyStartedError
from temporalio.workflow import ActivityCancellationType, ChildWorkflowCancellationType, ParentClosePolicy

from saga.kernel import Role, child_id

from ._activities import CHILD_RESULT
from ._nested import PARENT_STOPS, child_done, request_of
from ._outcomes import answered, child_failed, given_up
from ._payloads import to_raw

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from typing import TypeAlias

    from saga.kernel import Call, Conductor, Fact, Failure, Outcome, Policy

    ChildHandle: TypeAlias = workflow.ChildWorkflowHandle[Any, RawValue]

__all__ = ("TemporalRuntime",)

_HEARTBEAT: Final = timedelta(seconds=15)
"""Without a sign of life for this long an attempt counts as lost; shorter attempts need none."""
_AGES: Final = timedelta(days=3650)
_AT_ONCE: Final = timedelta(milliseconds=1)


class TemporalRuntime:
    """What Temporal does for one instance.

    Args:
        queues: Task queues of participants that have one of their own.
        budget: Events of history after which the instance goes on in a new run, carrying its journal.

    Attributes:
        facts: The journal of this instance, in order.
        conductor: Who is told when a timer fires.
        full: Done once the history is as long as it may grow and nothing is in flight any more.
    """

    def __init__(self, queues: Mapping[str, str], budget: int) -> None:
        self.facts: list[Fact] = []
        self.conductor: Conductor | None = None
        self.full: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues = queues
        self._budget = budget
        self._active = 0
        self._timers: dict[datetime, asyncio.TimerHandle] = {}
        self._kept: datetime | None = None

    def now(self) -> datetime:
        """Return the time of the workflow task."""
        return workflow.now()

    def record(self, facts: Sequence[Fact]) -> None:
        """Take note of facts."""
        self.facts += facts

    async def flush(self) -> None:
        """Return at once: everything leaves with the workflow task, or nothing does."""
        self._is_full()

    def _is_full(self) -> bool:
        """Tell whether nothing may begin in this run any more; once nothing is in flight, say so."""
        info = workflow.info()
        long = info.is_continue_as_new_suggested() or info.get_current_history_length() >= self._budget
        if long and self._active == 0 and not self.full.done():
            self.full.set_result(None)
        return long

    async def perform(self, call: Call, failed: Callable[[Failure, bool], None]) -> Outcome:  # noqa: ARG002
        """Perform an activity, or run a nested saga as a child workflow."""
        if self._is_full():  # the next run begins it: a new run drops what is in flight without a word
            await asyncio.get_running_loop().create_future()
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
            to_raw(call.input),
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
            output = await _ended(handle)
        except ActivityError as error:
            return given_up(error, call, workflow.now(), first_run=workflow.info().original_execution_run_id)
        return answered(output, call, workflow.now())

    async def _nest(self, call: Call) -> Outcome:
        nested = call.step.nested
        assert nested is not None  # noqa: S101 - the caller asked
        child = child_id(call.id, call.call)
        starting = workflow.start_child_workflow(
            nested.saga,
            request_of(call),
            id=child,
            result_type=RawValue,
            cancellation_type=ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
            parent_close_policy=ParentClosePolicy.ABANDON,
        )
        try:
            output = await _child_ended(asyncio.ensure_future(starting))
        except WorkflowAlreadyStartedError:  # a reset went back to before its start: it runs, or it ran
            return await self._attach(call, child)
        except ChildWorkflowError as error:
            return child_failed(error.cause or error, call, workflow.now())
        return child_done(output, workflow.now())

    async def _attach(self, call: Call, child: str) -> Outcome:
        handle: workflow.ActivityHandle[Any] = workflow.start_activity(
            CHILD_RESULT,
            child,
            activity_id=call.name,
            result_type=RawValue,
            start_to_close_timeout=_AGES,
            heartbeat_timeout=_HEARTBEAT,
            cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        try:
            output = await _ended(handle)
        except ActivityError as error:
            return child_failed(error.cause or error, call, workflow.now())
        return child_done(output, workflow.now())

    # -- timers --------------------------------------------------------------------------

    def keep(self, due: datetime) -> None:
        """Never cancel the timer of this time: it would only be set again."""
        self._kept = due

    def wake_at(self, due: datetime | None) -> None:
        """Set a timer, and cancel those that nobody waits for any more."""
        for other in [one for one in self._timers if one not in {due, self._kept}]:
            self._timers.pop(other).cancel()
        if due is not None and due not in self._timers:
            delay = max((due - workflow.now()).total_seconds(), 0.0)
            self._timers[due] = asyncio.get_running_loop().call_later(delay, self._fire, due)

    def _fire(self, due: datetime) -> None:
        self._timers.pop(due, None)
        if self.conductor is not None:
            self.conductor.tick()


async def _ended(running: asyncio.Task[RawValue]) -> RawValue:
    """Wait for an activity or a child; to be asked to stop is passed on, and its end is awaited all the same."""
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError:
            running.cancel(PARENT_STOPS)  # for a child the reason that its journal holds
    return running.result()


async def _child_ended(starting: asyncio.Task[ChildHandle]) -> RawValue:
    """Wait for a child that is being started.

    It is asked to stop only once it runs: a start that is cancelled says neither whether it runs nor how it ends.
    """
    asked_to_stop = False
    while not starting.done():
        try:
            await asyncio.wait([starting])
        except asyncio.CancelledError:
            asked_to_stop = True
    child = starting.result()
    if asked_to_stop:
        child.cancel(PARENT_STOPS)
    return await _ended(child)


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
