"""Changed code and old histories: what does not fit is found before Temporal's core finds it, and explained.

Core compares the commands of a replay with the events of the history, and says of a difference that there is one.
So this looks first: where the code is not that which started an instance, the history is fetched, and each replayed
workflow task is compared with what the same task asked for when it was recorded. Nothing else is refused: a step that
was added where the instance has not come yet, say, is no difference (S15).
"""

from __future__ import annotations

import asyncio
from concurrent.futures import TimeoutError as Overdue
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, WorkflowInstance
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from saga.errors import ReplayMismatchError, SagaError

from ._asked import asked_by, tasks_in
from ._definitions import difference, remembered_in
from ._workflow import SagaWorkflow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from temporalio.api.history.v1 import HistoryEvent
    from temporalio.bridge.proto.workflow_activation import WorkflowActivation
    from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
    from temporalio.client import Client, WorkflowHistory
    from temporalio.worker import WorkflowInstanceDetails, WorkflowReplayResult, WorkflowRunner

    from ._asked import Tasks

__all__ = ("Changed", "ComparingRunner", "ComparingSandbox", "HistoryMismatchError", "comparing")

_ANSWERS_WITHIN: Final = 1.5
"""Seconds that the server may take to tell a history; a workflow task counts as hanging after two."""


_NO_TASK: Final = frozenset({"query_workflow", "remove_from_cache"})


class HistoryMismatchError(ReplayMismatchError):
    """Changed code does not fit a history that older code wrote; the first difference is shown."""

    def __init__(self, *, saga: str, id: str, event: int, recorded: str, replayed: str, changed: str) -> None:
        self.saga = saga
        self.id = id
        self.recorded = recorded
        self.replayed = replayed
        lines = [
            f"{saga} {id}: the code does not fit the history at event {event}.",
            f"  the history holds  {recorded}",
            f"  the code does      {replayed}",
        ]
        if changed:
            lines.append(f"Since it was started, {changed}.")
        lines.append(
            "Deploy code that still makes the recorded calls in their order, and the instance goes on by itself;"
            f" or compensate it with: saga recover {id}"
        )
        SagaError.__init__(self, "\n".join(lines))


@dataclass(frozen=True, slots=True)
class Changed:
    """Where the histories come from that changed code is compared with.

    Attributes:
        client: The client of a worker; None for a replayer.
        histories: Events by run, for a replayer.
        found: What did not fit, by run.
    """

    client: Client | None = None
    histories: dict[str, Sequence[HistoryEvent]] = field(default_factory=dict[str, "Sequence[HistoryEvent]"])
    found: dict[str, HistoryMismatchError] = field(default_factory=dict[str, HistoryMismatchError])

    async def events(self, id: str, run: str) -> Sequence[HistoryEvent]:
        """Return the events of a run; none if they are not to be had."""
        if self.client is None:
            return self.histories.get(run, ())
        try:
            return (await self.client.get_workflow_handle(id, run_id=run).fetch_history()).events
        except RPCError:
            return ()

    async def noting(self, histories: AsyncIterator[WorkflowHistory]) -> AsyncIterator[WorkflowHistory]:
        """Yield the histories that are replayed, and keep each while it is."""
        async for history in histories:
            self.histories[history.run_id] = history.events
            yield history
            self.histories.pop(history.run_id, None)

    async def explaining(self, results: AsyncIterator[WorkflowReplayResult]) -> AsyncIterator[WorkflowReplayResult]:
        """Yield results; where the code did not fit, the failure says why."""
        async for result in results:
            error = self.found.pop(result.history.run_id, None)
            yield result if error is None else replace(result, replay_failure=error)


@dataclass(frozen=True)
class ComparingSandbox(SandboxedWorkflowRunner):
    """The sandbox, for workers that may have other code than the one that started an instance."""

    changed: Changed = field(default_factory=Changed)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """Make an instance whose replay is compared, if it is a saga's."""
        return _compared(super().create_instance(det), det, self.changed)


