"""Golden histories: what was recorded once is replayed by today's code, with the sandbox and without."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from saga.kernel import Instance, definition_of, replay
from saga.temporal import SagaPlugin, journal_of
from tests.histories.record import FOLDER
from tests.histories.sagas import BUDGET, GOLDEN, Golden


def recorded(golden: Golden) -> WorkflowHistory:
    """What is in the file."""
    id = f"{golden.name}~{golden.child}" if golden.child else golden.name
    return WorkflowHistory.from_json(id, (FOLDER / f"{golden.name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("sandboxed", [True, False], ids=["sandbox", "no sandbox"])
@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.name)
async def test_todays_code_replays_what_was_recorded(golden: Golden, *, sandboxed: bool) -> None:
    """A change that would break an instance that runs shows here first."""
    runner = SandboxedWorkflowRunner() if sandboxed else UnsandboxedWorkflowRunner()
    plugin = SagaPlugin(sagas=[golden.saga], history_budget=BUDGET)
    result = await Replayer(workflows=[], plugins=[plugin], workflow_runner=runner).replay_workflow(recorded(golden))
    assert result.replay_failure is None


@pytest.mark.parametrize("golden", [one for one in GOLDEN if not one.child], ids=lambda golden: golden.name)
def test_the_journal_of_a_history_replays_as_any_journal(golden: Golden) -> None:
    """The rules draw the same consequences from it, whatever engine it came from."""
    facts = journal_of(recorded(golden).events)
    assert replay(definition_of(golden.saga), facts).out == []
    assert Instance().fold_all(facts).ended


def test_every_file_belongs_to_a_saga() -> None:
    """And none of them tells anything about the machine that recorded it."""
    files = {file.stem: file.read_text(encoding="utf-8") for file in Path(FOLDER).glob("*.json")}
    assert set(files) == {golden.name for golden in GOLDEN}
    for text in files.values():
        events = json.loads(text)["events"]
        assert not {key for event in events for key in event} & {"stackTrace"}
        assert "stackTrace" not in text
