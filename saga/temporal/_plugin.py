"""The plugin that teaches an ordinary Temporal client and worker to run sagas."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from temporalio.contrib.pydantic import PydanticPayloadConverter, pydantic_data_converter
from temporalio.converter import DataConverter, DefaultPayloadConverter, PayloadCodec
from temporalio.plugin import SimplePlugin
from temporalio.worker import WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from saga.kernel import definitions_of

from ._activities import activities_of
from ._changed import Changed, ComparingRunner, ComparingSandbox, comparing
from ._telling import TellingInterceptor
from ._workflow import workflow_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from typing import TypeAlias

    from temporalio.client import WorkflowHistory
    from temporalio.worker import Replayer, ReplayerConfig, WorkerConfig, WorkflowReplayResult

    from saga.kernel import Runs

    Next: TypeAlias = Callable[
        [Replayer, AsyncIterator[WorkflowHistory]], AbstractAsyncContextManager[AsyncIterator[WorkflowReplayResult]]
    ]

__all__ = ("SagaPlugin",)


class SagaPlugin(SimplePlugin):
    """Lets a Temporal client and worker run sagas beside whatever else they run."""

    def __init__(
        self,
        *,
        sagas: Sequence[type[Runs[Any, Any]]] = (),
        participants: Mapping[str, object] | None = None,
        task_queues: Mapping[str, str] | None = None,
        passthrough: Sequence[str] = (),
        threads: int = 32,
        history_budget: int = 10_000,
    ) -> None:
        definitions = definitions_of(sagas)
        modules = {one.cls.__module__.partition(".")[0] for one in definitions.values()} | set(passthrough)
        pool = ThreadPoolExecutor(threads, thread_name_prefix="saga-activity")

        @asynccontextmanager
        async def running() -> AsyncGenerator[None]:
            try:
                yield
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

        super().__init__(  # pyright: ignore[reportUnknownMemberType]
            "saga.SagaPlugin",
            data_converter=_converter,
            interceptors=[TellingInterceptor()],
            activities=None if participants is None else activities_of(definitions, participants, pool),
            workflows=[workflow_of(one, task_queues, history_budget) for one in definitions.values()],
            workflow_runner=lambda runner: _passing(runner, modules),
            run_context=running,
        )

    def configure_worker(self, config: WorkerConfig) -> WorkerConfig:
        """Let the worker explain where its code does not fit a history."""
        configured: dict[str, Any] = {**super().configure_worker(config)}
        configured["workflow_runner"] = comparing(configured["workflow_runner"], Changed(configured["client"]))
        return cast("WorkerConfig", configured)

    def configure_replayer(self, config: ReplayerConfig) -> ReplayerConfig:
        """Let the replayer do so too."""
        configured: dict[str, Any] = {**super().configure_replayer(config)}
        configured["workflow_runner"] = comparing(configured["workflow_runner"], Changed(codec=_codec_of(configured)))
        return cast("ReplayerConfig", configured)

    @asynccontextmanager
    async def run_replayer(
        self, replayer: Replayer, histories: AsyncIterator[WorkflowHistory], next: Next
    ) -> AsyncGenerator[AsyncIterator[WorkflowReplayResult]]:
        """Replay; a failure that is a difference of the code is told as one."""
        runner: Any = replayer.config(active_config=True).get("workflow_runner")
        changed = runner.changed if isinstance(runner, (ComparingRunner, ComparingSandbox)) else Changed()
        async with super().run_replayer(replayer, changed.noting(histories), next) as results:
            yield changed.explaining(results)


def _codec_of(configured: Mapping[str, Any]) -> PayloadCodec | None:
    converter = configured.get("data_converter")
    return converter.payload_codec if isinstance(converter, DataConverter) else None


def _converter(known: DataConverter | None) -> DataConverter:
    if known is None:
        return pydantic_data_converter
    if known.payload_converter_class is not DefaultPayloadConverter:
        return known  # the user's own; sagas need none
    return dataclasses.replace(known, payload_converter_class=PydanticPayloadConverter)


def _passing(runner: WorkflowRunner | None, modules: Iterable[str]) -> WorkflowRunner:
    if runner is None:
        runner = SandboxedWorkflowRunner()
    if not isinstance(runner, SandboxedWorkflowRunner):
        return runner
    passing = runner.restrictions.with_passthrough_modules("saga", *sorted(modules))
    return dataclasses.replace(runner, restrictions=passing)
