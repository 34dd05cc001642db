"""From a journal back to a decider: the one way in which anything is resumed, rebuilt or replayed.

Inputs are released one at a time. What the decider concludes from each must be what the journal holds before the
next input; the first difference is shown (S15). Once COMPENSATING is journaled `run` is not executed again: the
facts are folded, and the rules draw what is missing.

A journal may hold that an instance became STUCK where today's code goes on (a bug was fixed, a probe was added).
Then what today's code concludes is held until the operator's act that followed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from saga.errors import JournalOrderError, ReplayMismatchError
from saga.kernel import _facts as f
from saga.kernel._decider import Decider
from saga.kernel._edge import PAYLOAD_LIMIT
from saga.kernel._instance import Instance
from saga.kernel._names import split_role, step_of
from saga.kernel._values import Failure, Reason, Role, SagaState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from saga.kernel._definition import Definition

__all__ = ("replay", "resume")


def resume(definition: Definition, facts: Sequence[f.Fact], *, payload_limit: int = PAYLOAD_LIMIT) -> Decider:
    """Return the decider that goes on where the journal ends.

    What is missing at the end, or what changed code adds there, is in its `out`. Code that does not fit makes the
    instance STUCK with the first difference.
    """
    try:
        return _decider(definition, facts, payload_limit)
    except (ReplayMismatchError, JournalOrderError) as error:
        decider = Decider(definition, payload_limit=payload_limit)
        decider.instance.fold_all(facts)
        decider.get_stuck(Reason.MISMATCH, Failure.of(error))
        return decider


def _decider(definition: Definition, facts: Sequence[f.Fact], payload_limit: int) -> Decider:
    recovering = any(isinstance(fact, (f.RecoveryStarted, f.SagaCompleted)) for fact in facts)
    dormant = not recovering and _waits(facts)
    if not recovering and not dormant:
        return replay(definition, facts, payload_limit=payload_limit)
    decider = Decider(definition, payload_limit=payload_limit)
    decider.instance.fold_all(facts)
    if recovering and not decider.instance.ended:
        decider.settle_in()
    return decider


def _waits(facts: Sequence[f.Fact]) -> bool:
    """Tell whether the instance is STUCK and nobody has acted."""
    if not any(isinstance(fact, f.SagaStuck) for fact in facts):
        return False
    instance = Instance().fold_all(facts)
    return instance.state is SagaState.STUCK and not instance.act_pending


def replay(definition: Definition, facts: Sequence[f.Fact], *, payload_limit: int = PAYLOAD_LIMIT) -> Decider:
    """Execute `run` against a journal and return the decider at its end.

    Raises:
        ReplayMismatchError: if today's code concludes something else than the journal holds.
        JournalOrderError: if a fact cannot follow the facts before it.
    """
    return _Replay(Decider(definition, payload_limit=payload_limit)).through(facts)


class _Replay:
    def __init__(self, decider: Decider) -> None:
        self._decider = decider
        self._position = 0
        self._held = False
        self._healed = False
        self._freed = False  # what follows from an act on a STUCK instance may come after other inputs

    def through(self, facts: Sequence[f.Fact]) -> Decider:
        for fact in facts:
            self._position += 1
            if fact.role_in_replay is f.FactKind.CONSEQUENCE:
                self._match(fact)
            else:
                self._take(fact)
        if self._healed:
            self._decider.out.insert(0, f.RunContinued(at=self._decider.now()))
        return self._decider

    def _take(self, fact: f.Fact) -> None:
        decider = self._decider
        self._freed = self._freed and bool(decider.out)
        waits = self._held or self._freed or decider.instance.state is SagaState.STUCK
        if decider.out and not waits and not isinstance(fact, (f.Resumed, f.AttemptFailed)):
            raise self._mismatch(describe(fact), describe(decider.out[0]))
        if self._held and isinstance(fact, f.Retried):
            self._withdraw_probe()
        if self._held and decider.instance.ended:  # where older code was stuck, today's gets to the end
            self._healed = decider.instance.frees(fact)
            self._held = not self._healed
            return
        if self._freed and decider.instance.ended:
            return  # it was taken before anybody had concluded what the act before it led to: the end
        decider.instance.fold(fact)
        if fact.role_in_replay is f.FactKind.INPUT:
            self._freed = self._freed or decider.instance.act_pending
            if self._held and decider.instance.frees(fact):
                self._held, self._healed = False, True
            decider.conclude(fact)

    def _withdraw_probe(self) -> None:
        """Take back a probe that the journal does not hold: the retry is about the pivot itself."""
        decider = self._decider
        for fact in decider.out:
            if isinstance(fact, f.CallRegistered) and split_role(fact.call)[1] is Role.PROBE:
                decider.out.remove(fact)
                decider.instance.withdraw(fact.call)
                return

    def _match(self, recorded: f.Fact) -> None:
        out = self._decider.out
        if isinstance(recorded, f.SagaStuck):
            self._match_stuck(recorded)
        elif self._healed and isinstance(recorded, f.RunContinued):
            self._healed = False
        elif not out:
            raise self._mismatch(describe(recorded), "nothing more")
        elif not self._same(recorded, out[0]):
            raise self._mismatch(describe(recorded), describe(out[0], other=recorded))
        else:
            out.pop(0)
            self._keep_recorded(recorded)

    def _match_stuck(self, recorded: f.SagaStuck) -> None:
        out = self._decider.out
        if out and isinstance(out[0], f.SagaStuck):
            out.pop(0)
            self._decider.instance.stuck = recorded.reasons
        elif any(one.reason is Reason.POISON for one in recorded.reasons):
            self._decider.instance.fold(recorded)  # concluded from resumes, not from what `run` did
        else:
            self._held = True

    def _same(self, recorded: f.Fact, now: f.Fact) -> bool:
        if type(recorded) is not type(now):
            return False
        if isinstance(recorded, f.CallRegistered) and isinstance(now, f.CallRegistered):
            return (recorded.call, recorded.kind, recorded.commits) == (
                now.call,
                now.kind,
                now.commits,
            ) and self._same_input(recorded, now)
        if isinstance(recorded, f.TimerSet) and isinstance(now, f.TimerSet):
            return recorded.timer == now.timer
        if isinstance(recorded, f.DecisionAwaited) and isinstance(now, f.DecisionAwaited):
            return recorded.call == now.call
        return True

    def _same_input(self, recorded: f.CallRegistered, now: f.CallRegistered) -> bool:
        if recorded.payload == now.payload:
            return True
        call, role = split_role(recorded.call)
        part = self._decider.definition.step(step_of(call)).roles[role]
        if recorded.payload is None or now.payload is None:
            return part.given is not None  # its mapping failed once, then or now; what was recorded is kept
        return part.takes.same(recorded.payload, now.payload)

    def _keep_recorded(self, recorded: f.Fact) -> None:
        """Honour what was journaled where today's code may differ: a due time, or what a mapping made."""
        instance = self._decider.instance
        if isinstance(recorded, f.TimerSet) and recorded.timer in instance.due:
            instance.due[recorded.timer] = recorded.due
        elif isinstance(recorded, f.DecisionAwaited):
            instance.decisions[recorded.call].due = recorded.due
        elif isinstance(recorded, f.CallRegistered):
            instance.calls[recorded.call].input = recorded.payload

    def _mismatch(self, recorded: str, replayed: str) -> ReplayMismatchError:
        instance = self._decider.instance
        return ReplayMismatchError(
            saga=self._decider.definition.saga,
            id=instance.id,
            position=self._position,
            recorded=recorded,
            replayed=replayed,
        )


def describe(fact: f.Fact, *, other: f.Fact | None = None) -> str:
    """Say in a few words what a fact is, without its payload."""
    if isinstance(fact, f.CallRegistered):
        kind = f" ({fact.kind})" if fact.kind else ""
        same = isinstance(other, f.CallRegistered) and (other.call, other.kind) == (fact.call, fact.kind)
        return f"call {fact.call}{kind}{' with another input' if same else ''}"
    name = getattr(fact, "call", None) or getattr(fact, "timer", None)
    return f"{fact.fact} {name}" if isinstance(name, str) else fact.fact