class ComparingRunner(UnsandboxedWorkflowRunner):
    """No sandbox, likewise."""

    def __init__(self, changed: Changed) -> None:
        self.changed = changed

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """Make an instance whose replay is compared, if it is a saga's."""
        return _compared(super().create_instance(det), det, self.changed)


def comparing(runner: WorkflowRunner, changed: Changed) -> WorkflowRunner:
    """Return a runner that does as this one, and compares; one of another make stays as it is."""
    if isinstance(runner, SandboxedWorkflowRunner):
        return ComparingSandbox(runner.restrictions, runner.runner_class, changed=changed)
    return ComparingRunner(changed) if type(runner) is UnsandboxedWorkflowRunner else runner


def _compared(instance: WorkflowInstance, det: WorkflowInstanceDetails, changed: Changed) -> WorkflowInstance:
    cls = det.defn.cls
    if not issubclass(cls, SagaWorkflow):
        return instance
    known, today = remembered_in(det.info.raw_memo), cls.remembers[cls.definition.saga]
    if known is not None and known.code and (known.code, known.fingerprint) == (today.code, today.fingerprint):
        return instance
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # the worker only looks whether the workflow can be made
        return instance
    return _Compared(instance, det, changed, loop, difference(known.steps, today.steps) if known else "")


class _Compared(WorkflowInstance):
    """An instance whose replayed tasks are compared with what its history holds."""

    def __init__(
        self,
        inner: WorkflowInstance,
        det: WorkflowInstanceDetails,
        changed: Changed,
        loop: asyncio.AbstractEventLoop,
        difference: str,
    ) -> None:
        self._inner = inner
        self._info = det.info
        self._changed = changed
        self._loop = loop
        self._difference = difference
        self._tasks: Tasks | None = None

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        """Activate it, and fail the task if the code asks for something else than it did."""
        completion = self._inner.activate(act)
        # A query of an instance that a worker still has comes as a replay, too, of no task.
        replayed = act.is_replaying and any(job.WhichOneof("variant") not in _NO_TASK for job in act.jobs)
        if replayed and completion.HasField("successful"):
            error = self._compare(act.history_length, completion)
            if error is not None:
                self._changed.found[self._info.run_id] = error
                completion.failed.failure.message = str(error)
                completion.failed.failure.application_failure_info.type = "ReplayMismatchError"
                completion.failed.force_cause = (
                    WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR
                )
        return completion

    def _compare(self, task: int, completion: WorkflowActivationCompletion) -> HistoryMismatchError | None:
        recorded = self._recorded().pop(task, None)
        made = asked_by(completion, self._info.workflow_id)
        if recorded is None or made is None:
            return None
        for number in range(max(len(recorded), len(made))):
            old = recorded[number] if number < len(recorded) else None
            new = made[number] if number < len(made) else None
            if old is None or new is None or not old.fits(new):
                return HistoryMismatchError(
                    saga=self._info.workflow_type,
                    id=self._info.workflow_id,
                    event=old.event if old is not None else task,
                    recorded=str(old or "nothing more in this workflow task"),
                    replayed=str(new or "nothing more in this workflow task"),
                    changed=self._difference,
                )
        return None

    def _recorded(self) -> Tasks:
        if self._tasks is None:
            events = self._changed.events(self._info.workflow_id, self._info.run_id)
            try:
                found = asyncio.run_coroutine_threadsafe(events, self._loop).result(_ANSWERS_WITHIN)
            except Overdue:
                found = ()
            self._tasks = tasks_in(found, self._info.workflow_id)
        return self._tasks

    # -- everything else is the instance's own -------------------------------------------

    def get_serialization_context(self, command_info: Any) -> Any:  # types that Temporal keeps to itself
        """See the base class."""
        return self._inner.get_serialization_context(command_info)

    def get_external_store_context(self, command_info: Any) -> Any:  # likewise
        """See the base class."""
        return self._inner.get_external_store_context(command_info)

    def get_info(self) -> Any:  # likewise
        """See the base class."""
        return self._inner.get_info()

    def get_thread_id(self) -> int | None:
        """See the base class."""
        return self._inner.get_thread_id()
