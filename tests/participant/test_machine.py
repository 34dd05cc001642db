from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlalchemy import Connection, StaticPool, create_engine
from sqlalchemy.orm import Session

from saga.errors import KeyReusedError, StepRejected, SuspendedError
from saga.kernel import Role
from saga.participant import is_recorded
from tests.participant.banks import OPENING, Books, Debit, Script, SyncBank, in_doubt, step
from tests.participant.conftest import lay_tables


class Crash(Exception):
    """The process ends before the commit."""


@dataclass
class Key:
    """What a plain mind remembers of one key."""

    state: str = "new"
    amount: int = 0

    def action(self, amount: int, *, refuses: bool) -> str:
        """Say what the delivery of an action answers."""
        if self.state in {"suspended", "compensated"}:
            return "suspended"
        if self.state != "new":
            return self.state if amount == self.amount else "reused"
        return "rejected" if refuses else "done"

    def compensation(self, amount: int) -> str:
        """Say what the delivery of a compensation does."""
        if self.state == "new":
            return "suspended"
        if self.state == "done":
            return "compensated" if amount == self.amount else "reused"
        return self.state


@dataclass
class Model:
    """All keys, and the sum of what they took."""

    keys: dict[str, Key] = field(default_factory=dict[str, Key])

    @property
    def taken(self) -> int:
        """What is missing on the account."""
        return sum(key.amount for key in self.keys.values() if key.state == "done")


ids = st.sampled_from(["a", "b"])
amounts = st.sampled_from([1, 1, 1, 2])
orm = st.booleans()
chance = st.sampled_from([False, False, True])


class Deliveries(RuleBasedStateMachine):
    """Delivers activities in any order, repeats them, and crashes before any commit."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = create_engine("sqlite://", poolclass=StaticPool)
        lay_tables(self.engine)
        self.books = Books(self.engine)
        self.script = Script()
        self.model = Model()
        self.crashes = False
        self.orm = False

    def teardown(self) -> None:
        """Let go of the database."""
        self.engine.dispose()

    @contextmanager
    def begin(self) -> Generator[Connection | Session]:
        """A transaction of either style; its process may die before the commit."""
        with self.engine.connect() if not self.orm else Session(self.engine) as transaction:
            yield transaction
            if self.crashes:
                raise Crash
            transaction.commit()

    def attempt(self, id: str, role: Role, *, crashes: bool, orm: bool) -> str:
        """Deliver, and say in a word what came of it."""
        self.crashes, self.orm = crashes, orm
        bank = SyncBank(self.begin, self.script)
        try:
            with step(role, id=id):
                return self.one(bank, role)
        except Crash:
            return "crash"
        except SuspendedError as error:
            return "suspended" if is_recorded(error) else "suspended, and nobody knows"
        except StepRejected as error:
            return "rejected" if is_recorded(error) else "rejected, and nobody knows"
        except KeyReusedError:
            return "reused"
        except ZeroDivisionError:
            return "failed"

    def one(self, bank: SyncBank, role: Role) -> str:
        """Deliver."""
        if role is Role.ACTION:
            posting = bank.debit_now(Debit(amount=self.amount))
            assert posting.amount == -self.amount
            return "done"
        if role is Role.COMPENSATION:
            bank.refund_now(in_doubt(Debit(amount=self.amount)))
            return "compensated"
        return bank.find_debit_now().finding

    amount = 1

    @rule(id=ids, amount=amounts, refuses=chance, fails=chance, crashes=chance, orm=orm)
    def action(self, id: str, amount: int, *, refuses: bool, fails: bool, crashes: bool, orm: bool) -> None:
        """An action arrives: for the first time, again, late, or with another input."""
        key = self.model.keys.setdefault(id, Key())
        expected = key.action(amount, refuses=refuses)
        runs = key.state == "new"
        self.amount = amount
        self.script.raises = ZeroDivisionError() if fails else StepRejected("no") if refuses else None
        before = len(self.script.runs)
        found = self.attempt(id, Role.ACTION, crashes=crashes, orm=orm)
        self.script.raises = None
        assert len(self.script.runs) - before == runs
        if runs and fails:
            assert found == "failed"
        elif crashes and expected == "done":
            assert found == "crash"
        else:
            assert found == expected
            if runs:
                key.state, key.amount = expected, amount

    @rule(id=ids, amount=amounts, fails=chance, crashes=chance, orm=orm)
    def compensation(self, id: str, amount: int, *, fails: bool, crashes: bool, orm: bool) -> None:
        """A compensation arrives: after its action, before it, or again."""
        key = self.model.keys.setdefault(id, Key())
        expected = key.compensation(amount)
        runs = expected == "compensated" and key.state == "done"
        self.amount = amount
        self.script.raises = ZeroDivisionError() if fails else None
        before = len(self.script.runs)
        found = self.attempt(id, Role.COMPENSATION, crashes=crashes, orm=orm)
        self.script.raises = None
        assert len(self.script.runs) - before == runs
        if runs and fails:
            assert found == "failed"
        elif expected == "reused":
            assert found == "reused"
        elif crashes:
            assert found == "crash"
        else:
            assert found == "compensated"
            key.state = expected

    @rule(id=ids, crashes=chance, orm=orm)
    def probe(self, id: str, *, crashes: bool, orm: bool) -> None:
        """A probe arrives; what it answers holds even if its process dies right after."""
        key = self.model.keys.setdefault(id, Key())
        found = self.attempt(id, Role.PROBE, crashes=crashes, orm=orm)
        if key.state == "new":
            key.state = "suspended"
        if not crashes:
            assert found == ("happened" if key.state == "done" else "did_not_happen")

    @invariant()
    def adds_up(self) -> None:
        """The account misses what is done and not compensated, and the rows say the same."""
        assert self.books.balance() == OPENING - self.model.taken
        recorded = {key.split("/")[0]: state for key, _, state in self.books.records()}
        assert recorded == {id: key.state for id, key in self.model.keys.items() if key.state != "new"}


TestDeliveries = Deliveries.TestCase
TestDeliveries.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
