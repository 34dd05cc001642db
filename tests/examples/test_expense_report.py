"""The expense report does what its page says, and every cent stays accounted for under every fault."""

from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack
from decimal import Decimal
from itertools import count
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from sqlalchemy import text

from examples.expense_report.models import Answer, Line, Report, Ruling
from examples.expense_report.proof import prove
from examples.expense_report.saga import CLEARING, COMPANY, ExpenseReport
from examples.expense_report.world import CLOSED, EMPLOYEE, World
from examples.money_transfer.engines import Embedded
from examples.money_transfer.saga import MoneyTransfer
from saga import Nested, Saga, SagaCompensatedError, SagaView
from saga.errors import SagaDefinitionError
from saga.testing import explore

APPROVED = Ruling(answer=Answer.APPROVE, reason="")
SENT_BACK = Ruling(answer=Answer.SEND_BACK, reason="a typo")
REFUSED = Ruling(answer=Answer.REFUSE, reason="no")


def report(*amounts: str, account: str = EMPLOYEE, department: str = "sales") -> Report:
    """Return a report with these lines."""
    lines = tuple(Line(what="train", amount=Decimal(amount)) for amount in amounts)
    return Report(employee="clerk.1@example.org", department=department, account=account, lines=lines)


@pytest.fixture
def office(tmp_path: Path) -> Generator[World]:
    """Everybody who takes part, with budgets and money."""
    with World.at(tmp_path) as world:
        world.begin()
        yield world


async def test_two_people_decide_about_much(office: World) -> None:
    """Above the limit finance is asked as well; what is paid comes from the company, by way of its second account."""
    async with office.engine() as engine:
        handle = await engine.start(ExpenseReport, report("300.00", "300.01"), id="r-1")
        await handle.decide(ExpenseReport.manager, APPROVED, by="manager")
        await handle.decide(ExpenseReport.finance, APPROVED, by="finance")
        result = await handle.result()
        assert prove(office, [await handle.view()]).faults == ()
    assert (result.amount, result.rounds) == (Decimal("600.01"), 1)
    assert [(line.key, line.account, line.amount) for line in office.payroll_bank.ledger()] == [
        ("r-1~fund.1/credit.1", CLEARING, Decimal("600.01")),
        ("r-1/pay.1", CLEARING, Decimal("-600.01")),
        ("r-1/pay.1", EMPLOYEE, Decimal("600.01")),
    ]
    assert [(line.account, line.amount) for line in office.house_bank.ledger()] == [(COMPANY, Decimal("-600.01"))]


async def test_the_limit_itself_needs_the_manager_alone(office: World) -> None:
    """Above the limit means above it."""
    async with office.engine() as engine:
        handle = await engine.start(ExpenseReport, report("500.00"), id="r-1")
        await handle.decide(ExpenseReport.manager, APPROVED, by="manager")
        await handle.result()
        assert [one.call for one in (await handle.view()).decisions] == ["manager.1"]


async def test_a_correction_reserves_anew(office: World) -> None:
    """What was reserved for the first version is what is released, whatever the department of the second is."""
    async with office.engine() as engine:
        handle = await engine.start(ExpenseReport, report("100.00"), id="r-1")
        await handle.decide(ExpenseReport.manager, SENT_BACK, by="manager")
        await handle.decide(ExpenseReport.correction, report("60.00", department="research"), by="employee")
        async for fact in handle.facts():
            if fact.fact == "DecisionAwaited" and getattr(fact, "call", "") == "manager.2":
                break
        (entry,) = office.budget.entries().values()
        assert (entry.department, entry.amount, entry.spent) == ("research", Decimal("60.00"), False)
        await handle.decide(ExpenseReport.manager, REFUSED, call=2, by="manager")
        with pytest.raises(SagaCompensatedError, match="no"):
            await handle.result()
    assert office.budget.entries() == {}


async def test_a_rejected_payment_takes_the_nested_transfer_back(office: World) -> None:
    """The parent compensates what its nested saga had done, in reverse order, at both banks."""
    async with office.engine() as engine:
        handle = await engine.start(ExpenseReport, report("10.00", account=CLOSED), id="r-1")
        await handle.decide(ExpenseReport.manager, APPROVED, by="manager")
        with pytest.raises(SagaCompensatedError, match="AccountClosed"):
            await handle.result()
        view = await handle.view()
    assert [call.name for call in view.calls if call.name.endswith("compensation")] == [
        "fund.1/credit.1/compensation",
        "fund.1/debit.1/compensation",
        "reserve.1/compensation",
    ]
    assert prove(office, [view]).faults == ()


