"""The budgets of the departments: what is kept for a report, and what was spent on it, behind the barrier."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from examples.money_transfer.database import open_database
from saga import Effect, current_step
from saga.participant import barrier, create_barrier_tables

from .models import BudgetExceeded, Reservation, Reserved, UnknownDepartment

__all__ = ("Budget", "Entry")


@dataclass(frozen=True, slots=True)
class Entry:
    """What a budget says about one report.

    Attributes:
        department: Whose budget it is.
        amount: How much is kept for the report.
        spent: Whether it is gone for good.
    """

    department: str
    amount: Decimal
    spent: bool


class _Table(DeclarativeBase):
    pass


class _Department(_Table):
    __tablename__ = "department"

    name: Mapped[str] = mapped_column(primary_key=True)
    cents: Mapped[int]


class _Entry(_Table):
    __tablename__ = "entry"

    report: Mapped[str] = mapped_column(primary_key=True)
    department: Mapped[str] = mapped_column(index=True)
    cents: Mapped[int]
    spent: Mapped[bool] = mapped_column(default=False)


class Budget:
    """Keeps budgets. A report has one entry: a second reservation takes the place of the first.

    Args:
        path: The database; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.engine = open_database(path)
        _Table.metadata.create_all(self.engine)
        create_barrier_tables(self.engine)

    # -- activities of the saga ----------------------------------------------------------

    def reserve(self, wanted: Reservation) -> Reserved:
        """Keep an amount for the report, instead of what was kept for it before."""
        with Session(self.engine) as session, session.begin():
            return barrier.once(session, self._reserve, wanted, rejects=[BudgetExceeded, UnknownDepartment])

    def release(self, effect: Effect[Reservation, Reserved]) -> None:
        """Keep again what was kept before that reservation."""
        with Session(self.engine) as session, session.begin():
            barrier.once(session, self._release, effect)

    def spend(self, kept: Reservation) -> None:
        """Turn what is kept for the report into what was spent on it."""
        with Session(self.engine) as session, session.begin():
            barrier.once(session, self._spend, kept)

    # -- what each of them does inside its transaction -----------------------------------

    def _reserve(self, session: Session, wanted: Reservation) -> Reserved:
        department = session.get(_Department, wanted.department, with_for_update=True)
        if department is None:
            msg = f"there is no budget of {wanted.department}"
            raise UnknownDepartment(msg)
        before = _entry(session)
        left = department.cents - _taken(session, wanted.department, but=current_step().id)
        if left < _cents(wanted.amount):
            msg = f"{wanted.department} has less than {wanted.amount} EUR left"
            raise BudgetExceeded(msg)
        _keep(session, wanted)
        return Reserved(before=before)

    def _release(self, session: Session, effect: Effect[Reservation, Reserved]) -> None:
        _keep(session, effect.output.before if effect.output else None)

    def _spend(self, session: Session, kept: Reservation) -> None:
        _keep(session, kept)
        session.get_one(_Entry, current_step().id).spent = True

    # -- beside the saga -----------------------------------------------------------------

    def grant(self, budgets: Mapping[str, Decimal]) -> None:
        """Give departments their budgets."""
        with Session(self.engine) as session, session.begin():
            for name, amount in budgets.items():
                session.merge(_Department(name=name, cents=_cents(amount)))

    def entries(self) -> dict[str, Entry]:
        """Return what is kept for and spent on each report."""
        with Session(self.engine) as session:
            return {
                one.report: Entry(one.department, Decimal(one.cents).scaleb(-2), one.spent)
                for one in session.scalars(select(_Entry))
            }

    def close(self) -> None:
        """Close the database."""
        self.engine.dispose()


def _entry(session: Session) -> Reservation | None:
    found = session.get(_Entry, current_step().id)
    if found is None:
        return None
    return Reservation(department=found.department, amount=Decimal(found.cents).scaleb(-2))


def _keep(session: Session, wanted: Reservation | None) -> None:
    report = current_step().id
    if wanted is not None:
        session.merge(_Entry(report=report, department=wanted.department, cents=_cents(wanted.amount), spent=False))
    elif found := session.get(_Entry, report):
        session.delete(found)


def _taken(session: Session, department: str, *, but: str) -> int:
    others = select(func.sum(_Entry.cents)).where(_Entry.department == department, _Entry.report != but)
    return session.scalar(others) or 0


def _cents(amount: Decimal) -> int:
    return int(amount * 100)
