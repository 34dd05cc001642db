"""Instances on a Temporal server, looked at and acted on as those of a journal are."""

from __future__ import annotations

import asyncio
import json
import shlex
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeVar

import typer
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client, WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.service import RPCError

from saga.errors import ActRefusedError, SagaError, ServerError, UnknownSagaError
from saga.kernel import Cancel, Decide, Instance, SagaState, view_of
from saga.temporal import TemporalEngine, history_of

from ._connecting import connect

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator, Iterable, Iterator
    from typing import Any, TypeAlias

    from saga.cli._place import Place
    from saga.kernel import Fact, Request, SagaSummary, SagaView

    Facts: TypeAlias = list[Fact]  # inside the class `list` is a method

__all__ = ("Server", "Workflow")

Answer = TypeVar("Answer")

_PATIENCE: Final = 30.0
"""Seconds that the server has for one answer."""
_SOON: Final = 2.0
"""Seconds after which somebody who waits for a worker is told that there is none."""
_POLL: Final = timedelta(seconds=90)
"""A worker that lives polls once in that time: a long poll lasts a minute."""


@dataclass(frozen=True, slots=True)
class Workflow:
    """What the server says of an instance's workflow.

    Attributes:
        status: Such as RUNNING or TERMINATED.
        saga: Name of the saga.
        run_id: Its newest run.
        task_queue: Where its worker looks for it.
        polled: Whether a worker has looked there lately.
        cut_off: Whether somebody ended it from outside: nothing runs it, and nothing was compensated by that.
        trouble: Why it does not go on although it runs; empty if nothing is known to keep it.
    """

    status: str
    saga: str
    run_id: str
    task_queue: str
    polled: bool
    cut_off: bool
    trouble: str = ""


