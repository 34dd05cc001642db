"""Sagas on a real Temporal server: the outcomes, the acts and the views are those of the embedded engine."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client, WorkflowFailureError

from saga import (
    Happened,
    SagaCompensatedError,
    SagaError,
    SagaState,
    SagaStuckError,
)
from saga.errors import ActRefusedError, IdReusedError, InvalidRequestError, UnknownSagaError
from saga.kernel import SagaHandle
from saga.temporal import TemporalEngine
from tests.temporal.shop import Bank, Hurried, Long, MoneyTransfer, Parent, Reviewed, Transfer

OK = Transfer(source="nl", target="de", cents=30)
UNKNOWN = Transfer(source="nl", target="fr", cents=30)
POOR = Transfer(source="nl", target="de", cents=3000)


async def test_attempts_are_counted(engine: TemporalEngine, queue: str, banks: dict[str, Bank]) -> None:
    """A mail that was lost twice was tried three times."""
    banks["source"].failures = 2
    handle = await engine.start(MoneyTransfer, OK, id=f"{queue}-t")
    await handle.result()
    assert [call.attempts for call in (await handle.view()).calls] == [1, 1, 3]


async def test_an_id_is_used_once(engine: TemporalEngine, queue: str) -> None:
    """The same request returns the same result; another one is refused."""
    assert await engine.run(MoneyTransfer, OK, id=f"{queue}-t") == 30
    assert await engine.run(MoneyTransfer, OK, id=f"{queue}-t") == 30
    with pytest.raises(IdReusedError, match="with another request"):
        await engine.start(MoneyTransfer, POOR, id=f"{queue}-t")
    with pytest.raises(IdReusedError, match="as a MoneyTransfer"):
        await engine.start(Parent, OK, id=f"{queue}-t")
    with pytest.raises(UnknownSagaError):
        await engine.get(MoneyTransfer, f"{queue}-none")


async def test_a_decision_is_an_update_or_a_signal(engine: TemporalEngine, client: Client, queue: str) -> None:
    """A handle answers by update; whoever can only signal does that, and is not heard a second time."""
    one = await engine.start(Reviewed, 5, id=f"{queue}-1")
    await one.decide(Reviewed.review, answer=True, by="rita")
    assert await one.result() == 5
    two = await engine.start(Reviewed, 6, id=f"{queue}-2")
    signal = {"by": "rita", "call": "review.1", "payload": "false"}
    await client.get_workflow_handle(two.id).signal("decide", signal)
    assert await two.result() == 0


async def test_a_cancel_of_the_workflow_is_a_cancel_of_the_saga(
    engine: TemporalEngine, client: Client, queue: str
) -> None:
    """Both ways lead to the same end."""
    one = await engine.start(Reviewed, 5, id=f"{queue}-1")
    two = await engine.start(Reviewed, 5, id=f"{queue}-2")
    await one.cancel(by="anna")
    await client.get_workflow_handle(two.id).cancel()
    for handle in (one, two):
        with pytest.raises(SagaCompensatedError, match=r"\(cancelled\)"):
            await handle.result()
    with pytest.raises(SagaError):
        await one.cancel(by="anna")


async def test_a_stuck_saga_waits_for_an_operator(engine: TemporalEngine, queue: str) -> None:
    """A lost pivot without a probe is never guessed; what makes no sense is refused before it is in the history."""
    handle = await engine.start(Reviewed, 13, id=f"{queue}-t")
    with pytest.raises(SagaStuckError, match=r"nobody knows whether pay\.1 happened"):
        await handle.result()
    assert [one.state async for one in engine.list(id_prefix=queue, states=[SagaState.STUCK])] in (
        [SagaState.STUCK],
        [],  # the server's list lags behind
    )
    with pytest.raises(ActRefusedError, match="abort is refused"):
        await handle.abort(by="olga", why="tired")
    await handle.resolve(Reviewed.pay, Happened(13), by="olga", why="the bank says so")
    assert await handle.result() == 13


async def test_a_long_saga_goes_on_in_new_runs(engine: TemporalEngine, client: Client, queue: str) -> None:
    """Its journal is carried along, and nothing that was done is done again."""
    handle = await engine.start(Long, 25, id=f"{queue}-t")
    assert await handle.result() == sum(range(100, 125)) + 25
    view = await handle.view()
    assert [call.attempts for call in view.calls] == [1] * 50
    description = await client.get_workflow_handle(handle.id).describe()
    assert description.raw_description.workflow_execution_info.first_run_id != description.run_id


async def test_the_deadline_is_the_sagas_own_timer(engine: TemporalEngine, queue: str) -> None:
    """It starts backward recovery; the server's timeouts, which would end that too, are refused."""
    with pytest.raises(SagaCompensatedError, match=r"\(deadline\)"):
        await engine.run(Hurried, 1, id=f"{queue}-t")