def test_a_transfer_with_a_pivot_cannot_be_nested_so() -> None:
    """What the page says about MoneyTransfer: behind its own pivot nobody can take it back."""
    with pytest.raises(SagaDefinitionError, match="MoneyTransfer has the pivot step credit, so it cannot be compens"):

        class Wrong(Saga):  # pyright: ignore[reportUnusedClass] - making it is what fails
            fund = Nested(MoneyTransfer)

            async def run(self, request: int) -> int:
                return request


# -- the proof ---------------------------------------------------------------------------


def change_a_budget(world: World) -> None:
    """A budget is charged with another amount."""
    with world.budget.engine.begin() as connection:
        connection.execute(text("UPDATE entry SET cents = cents + 1"))


def lose_a_line(world: World) -> None:
    """A payment leaves the ledger."""
    with world.payroll_bank.engine.begin() as connection:
        connection.execute(text(f"DELETE FROM ledger WHERE key = 'r-1/pay.1' AND account = '{EMPLOYEE}'"))  # noqa: S608


def post_out_of_nowhere(world: World) -> None:
    """Money comes under a key that no report has."""
    world.payroll_bank.post_by_hand(EMPLOYEE, Decimal("5.00"), key="r-9/pay.1")


def empty_the_archive(world: World) -> None:
    """A report is no longer filed."""
    with world.archive.engine.begin() as connection:
        connection.execute(text("DELETE FROM document"))


@pytest.mark.parametrize(
    ("break_something", "fault"),
    [
        (change_a_budget, "7.00 EUR and 7.01 EUR are paid and charged to the budgets"),
        (change_a_budget, "r-1 was paid, and its budget does not say so"),
        (lose_a_line, "the ledgers lack r-1/pay.1 of 7.00 EUR"),
        (lose_a_line, f"the balance of {EMPLOYEE} is not what its lines come to"),
        (post_out_of_nowhere, "r-9/pay.1 of 5.00 EUR in the ledgers belongs to no report"),
        (post_out_of_nowhere, "are held before and hold after"),
        (empty_the_archive, "r-1 is COMPLETED, which file does not fit"),
    ],
)
async def test_auditor_notices(office: World, break_something: Callable[[World], None], fault: str) -> None:
    """The proof holds, then something is changed, and it says what."""
    async with office.engine() as engine:
        handle = await engine.start(ExpenseReport, report("7.00"), id="r-1")
        await handle.decide(ExpenseReport.manager, APPROVED, by="manager")
        await handle.result()
        view = await handle.view()
    assert prove(office, [view]).holds
    break_something(office)
    faults = prove(office, [view]).faults
    assert any(fault in one for one in faults), faults


async def test_auditor_wants_every_report_ended(office: World) -> None:
    """A report that waits for its manager still keeps its budget."""
    async with office.engine() as engine:
        handle = await engine.start(ExpenseReport, report("7.00"), id="r-1")
        async for fact in handle.facts():
            if fact.fact == "DecisionAwaited":
                break
        faults = prove(office, [await handle.view()]).faults
    assert {"r-1 is RUNNING", "r-1 is RUNNING, and 7.00 EUR of sales are still kept for it"} <= {*faults}


# -- every fault -------------------------------------------------------------------------


@pytest.fixture
def fresh(tmp_path: Path) -> Generator[Callable[[], Mapping[str, object]]]:
    """Makes participants that nobody has used, quickly: copies of ones that were made before."""
    template, numbers = tmp_path / "template", count()
    template.mkdir()
    with World.at(template) as world:
        world.begin()
    with ExitStack() as stack:

        def make() -> Mapping[str, object]:
            directory = tmp_path / str(next(numbers))
            copytree(template, directory)
            return stack.enter_context(World.at(directory)).participants()

        yield make


def is_proven(participants: Mapping[str, Any], view: SagaView) -> None:
    """A run ended with every cent where it belongs."""
    faults = prove(World(**participants, engines=Embedded("")), [view]).faults
    assert not faults, faults


@pytest.mark.slow
@pytest.mark.parametrize("amount", ["10.00", "501.00"])
async def test_every_fault_at_every_point(fresh: Callable[[], Mapping[str, object]], amount: str) -> None:
    """Whatever fails, and wherever: the auditor finds nothing, and the cycle ends."""
    seen = await explore(
        ExpenseReport,
        report(amount),
        participants=fresh,
        decisions={
            ExpenseReport.manager: [APPROVED, SENT_BACK, REFUSED],
            ExpenseReport.finance: [APPROVED, REFUSED, SENT_BACK],
            ExpenseReport.correction: [report("20.00")],
        },
        invariant=is_proven,
        limit=120,
    )
    assert seen.seen["crash between effect and record"] > 0
    assert {"COMPLETED", "COMPENSATED"} <= set(seen.endings)
