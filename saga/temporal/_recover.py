"""Recovery of an instance that its workflow cannot bring to an end any more: ended from outside, or broken code."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeVar

from temporalio.api.common.v1 import Memo, Payloads, WorkflowType
from temporalio.api.enums.v1 import WorkflowIdConflictPolicy, WorkflowIdReusePolicy
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import StartWorkflowExecutionRequest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.service import RPCError, RPCStatusCode

from saga.errors import ActRefusedError, InvalidRequestError, PayloadTooLargeError, UnknownSagaError
from saga.kernel import LONGEST_NAME, LONGEST_REASON, Decider, Instance, SagaHandle, SagaState, definition_of
from saga.kernel import facts as f

from ._asking import asked, refused
from ._carried import carrying, fits
from ._definitions import KEY, remembered
from ._endings import compensated
from ._history import history_of
from ._journals import TemporalJournals
from ._nested import Start
from ._trouble import failing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from temporalio.client import Client, WorkflowExecutionDescription
    from temporalio.common import RawValue

    from saga.kernel import Definition, Fact, Runs

__all__ = ("recover", "recovering")

Request = TypeVar("Request")
Result = TypeVar("Result")

RECOVERS: Final = "saga_recovers"
"""Key of the memo: the run that a recovery took over from."""


async def recover(
    client: Client, saga: type[Runs[Request, Result]], id: str, *, by: str, why: str
) -> SagaHandle[Result]:
    """Start an instance again, under its id, so that it compensates what its history proves was done or in doubt.

    For an instance that was terminated, timed out or failed, or whose workflow tasks fail because of broken code,
    which is terminated first. What has no outcome counts as in doubt (S5). Before the pivot `run` is not executed
    again, so it does not matter whether it is broken; where the pivot was done, or nobody knows, the instance goes
    forward instead, with the code that workers have now. Keys stay the same, and recovering twice is recovering once.

    Args:
        client: A connected client.
        saga: The saga class; workers have to know it.
        id: Id of the instance.
        by: Who wants it.
        why: The reason, for the journal.

    Returns:
        The handle of the instance.

    Raises:
        ActRefusedError: if it goes on by itself (cancel it instead), or has ended by itself.
        UnknownSagaError: if there is no such instance, or it is of another saga.
        PayloadTooLargeError: if its journal is larger than a start takes.
        JournalVersionError: if a newer version of the library wrote its history.
        ServerError: if the server cannot be reached.
    """
    _check_words(id, by, why)
    definition = definition_of(saga)
    described = await asked(client.get_workflow_handle(id).describe(), id)
    if described.workflow_type != definition.saga:
        raise UnknownSagaError(f"{id} is a {described.workflow_type}, not a {definition.saga}")
    failure = await failing(client, described)
    if failure or not await _is_recovery(described):
        await _check_needed(client, described, failure)
        facts, carried = await _planned(client, definition, described, by=by, why=why)
        if described.status is WorkflowExecutionStatus.RUNNING:
            await _terminate(client, described, why)
            facts, carried = await _planned(client, definition, described, by=by, why=why)
        await _start_again(client, definition, described, facts, carried)
    return SagaHandle(TemporalJournals(client), definition, id)


def recovering(definition: Definition, facts: Sequence[Fact], *, by: str, why: str, at: datetime) -> list[Fact]:
    """Return the journal that a recovery goes on from.

    Whatever has no outcome counts as given up by an owner that crashed, as after any crash (S5): an action is in
    doubt, a compensation is tried again. Before the point of no return the instance is given up, and the journal
    says that recovery has begun, so that `run` is never executed again. After it, or while nobody knows whether it
    was reached, the wish is only noted and the instance goes forward (S7).

    Args:
        definition: The saga class.
        facts: The journal so far.
        by: Who wants it.
        why: The reason.
        at: When.
    """
    decider = Decider(definition)
    instance = decider.instance.fold_all(facts)
    at = max(at, instance.last_at)
    decider.emit(f.Resumed(at=at, epoch=instance.epoch + 1, crashed=True))
    if instance.recovering or instance.committed or instance.committing:
        decider.emit(f.CancelRequested(at=at, by=by, why=why))
    else:
        state = instance.state or SagaState.RUNNING
        decider.emit(f.SagaAbortOrdered(at=at, by=by, why=why, state=state, seen=instance.count))
    decider.go_on()
    interruption = decider.interruption()
    if interruption is not None and not instance.recovering:
        decider.emit(f.RecoveryStarted(at=at, reason=interruption[0], failure=interruption[1]))
    return [*facts, *decider.out]


# -- whether it may ----------------------------------------------------------------------


def _check_words(id: str, by: str, why: str) -> None:
    if not (by and why) or len(by) > LONGEST_NAME or len(why) > LONGEST_REASON:
        msg = f"{id}: say who recovers it (1 to {LONGEST_NAME} characters) and why (1 to {LONGEST_REASON})"
        raise InvalidRequestError(msg)


async def _is_recovery(described: WorkflowExecutionDescription) -> bool:
    """Tell whether the last run is a recovery that goes on by itself, or got to an end."""
    ended_itself = described.status in {
        WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.COMPLETED, WorkflowExecutionStatus.FAILED,
    }  # fmt: skip
    return ended_itself and await described.memo_value(RECOVERS, None) is not None


async def _check_needed(client: Client, described: WorkflowExecutionDescription, failure: str) -> None:
    """Refuse what goes on, or got to an end, by itself."""
    status = described.status
    if status is WorkflowExecutionStatus.RUNNING and not failure:
        raise _refusal(described, "it runs and its workflow tasks do not fail; use cancel to have it compensated")
    if status is WorkflowExecutionStatus.COMPLETED:
        raise _refusal(described, "it has completed")
    if status is WorkflowExecutionStatus.FAILED and await _was_compensated(client, described):
        raise _refusal(described, "it was compensated; nothing is left to recover")


async def _was_compensated(client: Client, described: WorkflowExecutionDescription) -> bool:
    handle = client.get_workflow_handle(described.id, run_id=described.run_id)
    try:
        await asked(handle.result(), described.id)
    except WorkflowFailureError as error:
        return compensated(error.cause) is not None
    return False


def _refusal(described: WorkflowExecutionDescription, text: str) -> ActRefusedError:
    saga, id = described.workflow_type, described.id
    return ActRefusedError(f"{saga} {id}: recover is refused, {text}", saga=saga, id=id, act="recover")


async def _terminate(client: Client, described: WorkflowExecutionDescription, why: str) -> None:
    handle = client.get_workflow_handle(described.id, run_id=described.run_id)
    try:
        await handle.terminate(reason=f"recovered: {why}")
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise refused(error, described.id) from None
        ended = await asked(handle.describe(), described.id)  # somebody else was faster, or it went on by itself
        await _check_needed(client, ended, "")
        if ended.status is WorkflowExecutionStatus.CONTINUED_AS_NEW:
            raise _refusal(ended, "it goes on by itself again") from None


# -- starting ----------------------------------------------------------------------------


async def _planned(
    client: Client, definition: Definition, described: WorkflowExecutionDescription, *, by: str, why: str
) -> tuple[list[Fact], RawValue]:
    """Return the journal that the recovery goes on from, and the payload that carries it.

    It is made before a running instance is terminated, too: what cannot be read must not be ended.
    """
    known = await history_of(client, described.id, run_id=described.run_id)
    if Instance().fold_all(known).ended:  # meanwhile, by itself
        ended = client.get_workflow_handle(described.id, run_id=described.run_id)
        await _check_needed(client, await asked(ended.describe(), described.id), "")
        raise _refusal(described, "it has ended")
    facts = recovering(definition, known, by=by, why=why, at=datetime.now(UTC))
    first = facts[0]
    assert isinstance(first, f.SagaStarted)  # noqa: S101 - the fold takes no other
    carried = carrying(facts, Start(parent=first.parent, handed_over=bool(first.handed_over)))
    if not fits(carried):
        text = f"its journal has {carried.payload.ByteSize()} bytes, compressed, which is more than a start takes"
        msg = f"{definition.saga} {described.id}: {text}; compensate what `saga show {described.id}` tells by hand"
        raise PayloadTooLargeError(msg)
    return facts, carried


async def _start_again(
    client: Client,
    definition: Definition,
    described: WorkflowExecutionDescription,
    facts: Sequence[Fact],
    carried: RawValue,
) -> None:
    """Start the next run; whoever does the same, then or later, gets the handle of the one that was faster."""
    memo: dict[str, object] = {KEY: remembered(definition).model_dump(mode="json"), RECOVERS: described.run_id}
    if Instance().fold_all(facts).state is SagaState.STUCK:
        memo["saga_state"] = SagaState.STUCK.value
    newest = await asked(client.get_workflow_handle(described.id).describe(), described.id)
    if newest.run_id == described.run_id:  # otherwise somebody else was faster
        await _start(client, described, carried, memo)


async def _start(
    client: Client, described: WorkflowExecutionDescription, carried: RawValue, memo: Mapping[str, object]
) -> None:
    """Start the run that takes over from another one, unless that was done: even if it has ended since."""
    converter = client.data_converter
    encoded = {name: (await converter.encode([value]))[0] for name, value in memo.items()}
    request = StartWorkflowExecutionRequest(
        namespace=client.namespace,
        workflow_id=described.id,
        workflow_type=WorkflowType(name=described.workflow_type),
        task_queue=TaskQueue(name=described.task_queue or ""),
        input=Payloads(payloads=await converter.encode([carried])),
        identity=client.identity,
        # A start with the id of one that was carried out is none; `Client.start_workflow` makes a new one each time.
        request_id=f"saga-recovers-{described.run_id}",
        workflow_id_conflict_policy=WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
        workflow_id_reuse_policy=WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY,
        memo=Memo(fields=encoded),
    )
    try:
        await client.workflow_service.start_workflow_execution(request, retry=True)
    except RPCError as error:
        if error.status is not RPCStatusCode.ALREADY_EXISTS:
            raise refused(error, described.id) from None
