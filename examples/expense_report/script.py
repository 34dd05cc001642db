"""What people say about which report: the script that the example is played by."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from saga import SagaHandle, SagaState

from .models import Answer, Line, Report, Ruling
from .saga import ExpenseReport
from .world import CLOSED, COLLEAGUE, EMPLOYEE

__all__ = ("CASES", "Case", "Said")


@dataclass(frozen=True, slots=True)
class Said:
    """An answer to a decision.

    Attributes:
        by: Who answers.
        call: How often they were asked before, and this time.
        answer: The answer; the employee's is the corrected report.
    """

    by: Literal["manager", "finance", "employee"]
    call: int
    answer: Ruling | Report

    @property
    def name(self) -> str:
        """The call, such as `manager.1`."""
        return f"{'correction' if self.by == 'employee' else self.by}.{self.call}"

    async def to(self, handle: SagaHandle[Any]) -> None:
        """Answer, once it is asked for; nobody answers a saga that has ended."""
        async for fact in handle.facts():
            if fact.fact == "DecisionAwaited" and getattr(fact, "call", "") == self.name:
                await self._decide(handle)
                return

    async def _decide(self, handle: SagaHandle[Any]) -> None:
        if isinstance(self.answer, Report):
            await handle.decide(ExpenseReport.correction, self.answer, call=self.call, by=self.by)
        else:
            asked = ExpenseReport.manager if self.by == "manager" else ExpenseReport.finance
            await handle.decide(asked, self.answer, call=self.call, by=self.by)


@dataclass(frozen=True, slots=True)
class Case:
    """One report, what people say about it, and how that ends.

    Attributes:
        name: Its id within the run.
        title: What is special about it.
        report: What is handed in.
        said: The answers, in order.
        ends: How it has to end.
    """

    name: str
    title: str
    report: Report
    said: Sequence[Said]
    ends: SagaState


def _report(what: str, amount: str, *, account: str = EMPLOYEE, department: str = "sales") -> Report:
    line = Line(what=what, amount=Decimal(amount))
    return Report(employee="clerk.1@example.org", department=department, account=account, lines=(line,))


def _manager(answer: Answer, call: int = 1, reason: str = "") -> Said:
    return Said("manager", call, Ruling(answer=answer, reason=reason))


def _finance(answer: Answer, call: int = 1, reason: str = "") -> Said:
    return Said("finance", call, Ruling(answer=answer, reason=reason))


def _corrected(report: Report, call: int = 1) -> Said:
    return Said("employee", call, report)


CASES = (
    Case(
        "taxi",
        "A small amount: the manager alone decides.",
        _report("taxi to the fair", "48.20"),
        [_manager(Answer.APPROVE)],
        SagaState.COMPLETED,
    ),
    Case(
        "conference",
        "A large amount: finance decides after the manager.",
        _report("conference ticket", "1490.00"),
        [_manager(Answer.APPROVE), _finance(Answer.APPROVE)],
        SagaState.COMPLETED,
    ),
    Case(
        "typo",
        "Sent back twice: it goes round again, and each round reserves what the corrected report comes to.",
        _report("hotel", "2400.00"),
        [
            _manager(Answer.SEND_BACK, 1, "one night costs 240 EUR, not 2400"),
            _corrected(_report("hotel, three nights", "720.00"), 1),
            _manager(Answer.APPROVE, 2),
            _finance(Answer.SEND_BACK, 1, "breakfast is not covered"),
            _corrected(_report("hotel, three nights, without breakfast", "672.00"), 2),
            _manager(Answer.APPROVE, 3),
            _finance(Answer.APPROVE, 2),
        ],
        SagaState.COMPLETED,
    ),
    Case(
        "yacht",
        "Finance refuses: what was reserved is released.",
        _report("day on a yacht", "3900.00"),
        [_manager(Answer.APPROVE), _finance(Answer.REFUSE, 1, "this is no expense of the company")],
        SagaState.COMPENSATED,
    ),
    Case(
        "receipts",
        "Sent back three times: the class bounds the cycle.",
        _report("various", "99.00"),
        [
            _manager(Answer.SEND_BACK, 1, "what is various?"),
            _corrected(_report("diverse", "99.00"), 1),
            _manager(Answer.SEND_BACK, 2, "what is diverse?"),
            _corrected(_report("miscellaneous", "99.00"), 2),
            _manager(Answer.SEND_BACK, 3, "no receipts, no money"),
        ],
        SagaState.COMPENSATED,
    ),
    Case(
        "closed",
        "The employee's account is closed: the payment is rejected, and the money that was brought goes back.",
        _report("train", "61.90", account=CLOSED),
        [_manager(Answer.APPROVE)],
        SagaState.COMPENSATED,
    ),
    Case(
        "unheard",
        "The payment gets no answer: the bank is asked, and it was paid.",
        _report("books", "80.00", account=COLLEAGUE),
        [_manager(Answer.APPROVE)],
        SagaState.COMPLETED,
    ),
    Case(
        "too-much",
        "The budget has not that much: nobody is asked.",
        _report("telescope", "151.00", department="research"),
        [],
        SagaState.COMPENSATED,
    ),
)
