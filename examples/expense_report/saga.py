"""The sagas: an expense report that people decide about, and the money transfer that is nested in it."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import ClassVar

from examples.money_transfer.bank import Bank
from examples.money_transfer.mail import MailSender
from examples.money_transfer.models import (
    AccountUnavailable,
    Credit,
    Debit,
    InsufficientFunds,
    Mail,
    Receipt,
    Transfer,
)
from saga import Compensatable, Decision, Nested, Pivot, Retriable, Saga, SagaAborted, participant

from .archive import Archive
from .budget import Budget
from .models import (
    Answer,
    BudgetExceeded,
    Filed,
    Payment,
    Reimbursement,
    Report,
    Reservation,
    Ruling,
    UnknownDepartment,
)
from .payroll import PAYMENT_REFUSALS, PayrollBank

__all__ = ("CLEARING", "COMPANY", "FINANCE_LIMIT", "ExpenseReport", "Funding")

FINANCE_LIMIT = Decimal(500)
"""Above this amount, in euros, finance is asked after the manager."""

COMPANY = "XN26NORD00000001"
"""The company's account, at its own bank."""
CLEARING = "XS15SUED00000001"
"""Its account at the bank that pays employees; empty unless a payment is on its way."""

budget = participant(Budget, "budget")
house_bank = participant(Bank, "house_bank")
payroll_bank = participant(PayrollBank, "payroll_bank")
archive = participant(Archive, "archive")
mail = participant(MailSender, "mail")


class Funding(Saga):
    """Moves money between two banks; whoever nests it can take all of it back until their pivot."""

    debit = Compensatable(
        house_bank.debit, rejects=[InsufficientFunds, AccountUnavailable], barrier=True
    ).compensated_by(house_bank.refund)
    credit = Compensatable(payroll_bank.credit, rejects=[AccountUnavailable], barrier=True).compensated_by(
        payroll_bank.take_back
    )

    async def run(self, transfer: Transfer) -> Receipt:
        """Debit, then credit."""
        debited = await self.debit(Debit(account=transfer.source, amount=transfer.amount))
        credited = await self.credit(Credit(account=transfer.target, amount=transfer.amount))
        return Receipt(debit=debited.id, credit=credited.id)


class ExpenseReport(Saga):
    """Pays an employee back, once a manager, and for large amounts finance, approve."""

    deadline = timedelta(days=60)
    rounds: ClassVar[int] = 3

    reserve = Compensatable(budget.reserve, rejects=[BudgetExceeded, UnknownDepartment], barrier=True).compensated_by(
        budget.release
    )
    manager = Decision(Ruling, within=timedelta(days=14))
    finance = Decision(Ruling, within=timedelta(days=14))
    correction = Decision(Report, within=timedelta(days=14))
    fund = Nested(Funding)
    pay = Pivot(payroll_bank.pay, rejects=PAYMENT_REFUSALS, barrier=True).probed_by(payroll_bank.find_payment)
    spend = Retriable(budget.spend)
    file = Retriable(archive.file)
    notify = Retriable(mail.send)

    async def run(self, report: Report) -> Reimbursement:
        """Have it approved, bring the money, pay, and tell everybody who has to know."""
        report, rounds = await self._approved(report)
        await self.fund(Transfer(source=COMPANY, target=CLEARING, amount=report.total, owner=report.employee))
        paid = await self.pay(Payment(source=CLEARING, target=report.account, amount=report.total))
        await asyncio.gather(
            self.spend(_reservation(report)),
            self.file(Filed(report=report, payment=paid.id)),
            self.notify(Mail(to=report.employee, text=f"{report.total} EUR are on their way to {report.account}.")),
        )
        return Reimbursement(amount=report.total, payment=paid.id, rounds=rounds)

    async def _approved(self, report: Report) -> tuple[Report, int]:
        """Go round until it is approved: each round reserves anew what the corrected report comes to."""
        number = 1
        while True:
            await self.reserve(_reservation(report))
            ruling = await self._ruling(report)
            if ruling.answer is Answer.APPROVE:
                return report, number
            if ruling.answer is Answer.REFUSE or number == self.rounds:
                raise SagaAborted(ruling.reason)
            report, number = await self.correction(), number + 1

    async def _ruling(self, report: Report) -> Ruling:
        """Ask the manager, and finance where the manager approves of much."""
        ruling = await self.manager()
        if ruling.answer is Answer.APPROVE and report.total > FINANCE_LIMIT:
            ruling = await self.finance()
        return ruling


def _reservation(report: Report) -> Reservation:
    return Reservation(department=report.department, amount=report.total)