async def test_a_time_limit_of_the_server_is_refused(engine: TemporalEngine, client: Client, queue: str) -> None:
    """It would cut the recovery short."""
    with pytest.raises(WorkflowFailureError) as caught:
        await client.execute_workflow(
            "Reviewed", 1, id=f"{queue}-t", task_queue=queue, execution_timeout=timedelta(seconds=50)
        )
    assert "declare `deadline` instead" in str(caught.value.cause)


async def test_a_request_that_does_not_fit_is_refused(engine: TemporalEngine, client: Client, queue: str) -> None:
    """By the engine before anything is started; by the saga if somebody starts the workflow by name."""
    with pytest.raises(InvalidRequestError, match="nothing was started"):
        await engine.start(Reviewed, "five", id=f"{queue}-1")  # type: ignore[arg-type]
    with pytest.raises(WorkflowFailureError) as caught:
        await client.execute_workflow("Reviewed", "five", id=f"{queue}-2", task_queue=queue)
    assert "undecodable request" in str(caught.value.cause)


async def test_a_reset_never_makes_a_rejection_certain(engine: TemporalEngine, client: Client, queue: str) -> None:
    """The call may have acted in the run that was given up, and the child that ran is attached to, not started."""
    handle = await engine.start(Parent, UNKNOWN, id=f"{queue}-t")
    with pytest.raises(SagaCompensatedError):
        await handle.result()
    history = await client.get_workflow_handle(handle.id).fetch_history()
    first = next(one.event_id for one in history.events if one.HasField("workflow_task_completed_event_attributes"))
    await client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace="default",
            workflow_execution=WorkflowExecution(workflow_id=handle.id, run_id=history.run_id),
            workflow_task_finish_event_id=first,
            request_id=queue,
        )
    )
    with pytest.raises(SagaStuckError, match=r"nobody knows whether credit\.1 happened"):
        await handle.result()


async def test_plain_temporal_reads_what_a_saga_is(engine: TemporalEngine, client: Client, queue: str) -> None:
    """Requests and results are plain JSON; the view is a query; activities carry the names of the calls."""
    workflow = await client.start_workflow("MoneyTransfer", OK.model_dump(), id=f"{queue}-t", task_queue=queue)
    assert await workflow.result() == 30
    view = await workflow.query("view")
    assert (view["state"], json.loads(view["request"])) == ("COMPLETED", OK.model_dump())
    history = await workflow.fetch_history()
    scheduled = [one.activity_task_scheduled_event_attributes for one in history.events]
    assert [one.activity_id for one in scheduled if one.activity_id] == ["debit.1", "credit.1", "mail.1"]


async def test_what_is_asked_of_a_saga_that_has_ended_is_refused_as_an_act(engine: TemporalEngine, queue: str) -> None:
    """The server only says that nothing of that name runs; an operator wants to know that it has ended, and how."""
    handle = await engine.start(MoneyTransfer, OK, id=f"{queue}-t")
    await handle.result()
    with pytest.raises(ActRefusedError, match="is COMPLETED: cancel is refused, nothing can change any more"):
        await handle.cancel()
    unknown = SagaHandle[int](engine, handle._definition, f"{queue}-none")
    with pytest.raises(UnknownSagaError):
        await unknown.cancel()


async def test_a_result_reads_as_any_workflows(engine: TemporalEngine, client: Client, queue: str) -> None:
    """What has more in its metadata than an encoding is shown as raw bytes by the command of Temporal."""
    await engine.run(MoneyTransfer, OK, id=f"{queue}-t")
    history = await client.get_workflow_handle(f"{queue}-t").fetch_history()
    [result] = history.events[-1].workflow_execution_completed_event_attributes.result.payloads
    assert dict(result.metadata) == {"encoding": b"json/plain"}


async def test_a_list_that_makes_no_sense_is_refused(engine: TemporalEngine) -> None:
    """As by the embedded engine."""
    with pytest.raises(InvalidRequestError, match="limit is 0"):
        _ = [one async for one in engine.list(limit=0)]
