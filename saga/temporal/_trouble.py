"""Why an instance does not go on: its workflow tasks fail, no worker takes them, or its calls fail and are retried."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import PendingWorkflowTaskState, TaskQueueType, WorkflowTaskFailedCause
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, GetWorkflowExecutionHistoryReverseRequest
from temporalio.client import WorkflowExecutionStatus
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from ._asking import refused

if TYPE_CHECKING:
    from temporalio.client import Client, WorkflowExecutionDescription

__all__ = ("failing", "trouble")

_PATIENCE: Final = timedelta(seconds=3)
"""How long a workflow task may wait for a worker before anybody is told."""
_LOOKS_BACK: Final = 100
"""Events among which the last failure of a workflow task is looked for; most often it is the last but one."""
_SECOND: Final = 2
_LONGEST: Final = 300
"""Characters of a failure that are told."""
_ORDINARY: Final = frozenset({
    WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND,
    WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW,
    WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND,
})  # fmt: skip


async def trouble(client: Client, described: WorkflowExecutionDescription) -> str:
    """Say why a running instance does not go on, and what to do; empty if nothing is known to keep it.

    A call that fails and is tried again is among that; where the server only waits to try it, no fact tells it.

    Raises:
        ServerError: if the server cannot be reached.
    """
    if described.status is not WorkflowExecutionStatus.RUNNING:
        return ""
    name = f"{described.workflow_type} {described.id}"
    found = await _of_tasks(client, described) or await _of_calls(client, described)
    return f"{name}: {found}" if found else ""


async def _of_tasks(client: Client, described: WorkflowExecutionDescription) -> str:
    pending = described.raw_description.pending_workflow_task
    if not pending.attempt:
        return ""
    failure = await failing(client, described)
    if failure:
        text = "its workflow task fails, and is tried again until a worker with other code takes it"
        return f"{text} ({pending.attempt} attempts so far). The failure: {failure}"
    waits = pending.state == PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_SCHEDULED
    since = pending.scheduled_time.ToDatetime(UTC)
    if not waits or datetime.now(UTC) - since < _PATIENCE or await _polled(client, described):
        return ""
    text = f"no worker has polled task queue {described.task_queue!r} since {since:%H:%M:%S} UTC"
    return f"{text}; start one with: saga worker module:Class --task-queue {described.task_queue}"


async def _of_calls(client: Client, described: WorkflowExecutionDescription) -> str:
    """Say which calls have failed, and are tried again: for ever, if they are compensations."""
    found: list[str] = []
    for one in sorted(described.raw_description.pending_activities, key=lambda each: each.activity_id):
        if one.attempt > 1 and one.HasField("last_failure"):
            times = "once" if one.attempt == _SECOND else f"{one.attempt - 1} times"
            error = await client.data_converter.decode_failure(one.last_failure)
            found.append(f"{one.activity_id} has failed {times}, last: {_said(error)}")
    return "; ".join(found)


def _said(error: BaseException) -> str:
    kind = error.type if isinstance(error, ApplicationError) and error.type else type(error).__name__
    text = getattr(error, "message", None) or str(error)
    first = text.partition("\n")[0][:_LONGEST]
    return first if not first or first.startswith(f"{kind}:") else f"{kind}: {first}"


async def failing(client: Client, described: WorkflowExecutionDescription) -> str:
    """Return how the workflow task of a running instance fails again and again; empty if it does not.

    Raises:
        ServerError: if the server cannot be reached.
    """
    if described.raw_description.pending_workflow_task.attempt <= 1:
        return ""
    request = GetWorkflowExecutionHistoryReverseRequest(
        namespace=client.namespace,
        execution=WorkflowExecution(workflow_id=described.id, run_id=described.run_id),
        maximum_page_size=_LOOKS_BACK,
    )
    try:
        answer = await client.workflow_service.get_workflow_execution_history_reverse(request)
    except RPCError as error:
        raise refused(error, described.id) from None
    for event in answer.history.events:
        if event.HasField("workflow_task_failed_event_attributes"):
            failed = event.workflow_task_failed_event_attributes
            if failed.cause in _ORDINARY:
                return ""
            failure = await client.data_converter.decode_failure(failed.failure)
            return str(failure) or WorkflowTaskFailedCause.Name(failed.cause)
        if event.HasField("workflow_task_completed_event_attributes"):
            return ""
    return ""


async def _polled(client: Client, described: WorkflowExecutionDescription) -> bool:
    """Tell whether a worker has polled the task queue within the last minutes."""
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=described.task_queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    )
    try:
        answer = await client.workflow_service.describe_task_queue(request)
    except RPCError as error:
        raise refused(error, described.id) from None
    return bool(answer.pollers)
