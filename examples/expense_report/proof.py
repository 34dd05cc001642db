"""The auditor: compares what the sagas say with banks, budgets, archive and letters, cent by cent."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from saga import SagaState, SagaView

from .models import Payment, Reimbursement
from .saga import CLEARING, COMPANY
from .world import World

__all__ = ("Proof", "prove")


@dataclass(frozen=True, slots=True)
class Proof:
    """What the auditor found; all amounts in euros.

    Attributes:
        before: Sum over all accounts of both banks when they were opened.
        after: The sum now.
        paid: What the employees got.
        spent: What the departments' budgets were charged with.
        repeated: How many calls were made more than once, and yet acted once.
        faults: Everything that is not as it must be.
    """

    before: Decimal
    after: Decimal
    paid: Decimal
    spent: Decimal
    repeated: int
    faults: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether every cent is accounted for."""
        return not self.faults


def prove(world: World, views: Sequence[SagaView]) -> Proof:
    """Compare every report with what everybody's database holds.

    Args:
        world: Everybody who takes part.
        views: All reports that were ever handed in.
    """
    banks = (world.house_bank, world.payroll_bank)
    ledger = [line for bank in banks for line in bank.ledger()]
    before, after = sum(bank.opening_total() for bank in banks), sum(bank.total() for bank in banks)
    paid = sum((_paid(view) for view in views), Decimal("0.00"))
    entries = world.budget.entries()
    spent = sum((entry.amount for entry in entries.values() if entry.spent), Decimal("0.00"))
    posted = Counter((line.key, line.account, line.amount) for line in ledger)
    wanted = Counter(one for view in views for one in _lines(view, posted))
    sums = {"held before and hold after": (before, after), "paid and charged to the budgets": (paid, spent)}
    faults = [
        *(f"{one} EUR and {other} EUR are {name}" for name, (one, other) in sums.items() if one != other),
        *(f"the ledgers lack {key} of {amount} EUR" for key, _, amount in wanted - posted),
        *(f"{key} of {amount} EUR in the ledgers belongs to no report" for key, _, amount in posted - wanted),
        *(f"the balance of {number} is not what its lines come to" for bank in banks for number in bank.unbalanced()),
        *(fault for view in views for fault in _faults_of(view, world)),
    ]
    repeated = sum(call.attempts > 1 for view in views for call in view.calls)
    return Proof(Decimal(before), Decimal(after), paid, spent, repeated, tuple(faults))


def _result(view: SagaView) -> Reimbursement | None:
    return None if view.result is None else Reimbursement.model_validate_json(view.result)


def _paid(view: SagaView) -> Decimal:
    result = _result(view)
    return Decimal("0.00") if result is None else result.amount


def _lines(view: SagaView, posted: Counter[tuple[str, str, Decimal]]) -> Iterator[tuple[str, str, Decimal]]:
    """Yield the ledger lines that a report must have; of one that was compensated, each of them given back."""
    result, fund = _result(view), f"{view.id}~fund.1"
    if result is None:
        for key, account, amount in posted:
            if key in {f"{fund}/debit.1", f"{fund}/credit.1"}:
                yield key, account, amount
                yield f"{key}/compensation", account, -amount
        return
    yield f"{fund}/debit.1", COMPANY, -result.amount
    yield f"{fund}/credit.1", CLEARING, result.amount
    yield f"{view.id}/pay.1", CLEARING, -result.amount
    yield f"{view.id}/pay.1", _payee(view), result.amount


def _payee(view: SagaView) -> str:
    (paid,) = [call.input for call in view.calls if call.name == "pay.1"]
    return Payment.model_validate_json(paid or "").target


def _faults_of(view: SagaView, world: World) -> Iterator[str]:
    completed = view.state is SagaState.COMPLETED
    if not view.state.ended:
        yield f"{view.id} is {view.state}"
    entry = world.budget.entries().get(view.id)
    if completed and (entry is None or not entry.spent or entry.amount != _paid(view)):
        yield f"{view.id} was paid, and its budget does not say so"
    if not completed and entry is not None:
        yield f"{view.id} is {view.state}, and {entry.amount} EUR of {entry.department} are still kept for it"
    for name, found in (("file", world.archive.documents()), ("notify", world.mail.letters())):
        if (f"{view.id}/{name}.1" in found) is not completed:
            yield f"{view.id} is {view.state}, which {name} does not fit"
