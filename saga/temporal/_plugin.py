"""The plugin that teaches an ordinary Temporal client and worker to run sagas."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from temporalio.contrib.pydantic import PydanticPayloadConverter, pydantic_data_converter
from temporalio.converter import DataConverter, DefaultPayloadConverter
from temporalio.plugin import SimplePlugin
from temporalio.worker import WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from saga.kernel import definitions_of

from ._activities import activities_of
from ._workflow import workflow_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence

    from saga.kernel import Runs

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
            activities=None if participants is None else activities_of(definitions, participants, pool),
            workflows=[workflow_of(one, task_queues, history_budget) for one in definitions.values()],
            workflow_runner=lambda runner: _passing(runner, modules),
            run_context=running,
        )


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
