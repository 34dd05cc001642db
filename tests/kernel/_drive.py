"""Drives the rules with facts alone: no runtime, no clock, no loop; every journal is replayed as it grows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from saga.kernel import (
    Call,
    Decider,
    Instance,
    Kind,
    Role,
    SagaStarted,
    StepDefinition,
    child_outcome,
    definition_of,
    replay,
    resume,
)
from saga.kernel import _facts as f
from saga.kernel._requests import Abort, Cancel, Decide, Request, Resolve, Retry, Skip, admit
from saga.kernel._values import Failure, SagaState

START = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def told(fact: f.Fact) -> str:
    """What a fact says, in one line: `CallRegistered debit.1`, `RecoveryStarted rejected`."""
    about = [getattr(fact, name, None) for name in ("call", "timer", "reason", "finding")]
    if isinstance(fact, f.RecoveryStarted):
        about = [fact.reason]
    if isinstance(fact, f.SagaStuck):
        about = [f"{one.call or 'code'} {one.reason}" for one in fact.reasons]
    return " ".join([fact.fact, *(str(each) for each in about if each)])


class Driven:
    """One instance whose facts a test writes.

    After each fact the whole journal is resumed afresh, which must come to the same state and add nothing; a test
    about what a resume does differently says `replayed=False`.
    """

    def __init__(
        self,
        saga: type,
        request: str = "5",
        *,
        id: str = "transfer-42",
        handed_over: bool = False,
        parent: str | None = None,
        replayed: bool = True,
        payload_limit: int = 1000,
    ) -> None:
        self.definition = definition_of(saga)
        self.decider = Decider(self.definition, payload_limit=payload_limit)
        self.facts: list[f.Fact] = []
        self.at = START
        self._replayed = replayed
        self._payload_limit = payload_limit
        deadline = self.definition.deadline
        self.take(
            SagaStarted(
                at=START,
                saga=self.definition.saga,
                id=id,
                deadline=None if deadline is None else START + deadline,
                handed_over=handed_over or None,
                parent=parent,
                payload=request,
            )
        )

    # -- what a test looks at ------------------------------------------------------------

    @property
    def instance(self) -> Instance:
        """The state that the facts came to."""
        return self.decider.instance

    @property
    def state(self) -> SagaState | None:
        """State of the instance."""
        return self.instance.state

    @property
    def log(self) -> list[str]:
        """The whole journal, a line for each fact."""
        return [told(fact) for fact in self.facts]

    @property
    def in_flight(self) -> list[str]:
        """Calls without an outcome, in order of registration."""
        return list(self.instance.in_flight)

    @property
    def registered(self) -> list[str]:
        """Every registration, in order."""
        return [fact.call for fact in self.facts if isinstance(fact, f.CallRegistered)]

    @property
    def compensated(self) -> list[str]:
        """Calls whose compensation was registered, in order."""
        return [name.removesuffix("/compensation") for name in self.registered if "/compensation" in name]

    @property
    def result(self) -> str | None:
        """Payload of the result."""
        return self.instance.result

    @property
    def recovery(self) -> f.RecoveryStarted:
        """Why backward recovery started."""
        found = self.instance.recovery
        assert found is not None, self.log
        return found

    @property
    def blocking(self) -> list[tuple[str | None, str]]:
        """What blocks a STUCK instance: call and reason."""
        return [(one.call, one.reason.value) for one in self.instance.stuck]

    def payload(self, call: str) -> str | None:
        """The input with which a call was registered."""
        return self.instance.calls[call].input

    # -- what a test does ----------------------------------------------------------------

    def take(self, fact: f.Fact) -> Driven:
        """Take one fact, keep what was concluded, and check that a resume concludes the same."""
        self.decider.apply(fact)
        new, self.decider.out = self.decider.out, []
        self.facts += new
        if self.decider.stale:
            self.reload(self.definition.cls)
        elif self._replayed:
            self._check_resume()
        return self

    def _check_resume(self) -> None:
        again = resume(self.definition, self.facts, payload_limit=self._payload_limit)
        assert [told(fact) for fact in again.out] == []
        assert summary(again.instance) == summary(self.instance), self.log
        assert again.next_due() == self.decider.next_due(), self.log
        again.drop()

    def reload(self, saga: type) -> Driven:
        """Go on as a new owner does, with the code of `saga`."""
        self.decider.drop()
        self.definition = definition_of(saga)
        self.decider = resume(self.definition, self.facts, payload_limit=self._payload_limit)
        new, self.decider.out = self.decider.out, []
        self.facts += new
        return self

    def _tick(self) -> datetime:
        self.at = max(self.at, self.instance.last_at) + SECOND
        return self.at

    def done(self, call: str, output: str = "null", *, overdue: bool = False, **fields: Any) -> Driven:
        """A call returned; `overdue` says that an earlier attempt was given up at its time limit."""
        at = self._tick()
        fields.setdefault("overdue_at", at if overdue else None)
        return self.take(f.CallDone(at=at, call=call, payload=output, **fields))

    def rejected(self, call: str, type: str = "Refused", message: str = "no", **fields: Any) -> Driven:
        """The participant said no."""
        failure = Failure(type=type, message=message)
        return self.take(f.CallRejected(at=self._tick(), call=call, failure=failure, **fields))

    def in_doubt(self, call: str, *, overdue: bool = False, **fields: Any) -> Driven:
        """Nobody knows whether a call happened."""
        at = self._tick()
        failure = Failure(type="ConnectionError", message="lost")
        fields.setdefault("overdue_at", at if overdue else None)
        return self.take(f.CallInDoubt(at=at, call=call, failure=failure, **fields))

    def happened(self, call: str, output: str = "null") -> Driven:
        """The probe says that a pivot in doubt happened."""
        return self.take(f.CallProbed(at=self._tick(), call=call, finding="happened", payload=output))

    def did_not_happen(self, call: str) -> Driven:
        """The probe says that a pivot in doubt never will happen."""
        return self.take(f.CallProbed(at=self._tick(), call=call, finding="did_not_happen"))

    def fire(self, timer: str | None = None) -> Driven:
        """Fire the timer that is due next, at its time."""
        due = self.decider.next_due()
        assert due is not None, "no timer is due"
        assert timer in {None, due[0]}, due
        self.at = max(self.at, due[1])
        return self.take(f.TimerFired(at=self.at, timer=due[0]))

    def resumed(self, *, crashed: bool = True, epoch: int | None = None) -> Driven:
        """Another owner takes over."""
        number = self.instance.epoch + 1 if epoch is None else epoch
        return self.take(f.Resumed(at=self._tick(), epoch=number, crashed=crashed or None))

    def ask(self, request: Request) -> Driven:
        """Somebody asks for something; refused requests raise and are no facts."""
        return self.take(admit(self.decider, request, self._tick()))

    def cancel(self) -> Driven:
        """Somebody asks to stop."""
        return self.ask(Cancel(by="anna", why="no longer needed"))

    def retry(self) -> Driven:
        """An operator lets everything blocked be tried again."""
        return self.ask(Retry(by="olga", why="fixed"))

    def abort(self) -> Driven:
        """An operator gives the instance up."""
        return self.ask(Abort(by="olga", why="hopeless"))

    def skip(self, call: str) -> Driven:
        """An operator did it by hand."""
        return self.ask(Skip(call=call, by="olga", why="by hand"))

    def resolve_happened(self, call: str, output: str = "null") -> Driven:
        """An operator says that a call happened."""
        return self.ask(Resolve(call=call, finding="happened", payload=output, by="olga", why="saw it"))

    def resolve_did_not_happen(self, call: str) -> Driven:
        """An operator says that a call did not happen and never will."""
        return self.ask(Resolve(call=call, finding="did_not_happen", by="olga", why="looked"))

    def decide(self, call: str, answer: str, by: str = "rita") -> Driven:
        """Somebody answers a decision."""
        return self.ask(Decide(call=call, payload=answer, by=by))

    def compensate_all(self) -> Driven:
        """Let every compensation that is asked for be done, until nothing is in flight."""
        while self.in_flight:
            self.done(self.in_flight[0])
        return self


def handed(child: Driven) -> dict[str, Any]:
    """What a child that has completed hands over, as the fields of its parent's `done`."""
    pay = StepDefinition("pay", Kind.NESTED, {}, (), nested=child.definition)
    call = Call("parent", "Parent", "pay.1", Role.ACTION, pay, "null")
    outcome = child_outcome(call, child.instance, child.definition, child.at)
    return {"output": outcome.output, "adopted": outcome.adopted}


def summary(instance: Instance) -> dict[str, object]:
    """What must be the same however an instance was come by."""
    return {
        "state": instance.state,
        "recovering": instance.recovering,
        "committed": instance.committed,
        "calls": [
            (one.name, one.state, one.input, one.output, one.order, one.after_commit, one.overdue_at)
            for one in instance.calls.values()
        ],
        "in flight": list(instance.in_flight),
        "decisions": list(instance.decisions.values()),
        "due": instance.due,
        "stuck": instance.stuck,
        "result": instance.result,
    }


def replayed(saga: type, facts: list[f.Fact]) -> Decider:
    """Execute `run` of `saga` against facts."""
    return replay(definition_of(saga), facts)