class Server:
    """Looks at instances on a Temporal server and acts on them; all its methods block.

    Get one with `Server.connected`.
    """

    def __init__(self, runner: asyncio.Runner, client: Client, address: str) -> None:
        self._runner = runner
        self._client = client
        self._address = address
        self._engine = TemporalEngine(client, task_queue="")  # it only talks

    @classmethod
    @contextmanager
    def connected(cls, place: Place) -> Generator[Server]:
        """Connect to the server that the options name.

        Raises:
            ServerError: if it cannot be reached.
        """
        with asyncio.Runner() as runner:
            client = runner.run(connect(place))
            yield cls(runner, client, client.service_client.config.target_host)

    def run(self, asking: Coroutine[Any, Any, Answer], *, seconds: float | None = _PATIENCE) -> Answer:
        """Return what the server answers.

        Raises:
            ServerError: if it does not answer, or with an error.
        """
        return self._runner.run(self._in_time(asking, seconds))

    @property
    def client(self) -> Client:
        """The client that is connected."""
        return self._client

    @property
    def address(self) -> str:
        """Where the server is."""
        return self._address

    async def _in_time(self, asking: Coroutine[Any, Any, Answer], seconds: float | None) -> Answer:
        try:
            async with asyncio.timeout(seconds):
                return await asking
        except TimeoutError:
            raise ServerError(f"the server at {self._address} did not answer within {seconds:g} s") from None
        except RPCError as error:
            raise ServerError(f"the server at {self._address} answered {error.status.name}: {error.message}") from None

    # -- looking -------------------------------------------------------------------------

    def list(
        self,
        *,
        saga: str | None = None,
        states: Iterable[SagaState] = (),
        id_prefix: str = "",
        started_after: datetime | None = None,
        started_before: datetime | None = None,
        limit: int | None = None,
    ) -> Iterator[SagaSummary]:
        """Yield instances, newest first; without `saga` those that an engine started."""
        found = self._engine.list(
            saga=saga,
            states=states,
            id_prefix=id_prefix,
            started_after=started_after,
            started_before=started_before,
            limit=limit,
        )

        async def following() -> SagaSummary | None:
            return await anext(found, None)

        while (one := self.run(following())) is not None:
            yield one

    def count(self, saga: str | None = None) -> dict[SagaState, int]:
        """Return how many instances are in each state, by listing them: the server does not count STUCK ones.

        Those that were ended from outside are in none.
        """
        numbers = dict.fromkeys(SagaState, 0)
        for one in self.list(saga=saga):
            if one.state is not None:
                numbers[one.state] += 1
        return numbers

    def facts(self, id: str) -> Facts:
        """Return the facts of an instance, as its history tells them."""
        return self.run(self._facts(id))

    async def _facts(self, id: str) -> Facts:
        return await history_of(self._client, id)

    def view(self, id: str) -> SagaView:
        """Return an instance as its facts tell it."""
        return view_of(Instance().fold_all(self.facts(id)))

    def workflow(self, id: str) -> Workflow:
        """Return what the server says of an instance's workflow.

        Raises:
            UnknownSagaError: if it has none with this id.
        """
        return self.run(self._workflow(id))

    def driven(self, id: str) -> bool:
        """Tell whether a worker polls the task queue of an instance that runs."""
        found = self.workflow(id)
        return found.status == "RUNNING" and found.polled

    async def _workflow(self, id: str) -> Workflow:
        try:
            described = await self._client.get_workflow_handle(id).describe()
        except RPCError as error:
            if error.status.name in {"NOT_FOUND", "INVALID_ARGUMENT"}:
                text = f"the server at {self._address} has no instance {id!r} in namespace {self._client.namespace!r}"
                raise UnknownSagaError(text) from None
            raise
        polled = described.status is WorkflowExecutionStatus.RUNNING and await self._polled(described.task_queue)
        why = await self._engine.trouble(id) if described.status is WorkflowExecutionStatus.RUNNING else ""
        return replace(_told(described, polled=polled), trouble=why)

    async def _polled(self, queue: str) -> bool:
        seen = await self._last_poll(queue)
        return seen is not None and seen < _POLL

    async def _last_poll(self, queue: str) -> timedelta | None:
        """Return how long ago a worker looked for work; None if the server remembers none."""
        answer = await self._client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=self._client.namespace,
                task_queue=TaskQueue(name=queue),
                task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
            )
        )
        looked = [one.last_access_time.ToDatetime(UTC) for one in answer.pollers]
        return datetime.now(UTC) - max(looked) if looked else None

    # -- acting --------------------------------------------------------------------------

    def send(self, id: str, request: Request, *, timeout: timedelta) -> bool:
        """Bring a request to the worker of an instance, and wait for the answer.

        Without time to wait, a cancel or an answer to a decision is left with the server.

        Raises:
            UnknownSagaError: if there is no such instance.
            ActRefusedError: if it makes no sense in the state that the instance is in.
            ServerError: if no worker answered.
            BadParameter: if there is no time to wait, and the server cannot keep the request.
        """
        seconds = timeout.total_seconds()
        if seconds == 0 and not isinstance(request, Cancel | Decide):
            raise typer.BadParameter(
                f"--no-wait: a Temporal server keeps only cancel and decide; {request.request} needs a worker's answer"
            )
        return self.run(self._sent(id, request, seconds), seconds=None)

    async def _sent(self, id: str, request: Request, seconds: float) -> bool:
        found = await self._workflow(id)
        if found.status != "RUNNING":
            raise _too_late(found, id, request)
        if seconds == 0:
            await self._left(id, request)
            return False
        sending = asyncio.ensure_future(self._engine.send(id, request))
        try:
            await asyncio.wait([sending], timeout=min(seconds, _SOON))
            if not sending.done() and await self._polled(found.task_queue):
                await asyncio.wait([sending], timeout=seconds - _SOON)
            if not sending.done():
                raise await self._unheard(found, id, seconds)
            sending.result()
        finally:
            sending.cancel()
        return True

    async def _left(self, id: str, request: Request) -> None:
        """Leave a request with the server: whoever runs the instance next finds it."""
        handle = self._client.get_workflow_handle(id)
        if isinstance(request, Cancel):
            await handle.cancel(reason=": ".join(filter(None, (request.by, request.why))))
        else:
            await handle.signal("decide", json.loads(request.model_dump_json(exclude={"request"})))

    async def _unheard(self, found: Workflow, id: str, seconds: float) -> SagaError:
        after = "It may still be carried out: look with `saga show` before you repeat it"
        seen = await self._last_poll(found.task_queue)
        if seen is not None and seen < _POLL:
            text = f"no worker has answered within {seconds:g} s; one polled the task queue {found.task_queue!r}"
            return ServerError(f"{id}: {text} {max(seen.total_seconds(), 0):.0f} s ago, does it still run? {after}")
        start = f"start one: saga worker module:{found.saga} --task-queue {shlex.quote(found.task_queue)}"
        return ServerError(f"{id}: no worker has polled the task queue {found.task_queue!r} lately; {start}. {after}")


def _told(described: WorkflowExecutionDescription, *, polled: bool) -> Workflow:
    status = "RUNNING" if described.status is None else described.status.name
    cut_off = status in {"TERMINATED", "TIMED_OUT", "CANCELED"}
    return Workflow(status, described.workflow_type, described.run_id, described.task_queue, polled, cut_off)


def _too_late(found: Workflow, id: str, request: Request) -> SagaError:
    state = _STATES.get(found.status, found.status)
    text = f"{found.saga} {id} is {state}: {request.request} is refused, nothing can change any more"
    if found.cut_off:
        text += "; saga recover starts what compensates it"
    return ActRefusedError(text, saga=found.saga, id=id, state=state, act=request.request)


_STATES = {"COMPLETED": SagaState.COMPLETED.value, "FAILED": SagaState.COMPENSATED.value}
