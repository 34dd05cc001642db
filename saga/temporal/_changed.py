"""Changed code and old histories: what does not fit is found before Temporal's core finds it, and explained.

Core compares the commands of a replay with the events of the history, and says of a difference that there is one.
So this looks first: where the code is not that which started an instance, the history is fetched, and each replayed
workflow task is compared with what the same task asked for when it was recorded. Nothing else is refused: a step that
was added where the instance has not come yet, say, is no difference (S15).
"""

from __future__ import annotations

import asyncio
from concurrent.futures import CancelledError as Cancelled
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Overdue
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final

from temporalio.api.enums.v1 import WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent
from temporalio.worker import UnsandboxedWorkflowRunner, WorkflowInstance
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from saga.errors import ReplayMismatchError, SagaError

from ._asked import asked_by, kinds_by, kinds_in, misfit, tasks_in
from ._definitions import difference, remembered_in
from ._events import decrypted
from ._workflow import SagaWorkflow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from temporalio.bridge.proto.workflow_activation import WorkflowActivation
    from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
    from temporalio.client import Client, WorkflowHistory
    from temporalio.converter import PayloadCodec
    from temporalio.worker import WorkflowInstanceDetails, WorkflowReplayResult, WorkflowRunner

    from saga.kernel import Definition

    from ._asked import Kinds, Tasks

__all__ = ("Changed", "ComparingRunner", "ComparingSandbox", "HistoryMismatchError", "HistoryUnreadError", "comparing")

_ANSWERS_WITHIN: Final = 1.5
"""Seconds that the server may take to tell a history; a workflow task counts as hanging after two."""
_FETCHED_WITHIN: Final = 30.0
"""Seconds that it may take altogether."""
_KEPT_FOR: Final = 60.0
"""Seconds after which a history that no task asked for again is forgotten."""
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


class HistoryUnreadError(SagaError):
    """A history could not be read in time, so nobody knows whether changed code fits it."""


@dataclass(frozen=True, slots=True)
class Changed:
    """Where the histories come from that changed code is compared with.

    Attributes:
        client: The client of a worker; None for a replayer.
        codec: The replayer's codec, if it has one; a worker's client knows its own.
        histories: Events by run, for a replayer.
        found: What did not fit, by run, for a replayer; a worker tells it as the failure of its task.
        fetches: Histories that took longer than a task can wait for; the next attempt of the task finds them here.
    """

    client: Client | None = None
    codec: PayloadCodec | None = None
    histories: dict[str, Sequence[HistoryEvent]] = field(default_factory=dict[str, "Sequence[HistoryEvent]"])
    found: dict[str, HistoryMismatchError] = field(default_factory=dict[str, HistoryMismatchError])
    fetches: dict[str, Future[Sequence[HistoryEvent]]] = field(
        default_factory=dict[str, "Future[Sequence[HistoryEvent]]"]
    )

    async def events(self, id: str, run: str) -> Sequence[HistoryEvent]:
        """Return the events of a run, with payloads as they were before a codec; none if a replayer has none."""
        if self.client is None:
            known = self.histories.get(run, ())
            copied = [HistoryEvent.FromString(one.SerializeToString()) for one in known] if self.codec else known
            return await decrypted(copied, self.codec)
        history = await self.client.get_workflow_handle(id, run_id=run).fetch_history()
        return await decrypted(history.events, self.client.data_converter.payload_codec)

    def told(self, id: str, run: str, loop: asyncio.AbstractEventLoop) -> Sequence[HistoryEvent]:
        """Return the events of a run, to the thread of a workflow.

        Raises:
            HistoryUnreadError: if they are not to be had in time. Core compares no inputs, so nothing may go on.
        """
        fetch = self.fetches.pop(run, None) or self._fetch(id, run, loop)
        try:
            return fetch.result(_ANSWERS_WITHIN)
        except Overdue:
            self.fetches[run] = fetch
            why = f"it took longer than {_ANSWERS_WITHIN} seconds"
        except (Exception, Cancelled) as error:  # noqa: BLE001 - a codec's, too; its text may hold what it decodes
            why = type(error).__name__
        msg = f"{id}: its history could not be read ({why}), and so not whether changed code fits it; it is tried again"
        raise HistoryUnreadError(msg)

    def _fetch(self, id: str, run: str, loop: asyncio.AbstractEventLoop) -> Future[Sequence[HistoryEvent]]:
        fetching = self._fetching(id, run)
        try:
            return asyncio.run_coroutine_threadsafe(fetching, loop)
        except RuntimeError as error:  # the loop closes, and with it the worker
            fetching.close()
            failed: Future[Sequence[HistoryEvent]] = Future()
            failed.set_exception(error)
            return failed

    async def _fetching(self, id: str, run: str) -> Sequence[HistoryEvent]:
        asyncio.get_running_loop().call_later(_KEPT_FOR, self.fetches.pop, run, None)
        async with asyncio.timeout(_FETCHED_WITHIN):
            return await self.events(id, run)

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
    why = difference(known.steps, today.steps) if known else ""
    return _Compared(instance, det, changed, loop=loop, definition=cls.definition, difference=why)


def _fail(completion: WorkflowActivationCompletion, error: SagaError) -> None:
    completion.failed.failure.message = str(error)
    known = "ReplayMismatchError" if isinstance(error, ReplayMismatchError) else "ServerError"
    completion.failed.failure.application_failure_info.type = known


class _Compared(WorkflowInstance):
    """An instance whose replayed tasks are compared with what its history holds."""

    def __init__(
        self,
        inner: WorkflowInstance,
        det: WorkflowInstanceDetails,
        changed: Changed,
        *,
        loop: asyncio.AbstractEventLoop,
        definition: Definition,
        difference: str,
    ) -> None:
        self._inner = inner
        self._info = det.info
        self._changed = changed
        self._loop = loop
        self._definition = definition
        self._difference = difference
        self._recorded: tuple[Tasks, Kinds] | None = None
        self._registered: Kinds = {}

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        """Activate it, and fail the task if the code asks for something else than it did."""
        completion = self._inner.activate(act)
        # A query of an instance that a worker still has comes as a replay, too, of no task.
        replayed = act.is_replaying and any(job.WhichOneof("variant") not in _NO_TASK for job in act.jobs)
        if replayed and completion.HasField("successful"):
            try:
                self._compare(act.history_length, completion)
            except HistoryMismatchError as error:
                if self._changed.client is None:
                    self._changed.found[self._info.run_id] = error
                _fail(completion, error)
                completion.failed.force_cause = (
                    WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR
                )
            except HistoryUnreadError as error:
                _fail(completion, error)
        return completion

    def _compare(self, task: int, completion: WorkflowActivationCompletion) -> None:
        if self._recorded is None:
            events = self._changed.told(self._info.workflow_id, self._info.run_id, self._loop)
            self._recorded = tasks_in(events, self._info.workflow_id), kinds_in(events)
        tasks, kinds = self._recorded
        self._registered |= kinds_by(completion)
        made, recorded = asked_by(completion, self._info.workflow_id), tasks.pop(task, None)
        for old, new in zip_longest(recorded, made) if recorded is not None and made is not None else ():
            differs = misfit(old, new, self._definition, (kinds, self._registered))
            if differs is not None:
                raise HistoryMismatchError(
                    saga=self._info.workflow_type,
                    id=self._info.workflow_id,
                    event=old.event if old is not None else task,
                    recorded=differs[0],
                    replayed=differs[1],
                    changed=self._difference,
                )

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
