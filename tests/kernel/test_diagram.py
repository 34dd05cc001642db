"""Mermaid diagrams of a class, of an instance, and of the table of states."""

from datetime import timedelta

import pytest

from saga import Compensatable, Decision, Nested, Pivot, ReadOnly, Retriable, Saga
from saga.kernel import class_diagram, definition_of, instance_diagram, states_diagram, view_of
from saga.kernel._states import CALL_TRANSITIONS, SAGA_TRANSITIONS
from saga.kernel._values import CallState, SagaState
from tests.kernel._drive import Driven
from tests.kernel._sagas import Steps, bank, transfer


class Child(Saga):
    """What the parent runs."""

    debit = Compensatable(bank.debit).compensated_by(bank.refund)

    async def run(self, request: int) -> str:
        return await self.debit(request)


class Transfer(Saga):
    """One step of every kind, and a decision."""

    rate = ReadOnly(bank.rate)
    hold = Compensatable(bank.hold).compensated_by(bank.release).confirmed_by(bank.settle).forgotten_by(bank.forget)
    child = Nested(Child)
    review = Decision(bool, within=timedelta(hours=1))
    credit = Pivot(bank.credit).probed_by(bank.find_credit)
    notify = Retriable(bank.notify)

    async def run(self, request: int) -> str:
        return ""


def test_a_class_shows_its_steps_in_order_and_what_compensates_them() -> None:
    """The plan."""
    assert class_diagram(definition_of(Transfer)) == (
        "flowchart LR\n"
        "  start([Transfer])\n"
        '  rate["rate<br/><small>read-only</small>"]\n'
        "  start --> rate\n"
        '  hold["hold<br/><small>compensatable</small>"]\n'
        "  rate --> hold\n"
        '  hold -. confirmed by .-> hold_confirmation["bank.settle"]\n'
        '  hold -. compensated by .-> hold_compensation["bank.release"]\n'
        '  hold -. forgotten by .-> hold_forget["bank.forget"]\n'
        '  child[["child<br/><small>nested</small>"]]\n'
        "  hold --> child\n"
        '  credit{"credit<br/><small>pivot</small>"}\n'
        "  child --> credit\n"
        '  credit -. in doubt .-> credit_probe["bank.find_credit"]\n'
        '  notify["notify<br/><small>retriable</small>"]\n'
        "  credit --> notify\n"
        "  review{{review?}}\n"
        "  start -.- review\n"
        "  notify --> completed([COMPLETED])\n"
    )


@pytest.mark.parametrize("name", ["end", "start", "completed", "graph", "End"])
def test_a_step_may_have_a_name_that_means_something_to_mermaid(name: str) -> None:
    """The node has another name, the label has the step's."""

    async def run(self: object, request: int) -> str:
        return ""

    saga = type("Transfer", (Saga,), {name: ReadOnly(bank.rate), "run": run})
    diagram = class_diagram(definition_of(saga))
    assert f'  {name}_["{name}<br/>' in diagram
    assert f"  start --> {name}_\n" in diagram


def test_an_instance_shows_the_path_that_it_took() -> None:
    """Every call with its outcome, in order."""

    async def program(saga: Steps, amount: int) -> str:
        await saga.debit(amount)
        return await saga.credit(amount)

    driven = Driven(transfer(program)).done("debit.1", '"p"').rejected("credit.1")
    assert instance_diagram(view_of(driven.instance)) == (
        "sequenceDiagram\n"
        "  participant saga as Transfer transfer-42\n"
        "  participant debit\n"
        "  participant credit\n"
        "  saga->>debit: debit.1\n"
        "  debit-->>saga: done\n"
        "  saga->>credit: credit.1\n"
        "  credit--xsaga: rejected\n"
        "  saga->>debit: debit.1/compensation\n"
        "  Note over saga: COMPENSATING\n"
    )


def test_an_id_is_shown_as_it_is() -> None:
    """Characters that Mermaid reads are escaped."""

    async def program(saga: Steps, amount: int) -> str:
        return ""

    driven = Driven(transfer(program), id='order #7; "x"')
    assert "Transfer order #35;7#59; #34;x#34;\n" in instance_diagram(view_of(driven.instance))


def test_the_table_of_states_is_drawn_from_the_table_that_decides() -> None:
    """Every transition, and no other."""
    diagram = states_diagram()
    assert diagram.startswith("stateDiagram-v2\n  [*] --> RUNNING: SagaStarted\n")
    for (state, fact), after in SAGA_TRANSITIONS.items():
        assert f"  {state or '[*]'} --> {after}: {fact}\n" in diagram
    assert diagram.count("-->") == len(SAGA_TRANSITIONS) + 2


def test_the_tables_leave_no_state_without_a_way_in_and_no_end_with_a_way_out() -> None:
    """Every state is reached, and what has ended stays as it is."""
    assert set(SAGA_TRANSITIONS.values()) == set(SagaState)
    assert {state for state, _ in SAGA_TRANSITIONS if state is not None and state.ended} == set()
    assert set(CALL_TRANSITIONS.values()) == set(CallState)
    assert {state for state, _ in CALL_TRANSITIONS} == {None, *CallState} - {CallState.SKIPPED}
